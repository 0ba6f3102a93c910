//! A server that does what the test says, over TCP.

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use coreflake_client::{AnyId, Client, ErrorCode, Id, Info, Kind, Namespace, Run};
use coreflake_protocol::frame::{self, REQUEST_SIZE_MAX, Split};
use coreflake_protocol::{ErrorReply, IdsWriter, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Only a hang takes this long; no test asserts on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Generate(u32),
    Parse(AnyId),
    /// Any kind but snowflakes.
    GenerateOf(Kind, u32),
    Health,
    Info,
    Ping,
    Auth(Vec<u8>),
}

pub(crate) struct Peer {
    listener: TcpListener,
}

pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl From<TcpListener> for Peer {
    fn from(listener: TcpListener) -> Self {
        Self { listener }
    }
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("tcp://{}", self.listener.local_addr().unwrap())
    }

    /// A client with a deadline that no test reaches unless it means to.
    pub(crate) fn client(&self) -> Client {
        let builder = Client::builder().endpoint(self.endpoint());
        builder.call_timeout(PATIENCE).connect_timeout(PATIENCE).build().unwrap()
    }

    pub(crate) async fn accept(&self) -> Connection {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, input: Vec::new() }
    }
}

impl Connection {
    /// The next request.
    pub(crate) async fn request(&mut self) -> (u64, Asked) {
        loop {
            if let Some(request) = self.buffered() {
                return request;
            }
            assert!(self.read().await > 0, "the client closed the connection");
        }
    }

    /// Every request of one read call.
    pub(crate) async fn requests_of_one_read(&mut self) -> Vec<(u64, Asked)> {
        self.read().await;
        std::iter::from_fn(|| self.buffered()).collect()
    }

    /// Answers the next request, which must be for `count` IDs, with one run.
    pub(crate) async fn serve(&mut self, first: u64, count: u32) {
        let (request_id, asked) = self.request().await;
        assert_eq!(asked, Asked::Generate(count));
        self.ids(request_id, &[(first, count)]).await;
    }

    pub(crate) async fn ids(&mut self, request_id: u64, runs: &[(u64, u32)]) {
        self.write(&generated(request_id, runs)).await;
    }

    pub(crate) async fn reply(&mut self, request_id: u64, response: Response<'_>) {
        self.write(&encoded(request_id, response)).await;
    }

    pub(crate) async fn refuse(&mut self, request_id: u64, code: ErrorCode, retry_after_ms: u32) {
        let text = b"says the peer";
        let error = ErrorReply { code: code.wire(), retry_after_ms, text };
        self.reply(request_id, Response::Error(error)).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Waits until the client has closed the connection; requests before that are not looked at.
    pub(crate) async fn closed(mut self) {
        while self.read().await > 0 {}
    }

    async fn read(&mut self) -> usize {
        // Room for everything a client may have in flight: one read takes all that was written.
        self.input.reserve(1 << 16);
        // A reset is a close, too.
        within(self.stream.read_buf(&mut self.input)).await.unwrap_or(0)
    }

    fn buffered(&mut self) -> Option<(u64, Asked)> {
        let (asked, consumed) = cut(&self.input)?;
        self.input.drain(..consumed);
        Some(asked)
    }
}

/// The first request in `bytes` with its id, and its size.
pub(crate) fn cut(bytes: &[u8]) -> Option<((u64, Asked), usize)> {
    let Split::Complete { frame, consumed } = frame::split(bytes, REQUEST_SIZE_MAX).unwrap() else {
        return None;
    };
    let asked = match Request::decode(&frame).unwrap() {
        Request::Generate { kind: Kind::Snowflake, count } => Asked::Generate(count.get()),
        Request::Generate { kind, count } => Asked::GenerateOf(kind, count.get()),
        Request::Parse { id } => Asked::Parse(id),
        Request::Health => Asked::Health,
        Request::Info => Asked::Info,
        Request::Ping => Asked::Ping,
        Request::Auth { token } => Asked::Auth(token.to_vec()),
    };
    Some(((frame.header.request_id, asked), consumed))
}

pub(crate) fn encoded(request_id: u64, response: Response<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(request_id, &mut bytes);
    bytes
}

pub(crate) fn generated(request_id: u64, runs: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = IdsWriter::begin(&mut bytes, request_id);
    for (first, count) in runs {
        writer.push(&mut bytes, run(*first, *count));
    }
    writer.finish(&mut bytes);
    bytes
}

/// The same with IDs of 128 bits.
pub(crate) fn generated_wide(request_id: u64, ids: &[u128]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = IdsWriter::begin(&mut bytes, request_id);
    ids.iter().for_each(|id| writer.push_wide(&mut bytes, *id));
    writer.finish(&mut bytes);
    bytes
}

pub(crate) fn run(first: u64, count: u32) -> Run {
    Run::new(id(first), NonZeroU32::new(count).unwrap()).unwrap()
}

pub(crate) fn id(number: u64) -> Id {
    Id::new(number).unwrap()
}

/// Starts a call on a task of its own, so that the test can play the server meanwhile.
pub(crate) fn start<F>(call: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(within(call))
}

/// Starts `next` on a clone of `client`.
pub(crate) fn start_next(client: &Client) -> JoinHandle<Result<Id, coreflake_client::Error>> {
    let client = client.clone();
    start(async move { client.next().await })
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing happened for too long")
}

/// What a server says of itself.
pub(crate) fn info() -> Info {
    Info {
        namespace: Namespace::DEFAULT,
        datacenter_id: 1,
        worker_ids: [2].into_iter().collect(),
        count_max: 4096,
        request_size_max: 1024,
        datagram_size_max: 1200,
        shards: 2,
        lane: 1,
        home_size: 512,
        pool_size: 3072,
        window_left_ms: 5,
        lane_ids: 6,
        lane_waits: 7,
        lane_pool_claims: 8,
    }
}
