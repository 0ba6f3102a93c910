//! A gRPC server that follows a script.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coreflake_grpc::id_generator_server::{IdGenerator, IdGeneratorServer};
use coreflake_grpc::{
    GenerateBatchRequest, GenerateBatchResponse, GenerateIdRequest, GenerateIdResponse,
    HealthCheckRequest, HealthCheckResponse, ParseIdRequest, ParseIdResponse,
};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::peer::{DATACENTER_ID, WORKER_ID, run};

/// What becomes of the n-th request for so many IDs.
pub(crate) type Script = Box<dyn Fn(u64, u32) -> Result<Vec<i64>, Status> + Send + Sync>;

struct Peer {
    script: Script,
    requests: AtomicU64,
    token: Option<&'static str>,
}

/// Stops the server when it is dropped, connections and all.
pub(crate) struct Running {
    pub(crate) target: String,
    pub(crate) stop: oneshot::Sender<()>,
}

/// Starts a server that allows 128 requests at a time on a connection, and wants `token`, if any.
pub(crate) fn start(
    token: Option<&'static str>,
    script: impl Fn(u64, u32) -> Result<Vec<i64>, Status> + Send + Sync + 'static,
) -> Running {
    let (started, target) = std::sync::mpsc::channel::<SocketAddr>();
    let (stop, stopped) = oneshot::channel();
    let peer = Peer { script: Box::new(script), requests: AtomicU64::new(0), token };
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            started.send(listener.local_addr().unwrap()).unwrap();
            let server = Server::builder()
                .max_concurrent_streams(128)
                .add_service(IdGeneratorServer::new(peer))
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::select! {
                ended = server => ended.unwrap(),
                _ = stopped => {}
            }
        });
    });
    Running { target: format!("grpc://{}", target.recv().unwrap()), stop }
}

/// `count` IDs of tick `number`.
pub(crate) fn honest(number: u64, count: u32) -> Result<Vec<i64>, Status> {
    Ok(run(number * 1000, count).ids().map(|id| id.get().cast_signed()).collect())
}

impl Peer {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let shown = request.metadata().get("authorization").map(|value| value.to_str().unwrap());
        let wanted = self.token.map(|token| format!("Bearer {token}"));
        if shown == wanted.as_deref() {
            return Ok(());
        }
        Err(Status::unauthenticated("UNAUTHENTICATED: show a token"))
    }

    fn ids(&self, count: u32) -> Result<Vec<i64>, Status> {
        (self.script)(self.requests.fetch_add(1, Ordering::Relaxed), count)
    }
}

#[tonic::async_trait]
impl IdGenerator for Peer {
    async fn generate_id(
        &self,
        request: Request<GenerateIdRequest>,
    ) -> Result<Response<GenerateIdResponse>, Status> {
        self.check(&request)?;
        Ok(Response::new(GenerateIdResponse { id: self.ids(1)?[0], ..Default::default() }))
    }

    async fn generate_batch(
        &self,
        request: Request<GenerateBatchRequest>,
    ) -> Result<Response<GenerateBatchResponse>, Status> {
        self.check(&request)?;
        let count = request.into_inner().count.cast_unsigned();
        Ok(Response::new(GenerateBatchResponse { ids: self.ids(count)?, ..Default::default() }))
    }

    async fn parse_id(
        &self,
        _: Request<ParseIdRequest>,
    ) -> Result<Response<ParseIdResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn health_check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.check(&request)?;
        Ok(Response::new(HealthCheckResponse {
            status: "healthy".to_owned(),
            worker_id: WORKER_ID.into(),
            datacenter_id: DATACENTER_ID.into(),
            ..HealthCheckResponse::default()
        }))
    }
}
