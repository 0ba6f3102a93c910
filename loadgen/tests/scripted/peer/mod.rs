//! A server that follows a script: what it answers to the n-th request is for the test to say.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use coreflake_protocol::frame::{REQUEST_SIZE_MAX, Split, split};
use coreflake_protocol::{
    ErrorCode, ErrorReply, Frame, IdsWriter, Info, Kind, Layout, Namespace, Request, Response, Run,
    Tick,
};
use serde_json::Value;

pub(crate) const DATACENTER_ID: u16 = 3;
pub(crate) const WORKER_ID: u16 = 7;
pub(crate) const TOKEN: &[u8] = b"open sesame";

/// What the peer does with a GENERATE.
pub(crate) enum Answer {
    Runs(Vec<Run>),
    /// IDs of 128 bits.
    Wide(Vec<u128>),
    Refuse(ErrorCode),
    /// UDP only: these IDs, but not before something comes that is answered at once.
    Late(Vec<Run>),
    /// Nothing at all.
    Silence,
    /// TCP only: close the connection.
    Close,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Send,
    Hold,
    Close,
}

/// Called with the number of the request, from 0 over all connections, and its count.
pub(crate) type Script = Box<dyn FnMut(u64, u32) -> Answer + Send>;

struct State {
    script: Script,
    requests: u64,
    /// Of each of the two lanes.
    ids: [u64; 2],
    needs_token: bool,
}

/// Starts a TCP peer. Connection n is on lane n mod 2.
pub(crate) fn tcp(script: Script) -> SocketAddr {
    serve_tcp(script, false)
}

/// Starts a TCP peer that answers nothing before it has seen [`TOKEN`].
pub(crate) fn tcp_with_token(script: Script) -> SocketAddr {
    serve_tcp(script, true)
}

/// Starts a UDP peer.
pub(crate) fn udp(script: Script) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut state = State { script, requests: 0, ids: [0; 2], needs_token: false };
    thread::spawn(move || {
        let (mut buffer, mut held) = ([0; 2048], Vec::new());
        loop {
            let (size, client) = socket.recv_from(&mut buffer).unwrap();
            assert!(size <= 1200, "a datagram of {size} bytes");
            let Ok(Split::Complete { frame, consumed }) = split(&buffer[..size], REQUEST_SIZE_MAX)
            else {
                panic!("no frame");
            };
            assert!(buffer[consumed..size].iter().all(|byte| *byte == 0), "padding is zero");
            let mut out = Vec::new();
            let next = state.answer(&frame, 0, &mut out);
            assert!(out.len() <= size, "a reply of {} bytes to {size}", out.len());
            held.push((out, client));
            if next == Next::Hold {
                continue;
            }
            for (reply, client) in held.drain(..).filter(|(reply, _)| !reply.is_empty()) {
                socket.send_to(&reply, client).unwrap();
            }
        }
    });
    address
}

/// `count` IDs from number `first` of all IDs the peer could make; 1000 a tick.
pub(crate) fn run(first: u64, count: u32) -> Run {
    let layout = Layout::SNOWFLAKE;
    let slot = layout.slot(DATACENTER_ID.into(), WORKER_ID.into()).unwrap();
    let sequence = layout.sequence(u32::try_from(first % 1000).unwrap()).unwrap();
    layout.pack_run(Tick::new(first / 1000), slot, sequence, NonZeroU32::new(count).unwrap())
}

/// IDs that never repeat and always grow: every request has a tick of its own.
pub(crate) fn honest(number: u64, count: u32) -> Answer {
    Answer::Runs(vec![run(number * 1000, count)])
}

/// The `number`-th ULID or UUID that the peer could make.
pub(crate) fn wide(kind: Kind, number: u64) -> u128 {
    let namespace = Namespace::DEFAULT;
    let slot = namespace.layout().slot(DATACENTER_ID.into(), WORKER_ID.into()).unwrap();
    namespace.pack_wide(kind, 1_700_000_000_000 + number, slot, 5, number, 0)
}

/// What the load generator did.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

/// Runs the load generator against `target` with `flags` and without warmup unless they say so.
pub(crate) fn loadgen(target: &str, flags: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["--target", target, "--json", "-"]).args(flags.split_whitespace());
    if !flags.contains("--warmup") {
        command.args(["--warmup", "0"]);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Outcome { code: output.status.code(), report, stderr }
}

impl Outcome {
    /// The number at `path` (`latency_us.p50`) in the report.
    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> f64 {
        let value = path.split('.').fold(&self.report, |value, key| &value[key]);
        value.as_f64().unwrap_or_else(|| panic!("{path} in {:#}: {}", self.report, self.stderr))
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{:#}\n{}", self.report, self.stderr);
    }
}

/// A file that nobody else has, and that goes away with the value.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    /// Names a file and makes none.
    pub(crate) fn new(name: &str) -> Self {
        // Not by the process ID, which runs in two containers on one target directory may share.
        let name = format!("{name}-{:016x}", fastrand::u64(..));
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub(crate) fn write(&self, bytes: impl AsRef<[u8]>) {
        fs::write(&self.0, bytes).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn serve_tcp(script: Script, needs_token: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State { script, requests: 0, ids: [0; 2], needs_token }));
    thread::spawn(move || {
        for (number, stream) in (0u16..).zip(listener.incoming()) {
            let state = Arc::clone(&state);
            thread::spawn(move || serve_connection(stream.unwrap(), &state, number % 2));
        }
    });
    address
}

fn serve_connection(mut stream: TcpStream, state: &Mutex<State>, lane: u16) {
    stream.set_nodelay(true).unwrap();
    let (mut held, mut buffer, mut out) = (Vec::new(), [0; 4096], Vec::new());
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        held.extend_from_slice(&buffer[..size]);
        let mut rest = held.as_slice();
        while let Split::Complete { frame, consumed } = split(rest, REQUEST_SIZE_MAX).unwrap() {
            let next = state.lock().unwrap().answer(&frame, lane, &mut out);
            assert_ne!(next, Next::Hold, "replies over TCP keep their order");
            if next == Next::Close || stream.write_all(&out).is_err() {
                return;
            }
            out.clear();
            rest = &rest[consumed..];
        }
        held = rest.to_vec();
    }
}

impl State {
    fn answer(&mut self, frame: &Frame<'_>, lane: u16, out: &mut Vec<u8>) -> Next {
        let request_id = frame.header.request_id;
        match Request::decode(frame).unwrap() {
            Request::Auth { token } if token == TOKEN => {
                self.needs_token = false;
                Response::Auth.encode(request_id, out);
            }
            _ if self.needs_token => refuse(ErrorCode::Unauthenticated, request_id, out),
            Request::Info => Response::Info(self.info(lane)).encode(request_id, out),
            Request::Generate { count, .. } => {
                let number = self.requests;
                self.requests += 1;
                let answer = (self.script)(number, count.get());
                let next = match &answer {
                    Answer::Late(_) => Next::Hold,
                    Answer::Close => Next::Close,
                    _ => Next::Send,
                };
                match answer {
                    Answer::Runs(runs) | Answer::Late(runs) => {
                        let mut writer = IdsWriter::begin(out, request_id);
                        for run in runs {
                            self.ids[usize::from(lane)] += u64::from(run.count().get());
                            writer.push(out, run);
                        }
                        writer.finish(out);
                    }
                    Answer::Wide(ids) => {
                        let mut writer = IdsWriter::begin(out, request_id);
                        self.ids[usize::from(lane)] += ids.len() as u64;
                        ids.into_iter().for_each(|bits| writer.push_wide(out, bits));
                        writer.finish(out);
                    }
                    Answer::Refuse(code) => refuse(code, request_id, out),
                    Answer::Silence | Answer::Close => {}
                }
                return next;
            }
            other => panic!("unexpected {other:?}"),
        }
        Next::Send
    }

    /// All counters grow with the IDs, so that a test can tell them apart.
    fn info(&self, lane: u16) -> Info {
        let ids = self.ids[usize::from(lane)];
        Info {
            namespace: Namespace::DEFAULT,
            datacenter_id: DATACENTER_ID,
            worker_ids: [WORKER_ID].into_iter().collect(),
            count_max: 4096,
            request_size_max: 1024,
            datagram_size_max: 1200,
            shards: 2,
            lane,
            home_size: 512,
            pool_size: 3072,
            window_left_ms: 1000,
            lane_ids: ids,
            lane_waits: ids * 2,
            lane_pool_claims: ids * 3,
        }
    }
}

fn refuse(code: ErrorCode, request_id: u64, out: &mut Vec<u8>) {
    let error = ErrorReply { code: code.wire(), retry_after_ms: 0, text: b"" };
    Response::Error(error).encode(request_id, out);
}
