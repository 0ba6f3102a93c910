//! What surrounds every gRPC call: its content type, its time, and its place in the metrics.

use core::time::Duration;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use crate::counters::Reject;
use crate::gateway::deadline;
use crate::gateway::desk::Desk;
use crate::limits::GATEWAY_REQUEST_TIMEOUT;

/// Lets a call through that says that it is gRPC, as long as its peer will wait, and no longer than
/// any request may take.
pub(super) async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let method = Method::of(request.uri().path());
    let mut response = match timeout(request.headers()) {
        _ if !is_grpc(request.headers()) => {
            desk.generator.reject(Reject::InvalidRequest);
            StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()
        }
        Err(status) => {
            desk.generator.reject(Reject::InvalidRequest);
            status.into_http()
        }
        // Those who watch do so for as long as they like, and are told when the server stops.
        Ok(_) if method.streams => next.run(request).await,
        // What could be answered at once comes too late as well.
        Ok(timeout) if timeout.is_zero() => late(),
        Ok(timeout) => {
            tokio::time::timeout(timeout, next.run(request)).await.unwrap_or_else(|_| late())
        }
    };
    let code = match (method.own, code(&response)) {
        // A message that is none, or too long: the library's codes would blame the server.
        (true, Code::Internal) => recode(&desk, &mut response, Code::InvalidArgument),
        (true, Code::OutOfRange) => recode(&desk, &mut response, Code::ResourceExhausted),
        (_, Code::Unimplemented) => recode(&desk, &mut response, Code::Unimplemented),
        (_, code) => code,
    };
    desk.metrics.count_grpc(method.name, name(code));
    response
}

/// A method, as far as it matters here.
struct Method {
    name: &'static str,
    /// Whether it is one of `IDGenerator`.
    own: bool,
    streams: bool,
}

impl Method {
    fn of(path: &str) -> Self {
        let (name, own, streams) = match path {
            "/IDGenerator/GenerateID" => ("GenerateID", true, false),
            "/IDGenerator/GenerateBatch" => ("GenerateBatch", true, false),
            "/IDGenerator/ParseID" => ("ParseID", true, false),
            "/IDGenerator/HealthCheck" => ("HealthCheck", true, false),
            "/grpc.health.v1.Health/Check" => ("Check", false, false),
            "/grpc.health.v1.Health/Watch" => ("Watch", false, true),
            path if path.starts_with("/grpc.reflection.") => ("ServerReflectionInfo", false, true),
            _ => ("other", false, false),
        };
        Self { name, own, streams }
    }
}

/// Whether a request says that it is gRPC, as its protocol over HTTP/2 asks for.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let subtype = content.and_then(|content| content.strip_prefix(b"application/grpc"));
    matches!(subtype, Some([] | [b'+' | b';', ..]))
}

/// How long a call may take.
fn timeout(headers: &HeaderMap) -> Result<Duration, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(GATEWAY_REQUEST_TIMEOUT) };
    let text = value.to_str().unwrap_or_default();
    let timeout = deadline::parse(text).map(|timeout| timeout.min(GATEWAY_REQUEST_TIMEOUT));
    timeout.ok_or_else(|| {
        let shown: String = text.escape_debug().take(16).collect();
        Status::invalid_argument(format!("grpc-timeout `{shown}` is no timeout"))
    })
}

fn late() -> Response {
    let status = Status::deadline_exceeded("the deadline of the call has passed");
    status.into_http::<Body>()
}

/// How a call has ended. One that was answered tells so behind its answer.
fn code(response: &Response) -> Code {
    match response.headers().get("grpc-status") {
        Some(status) => Code::from_bytes(status.as_bytes()),
        None if response.status().is_success() => Code::Ok,
        None => Code::Unknown,
    }
}

fn recode(desk: &Desk, response: &mut Response, code: Code) -> Code {
    desk.generator.reject(Reject::InvalidRequest);
    response.headers_mut().insert("grpc-status", HeaderValue::from(i32::from(code)));
    code
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
