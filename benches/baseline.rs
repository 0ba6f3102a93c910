//! What REST and gRPC are compared with: the smallest server that axum and tonic make, on one
//! thread. Its replies look like those of the gateway, and say the same each time.
//!
//! `baseline` prints where it listens and serves until it is killed.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use coreflake_grpc::id_generator_server::{IdGenerator, IdGeneratorServer};
use coreflake_grpc::{
    GenerateBatchRequest, GenerateBatchResponse, GenerateIdRequest, GenerateIdResponse,
    HealthCheckRequest, HealthCheckResponse, ParseIdRequest, ParseIdResponse,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ID: &str = r#"{"id":780490882771059648,"id_str":"780490882771059648"}"#;
const HEALTH: &str =
    r#"{"status":"healthy","worker_id":0,"datacenter_id":0,"shards":1,"epoch_ms":1609459200000}"#;

/// Answers every call with the same.
struct Echo;

#[tonic::async_trait]
impl IdGenerator for Echo {
    async fn generate_id(
        &self,
        _: Request<GenerateIdRequest>,
    ) -> Result<Response<GenerateIdResponse>, Status> {
        Ok(Response::new(GenerateIdResponse { id: 780_490_882_771_059_648, ..Default::default() }))
    }

    async fn generate_batch(
        &self,
        request: Request<GenerateBatchRequest>,
    ) -> Result<Response<GenerateBatchResponse>, Status> {
        let count = i64::from(request.get_ref().count);
        Ok(Response::new(GenerateBatchResponse { ids: (0..count).collect(), ..Default::default() }))
    }

    async fn parse_id(
        &self,
        _: Request<ParseIdRequest>,
    ) -> Result<Response<ParseIdResponse>, Status> {
        Ok(Response::new(ParseIdResponse::default()))
    }

    async fn health_check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse::default()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let http = TcpListener::bind(free).await?;
    let grpc = TcpListener::bind(free).await?;
    println!("ready http={} grpc={}", http.local_addr()?, grpc.local_addr()?);
    let json = |body: &'static str| {
        get(move || async move { ([("content-type", "application/json")], body) })
    };
    let router = Router::new().route("/api/v1/id", json(ID)).route("/api/v1/health", json(HEALTH));
    let calls = tonic::transport::Server::builder()
        .add_service(IdGeneratorServer::new(Echo))
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(grpc));
    let rest = async { axum::serve(http, router).await.map_err(Into::into) };
    let calls = async { calls.await.map_err(Box::<dyn std::error::Error>::from) };
    tokio::try_join!(rest, calls)?;
    Ok(())
}
