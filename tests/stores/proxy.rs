//! A TCP proxy that spoils what passes through it.

mod connection;

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connection::Connection;
use socket2::SockRef;

/// A target that does not even refuse counts as one that does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens to all connections, those that are open and those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Each chunk of an answer comes so much later.
    Delay(Duration),
    /// Everybody is let in, and everything is swallowed. A connection that has lost something is
    /// cut as soon as the mode is another.
    BlackHole,
    /// Open connections are cut, and new ones as soon as they come.
    Refuse,
    /// Requests arrive; an answer is lost, and its connection is cut.
    DropAnswers,
}

/// Listens on a port of its own, in the network namespace of the thread that makes it. Everything
/// ends with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    /// The mode has changed.
    changed: Condvar,
    connections: AtomicU64,
    bytes_from_client: AtomicU64,
}

struct State {
    mode: Mode,
    ended: bool,
    /// The next request that contains these bytes gets no answer.
    unanswered: Option<Vec<u8>>,
    open: HashMap<u64, Arc<Connection>>,
}

impl Proxy {
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let (open, unanswered) = (HashMap::new(), None);
        let state = State { mode: Mode::Pass, ended: false, unanswered, open };
        let shared = Arc::new(Shared {
            target,
            state: Mutex::new(state),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            bytes_from_client: AtomicU64::new(0),
        });
        let acceptor = {
            let (shared, listener) = (Arc::clone(&shared), Arc::clone(&listener));
            thread::spawn(move || shared.accept(&listener))
        };
        Self { address, shared, listener, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        state.mode = mode;
        for connection in state.open.values() {
            let has_gap = connection.has_gap.load(Ordering::SeqCst);
            if mode == Mode::Refuse || (has_gap && mode != Mode::BlackHole) {
                connection.cut();
            }
        }
        self.shared.changed.notify_all();
    }

    /// Cuts what is open now.
    pub(crate) fn cut(&self) {
        self.shared.state.lock().unwrap().cut();
    }

    /// Loses the next chunk of an answer that follows a request sent from now on, and cuts that
    /// connection. On a connection with several requests under way, that can be the answer to an
    /// earlier one.
    pub(crate) fn drop_next_answer(&self) {
        self.drop_answer_to(b"");
    }

    /// The same for the next request that contains `part`, so that a heartbeat does not count.
    pub(crate) fn drop_answer_to(&self, part: &[u8]) {
        self.shared.state.lock().unwrap().unanswered = Some(part.to_vec());
    }

    /// Whether an answer is still to be dropped.
    pub(crate) fn is_armed(&self) -> bool {
        self.shared.state.lock().unwrap().unanswered.is_some()
    }

    /// How many have come so far, whatever became of them.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How much has come from clients, whatever became of it.
    pub(crate) fn bytes_from_client(&self) -> u64 {
        self.shared.bytes_from_client.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock().unwrap();
            state.ended = true;
            state.cut();
        }
        self.shared.changed.notify_all();
        // Wakes the acceptor, from whatever namespace.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

impl State {
    fn cut(&self) {
        self.open.values().for_each(|connection| connection.cut());
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for (number, client) in (0..).zip(listener.incoming()) {
            if self.state.lock().unwrap().ended {
                return;
            }
            let Ok(client) = client else { continue };
            self.connections.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(self);
            thread::spawn(move || shared.serve(number, client));
        }
    }

    /// Carries requests there and answers back, until both have ended.
    fn serve(self: &Arc<Self>, number: u64, client: TcpStream) {
        if self.mode() == Mode::Refuse {
            return;
        }
        let target = TcpStream::connect_timeout(&self.target, CONNECT_TIMEOUT).ok();
        for stream in target.iter().chain([&client]) {
            let _ = stream.set_nodelay(true);
        }
        let has_gap = AtomicBool::new(target.is_none());
        let is_unanswered = AtomicBool::new(false);
        let connection = Arc::new(Connection { client, target, has_gap, is_unanswered });
        {
            let mut state = self.state.lock().unwrap();
            let is_hidden = state.mode == Mode::BlackHole;
            // Without a target it ends here, unless nobody is to know.
            if state.ended
                || state.mode == Mode::Refuse
                || (connection.target.is_none() && !is_hidden)
            {
                return connection.cut();
            }
            state.open.insert(number, Arc::clone(&connection));
        }
        thread::scope(|scope| {
            scope.spawn(|| self.carry_answers(&connection));
            self.carry_requests(&connection);
        });
        self.state.lock().unwrap().open.remove(&number);
    }

    fn mode(&self) -> Mode {
        self.state.lock().unwrap().mode
    }
}
