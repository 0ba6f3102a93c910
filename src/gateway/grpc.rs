//! The gRPC door: `IDGenerator`, health checks and reflection.

use core::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use coreflake_grpc::id_generator_server::{IdGenerator, IdGeneratorServer};
use coreflake_grpc::{
    FILE_DESCRIPTOR_SET, GenerateBatchRequest, GenerateBatchResponse, GenerateIdRequest,
    GenerateIdResponse, HealthCheckRequest, HealthCheckResponse, ParseIdRequest, ParseIdResponse,
    SERVICE_NAME,
};
use coreflake_protocol::{Count, ErrorCode, Id};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_types::{ErrorDetails, StatusExt};

use crate::counters::Reject;
use crate::gateway::deadline;
use crate::gateway::desk::{self, Desk};
use crate::gateway::generator::Refused;
use crate::limits::GRPC_REQUEST_SIZE_MAX;

/// The services of one gateway thread, and who tells the health service how it is.
pub(crate) fn router(desk: &Arc<Desk>) -> io::Result<(Router, HealthReporter)> {
    let ids = IdGeneratorServer::new(Calls { desk: Arc::clone(desk) })
        .max_decoding_message_size(GRPC_REQUEST_SIZE_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let described = reflection().build_v1().map_err(io::Error::other)?;
    // The name that older tools ask under.
    let described_alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let routes = Routes::new(ids)
        .add_service(health.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX))
        .add_service(described.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX))
        .add_service(described_alpha.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX));
    let router = routes.prepare().into_axum_router();
    Ok((router.layer(from_fn(only_grpc)), reporter))
}

/// Turns away what does not say that it is gRPC, as its protocol over HTTP/2 asks for.
async fn only_grpc(request: axum::extract::Request, next: Next) -> axum::response::Response {
    let content = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let subtype = content.and_then(|content| content.strip_prefix(b"application/grpc"));
    match subtype {
        Some([] | [b'+' | b';', ..]) => next.run(request).await,
        _ => StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
    }
}

/// Tells those who ask or watch over `grpc.health.v1` whether IDs can be had.
pub(crate) async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    // The empty name stands for the whole server.
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
}

/// The service.
#[derive(Debug)]
struct Calls {
    desk: Arc<Desk>,
}

impl Calls {
    /// Answers a call of a peer that may make it, within the time that the peer gives.
    async fn call<T>(
        &self,
        method: &'static str,
        metadata: &MetadataMap,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let authorization = metadata.get("authorization").map(|value| value.as_bytes());
        let timeout = metadata.get("grpc-timeout").map(|value| value.to_str().unwrap_or_default());
        let result = if self.desk.admits(authorization) {
            match timeout.map(|text| (text, deadline::parse(text))) {
                None => answer.await,
                // What could be answered at once comes too late as well.
                Some((_, Some(timeout))) if timeout.is_zero() => Err(late()),
                Some((_, Some(timeout))) => {
                    tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(late()))
                }
                Some((text, None)) => {
                    let shown = text.escape_debug();
                    Err(Status::invalid_argument(format!("grpc-timeout `{shown}` is no timeout")))
                }
            }
        } else {
            self.desk.generator.reject(Reject::Unauthenticated);
            Err(Status::unauthenticated("a valid token is needed: `authorization: Bearer TOKEN`"))
        };
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.desk.metrics.count_grpc(method, name(code));
        result.map(Response::new)
    }
}

#[tonic::async_trait]
impl IdGenerator for Calls {
    async fn generate_id(
        &self,
        request: Request<GenerateIdRequest>,
    ) -> Result<Response<GenerateIdResponse>, Status> {
        self.call("GenerateID", request.metadata(), async {
            let runs = self.desk.generator.generate(Count::ONE).await?;
            let run = runs.first().expect("a request that was met has an ID");
            Ok(GenerateIdResponse { id: signed(run.first()) })
        })
        .await
    }

    async fn generate_batch(
        &self,
        request: Request<GenerateBatchRequest>,
    ) -> Result<Response<GenerateBatchResponse>, Status> {
        let given = request.get_ref().count;
        self.call("GenerateBatch", request.metadata(), async {
            let count = u32::try_from(given).ok().and_then(Count::new).ok_or_else(|| {
                self.desk.generator.reject(Reject::InvalidCount);
                let code = ErrorCode::InvalidCount;
                let text = format!("{code}: count {given}: 1 to {} are allowed", Count::MAX);
                Status::invalid_argument(text)
            })?;
            let runs = self.desk.generator.generate(count).await?;
            let ids = runs.into_iter().flat_map(|run| run.ids()).map(signed).collect();
            Ok(GenerateBatchResponse { ids })
        })
        .await
    }

    async fn parse_id(
        &self,
        request: Request<ParseIdRequest>,
    ) -> Result<Response<ParseIdResponse>, Status> {
        let given = request.get_ref().id;
        self.call("ParseID", request.metadata(), async {
            let id = u64::try_from(given).ok().and_then(Id::new).ok_or_else(|| {
                self.desk.generator.reject(Reject::InvalidId);
                let code = ErrorCode::InvalidId;
                let text = format!("{code}: id {given}: 0 to {} are allowed", Id::MAX);
                Status::invalid_argument(text)
            })?;
            let parts = self.desk.generator.parse(id);
            Ok(ParseIdResponse {
                timestamp_ms: saturated(parts.unix_ms),
                datacenter_id: parts.datacenter_id.into(),
                worker_id: parts.worker_id.into(),
                sequence: i32::try_from(parts.sequence).unwrap_or(i32::MAX),
            })
        })
        .await
    }

    async fn health_check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.call("HealthCheck", request.metadata(), async {
            let health = self.desk.generator.health();
            Ok(HealthCheckResponse {
                status: desk::status(&health),
                worker_id: health.worker_id.into(),
                datacenter_id: health.datacenter_id.into(),
                uptime_seconds: saturated(health.uptime_seconds),
                ids_generated: saturated(health.ids_generated),
            })
        })
        .await
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let Refused { code, retry_after_ms, text } = refused;
        let message = format!("{code}: {text}");
        if retry_after_ms == 0 {
            return Self::unavailable(message);
        }
        let retry_after = core::time::Duration::from_millis(retry_after_ms.into());
        let details = ErrorDetails::with_retry_info(Some(retry_after));
        Self::with_error_details(Code::Unavailable, message, details)
    }
}

fn late() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

/// An ID as it travels: its sign bit is never set.
fn signed(id: Id) -> i64 {
    saturated(id.get())
}

fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The name of a status code, as the gRPC documentation spells it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
