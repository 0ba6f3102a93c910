//! One connection through the proxy: what becomes of each chunk.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Mode, Shared, State};

/// A chunk is what one read gives.
const CHUNK_SIZE: usize = 64 * 1_024;

/// When an answer is lost: how long its connection has to be quiet until it is cut.
const QUIET: Duration = Duration::from_millis(100);

/// An answer of a store has so many bytes. What is shorter acknowledges the mere request: what was
/// asked for is not done yet, and a flush may take a while.
const ANSWER_SIZE_MIN: usize = 64;

/// How long that is waited for. Nor is a target that always has something to say.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    pub(super) client: TcpStream,
    /// Nobody, when the target did not listen and nobody was to know.
    pub(super) target: Option<TcpStream>,
    /// Whether something has been swallowed.
    pub(super) has_gap: AtomicBool,
    /// Whether the next answer is to be lost.
    pub(super) is_unanswered: AtomicBool,
}

/// What to do with a chunk.
enum Verdict {
    Forward,
    Swallow,
    Cut,
    /// Once it is lost, and it is quiet.
    Lose,
}

impl Shared {
    /// One side has ended; the other is told, but not in a black hole.
    fn end(&self, connection: &Connection, other: Option<&TcpStream>) {
        let state = self.state.lock().unwrap();
        if state.mode == Mode::BlackHole {
            connection.has_gap.store(true, Ordering::SeqCst);
        } else {
            shut(other, Shutdown::Write);
        }
    }

    pub(super) fn carry_requests(&self, connection: &Connection) {
        let mut chunk = vec![0; CHUNK_SIZE];
        while let Some(size) = read(&connection.client, &mut chunk) {
            let verdict = self.judge_request(connection, &chunk[..size]);
            // Whoever sees that it has come may rely on the verdict.
            self.bytes_from_client.fetch_add(size as u64, Ordering::SeqCst);
            match verdict {
                Verdict::Forward => {
                    if !write(connection.target.as_ref(), &chunk[..size]) {
                        break;
                    }
                }
                Verdict::Swallow => {}
                Verdict::Cut | Verdict::Lose => return connection.cut(),
            }
        }
        self.end(connection, connection.target.as_ref());
    }

    pub(super) fn carry_answers(&self, connection: &Connection) {
        let Some(target) = &connection.target else { return };
        let mut chunk = vec![0; CHUNK_SIZE];
        while let Some(size) = read(target, &mut chunk) {
            match self.judge_answer(connection) {
                Verdict::Forward => {
                    if !write(Some(&connection.client), &chunk[..size]) {
                        break;
                    }
                }
                Verdict::Swallow => {}
                Verdict::Cut => return connection.cut(),
                Verdict::Lose => {
                    lose(target, size, &mut chunk);
                    return connection.cut();
                }
            }
        }
        self.end(connection, Some(&connection.client));
    }

    fn judge_request(&self, connection: &Connection, request: &[u8]) -> Verdict {
        let mut state = self.state.lock().unwrap();
        if state.mode == Mode::BlackHole {
            connection.has_gap.store(true, Ordering::SeqCst);
            return Verdict::Swallow;
        }
        if connection.has_gap.load(Ordering::SeqCst) || state.mode == Mode::Refuse {
            return Verdict::Cut;
        }
        if state.unanswered.take_if(|part| contains(request, part)).is_some() {
            connection.is_unanswered.store(true, Ordering::SeqCst);
        }
        Verdict::Forward
    }

    fn judge_answer(&self, connection: &Connection) -> Verdict {
        let state = self.state.lock().unwrap();
        let mode = state.mode;
        let mode = match mode {
            Mode::Delay(delay) => {
                let same = |state: &mut State| state.mode == mode && !state.ended;
                let (state, _) = self.changed.wait_timeout_while(state, delay, same).unwrap();
                state.mode
            }
            other => other,
        };
        match mode {
            Mode::BlackHole => {
                connection.has_gap.store(true, Ordering::SeqCst);
                Verdict::Swallow
            }
            Mode::Refuse => Verdict::Cut,
            Mode::DropAnswers => Verdict::Lose,
            _ if connection.has_gap.load(Ordering::SeqCst) => Verdict::Cut,
            _ if connection.is_unanswered.load(Ordering::SeqCst) => Verdict::Lose,
            Mode::Pass | Mode::Delay(_) => Verdict::Forward,
        }
    }
}

impl Connection {
    pub(super) fn cut(&self) {
        shut(Some(&self.client), Shutdown::Both);
        shut(self.target.as_ref(), Shutdown::Both);
    }
}

/// Takes the rest of an answer of which `size` bytes have come.
fn lose(target: &TcpStream, mut size: usize, chunk: &mut [u8]) {
    let start = Instant::now();
    while start.elapsed() < ANSWER_WAIT {
        let quiet = if size < ANSWER_SIZE_MIN { ANSWER_WAIT } else { QUIET };
        let _ = target.set_read_timeout(Some(quiet));
        let Some(more) = read(target, chunk) else { return };
        size += more;
    }
}

/// The size of the next chunk; `None` at the end, or when nothing comes in time.
fn read(mut stream: &TcpStream, chunk: &mut [u8]) -> Option<usize> {
    loop {
        match stream.read(chunk) {
            Ok(size) => return (size > 0).then_some(size),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn write(stream: Option<&TcpStream>, chunk: &[u8]) -> bool {
    stream.is_some_and(|mut stream| stream.write_all(chunk).is_ok())
}

fn shut(stream: Option<&TcpStream>, how: Shutdown) {
    // Fails when it is shut already.
    let _ = stream.map(|stream| stream.shutdown(how));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
