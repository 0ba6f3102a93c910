//! gRPC: connections, calls with tonic, and calls whose bytes are chosen freely.

use core::future::Future;
use core::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use coreflake_grpc::GenerateIdRequest;
use coreflake_grpc::id_generator_client::IdGeneratorClient;

use crate::common::{PATIENCE, Server};

/// Runs calls, for a bounded time.
#[track_caller]
pub(crate) fn run<T>(calls: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(2 * PATIENCE, calls).await };
    runtime.block_on(bounded).expect("the calls are answered in time")
}

pub(crate) async fn connect(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc())).unwrap();
    endpoint.connect_timeout(PATIENCE).connect().await.unwrap()
}

pub(crate) async fn client(server: &Server) -> IdGeneratorClient<Channel> {
    IdGeneratorClient::new(connect(server).await)
}

/// Checks that a new connection is served.
pub(crate) async fn assert_serves(server: &Server) {
    let reply = client(server).await.generate_id(GenerateIdRequest::default()).await.unwrap();
    assert!(reply.into_inner().id > 0);
}

/// A server that has to survive these calls: behind them another one is answered, and it ends well.
#[track_caller]
pub(crate) fn survives(calls: impl AsyncFnOnce(&Server)) {
    let server = Server::start(&[]);
    run(async {
        calls(&server).await;
        assert_serves(&server).await;
    });
    server.stop();
}

/// Waits until the health service has seen that the server serves: it looks now and then.
pub(crate) async fn wait_until_healthy(server: &Server) -> HealthClient<Channel> {
    let mut health = HealthClient::new(connect(server).await);
    for _ in 0..500 {
        let request = HealthCheckRequest { service: String::new() };
        let reply = health.check(request).await.unwrap().into_inner();
        if reply.status() == ServingStatus::Serving {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server serves, and the health service does not say so");
}

/// What came of a call that was made by hand.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Code,
    pub(crate) text: String,
    /// The message, with the five bytes before it.
    pub(crate) data: Bytes,
}

/// A message behind its length and this flag.
pub(crate) fn message(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), bytes].concat()
}

/// A connection for calls that are made by hand: nothing is added, and nothing understood.
pub(crate) struct Raw(SendRequest<Full<Bytes>>);

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = TokioIo::new(TcpStream::connect(server.grpc()).await.unwrap());
        let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = http.max_frame_size(16_384).handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Calls `method` with these headers and this body.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Outcome {
        let uri = format!("http://localhost/{method}");
        let mut request = Request::post(uri).header("te", "trailers");
        if headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.send(request).await.unwrap_or_else(|error| Outcome {
            code: Code::Unknown,
            text: format!("no reply: {error:?}"),
            data: Bytes::new(),
        })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Outcome> {
        self.0.ready().await?;
        let (head, mut body) = self.0.send_request(request).await?.into_parts();
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        // A reply that comes before the whole request may end with a reset.
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(bytes) => data.extend_from_slice(&bytes),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        let status = Status::from_header_map(&head.headers)
            .or_else(|| Status::from_header_map(&trailers))
            .unwrap_or_else(|| Status::unknown(format!("HTTP {}", head.status)));
        let (code, text) = (status.code(), status.message().to_owned());
        Ok(Outcome { code, text, data: data.into() })
    }
}

/// How long a call of these tests may take on the server.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
