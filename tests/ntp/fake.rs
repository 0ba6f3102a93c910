//! A time server that does as it is told.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// What the server tells. As made by `default` it is in order and exact.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) offset_ms: i64,
    pub(crate) leap: u8,
    pub(crate) version: u8,
    pub(crate) mode: u8,
    pub(crate) stratum: u8,
    pub(crate) reference: [u8; 4],
    /// Root delay and root dispersion.
    pub(crate) root_ms: [u32; 2],
    pub(crate) wrong_origin: bool,
    pub(crate) no_transmit_time: bool,
    /// How long the answer is on its way.
    pub(crate) delay: Duration,
    /// Bytes of the answer, 0 for none.
    pub(crate) size: usize,
    /// A datagram sent before the answer, whatever it is.
    pub(crate) before: Option<Vec<u8>>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            offset_ms: 0,
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 2,
            reference: [192, 0, 2, 1],
            root_ms: [10, 10],
            wrong_origin: false,
            no_transmit_time: false,
            delay: Duration::ZERO,
            size: 48,
            before: None,
        }
    }
}

/// The server; it ends with the value.
pub(crate) struct Fake {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    shared: Arc<Mutex<(Manner, u32)>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(manner: Manner) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Mutex::new((manner, 0)));
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn({
            let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
            move || serve(&socket, &shared, &stopped)
        });
        Self { socket, address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// A server whose clock is this far ahead of ours.
    pub(crate) fn ahead_ms(offset_ms: i64) -> Self {
        Self::new(Manner { offset_ms, ..Manner::default() })
    }

    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.shared.lock().unwrap().0 = manner;
    }

    /// From now on it is as if nobody were there. The port stays taken: another server that got it
    /// would answer. A socket that is connected to itself hears nobody else.
    pub(crate) fn vanish(&self) {
        self.socket.connect(self.address).unwrap();
    }

    /// How often it was asked.
    pub(crate) fn requests(&self) -> u32 {
        self.shared.lock().unwrap().1
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(socket: &UdpSocket, shared: &Mutex<(Manner, u32)>, stopped: &mpsc::Receiver<()>) {
    let mut request = [0; 512];
    while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
        let Ok((48, client)) = socket.recv_from(&mut request) else { continue };
        let manner = {
            let mut shared = shared.lock().unwrap();
            shared.1 += 1;
            shared.0.clone()
        };
        let answer = answer(&request[..48], &manner);
        if stopped.recv_timeout(manner.delay) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        for datagram in manner.before.iter().map(Vec::as_slice).chain([&answer[..manner.size]]) {
            if !datagram.is_empty() {
                socket.send_to(datagram, client).unwrap();
            }
        }
    }
}

fn answer(request: &[u8], manner: &Manner) -> [u8; 48] {
    let now = ntp_time(manner.offset_ms);
    let mut origin: [u8; 8] = request[40..].try_into().unwrap();
    // Who asks has our clock, and what is sent on one machine has arrived: that this thread was
    // late to look is no part of the way, half of which would be taken for an offset.
    let asked = u64::from_be_bytes(origin);
    let received = asked.wrapping_add_signed((manner.offset_ms << 32) / 1_000);
    if manner.wrong_origin {
        origin[7] ^= 1;
    }
    let transmit = if manner.no_transmit_time { 0 } else { now };
    let mut answer = [0; 48];
    answer[0] = manner.leap << 6 | manner.version << 3 | manner.mode;
    answer[1..4].copy_from_slice(&[manner.stratum, 4, 0xec]);
    answer[4..8].copy_from_slice(&(manner.root_ms[0] * 65_536 / 1_000).to_be_bytes());
    answer[8..12].copy_from_slice(&(manner.root_ms[1] * 65_536 / 1_000).to_be_bytes());
    answer[12..16].copy_from_slice(&manner.reference);
    answer[16..24].copy_from_slice(&(now - (60 << 32)).to_be_bytes());
    answer[24..32].copy_from_slice(&origin);
    answer[32..40].copy_from_slice(&received.to_be_bytes());
    answer[40..48].copy_from_slice(&transmit.to_be_bytes());
    answer
}

/// The wall clock plus `offset_ms` in units of 2^-32 s since 1900.
#[allow(clippy::disallowed_methods)] // A time server has a clock.
fn ntp_time(offset_ms: i64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let micros = i64::try_from(now.as_micros()).unwrap() + offset_ms * 1_000;
    let micros = u128::try_from(micros).unwrap() + 2_208_988_800_000_000;
    u64::try_from((micros << 32) / 1_000_000).unwrap()
}
