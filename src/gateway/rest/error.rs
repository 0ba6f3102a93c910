//! What a peer is told when it gets nothing: a status, and a JSON object that says why.

use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use coreflake_protocol::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::counters::Reject;
use crate::gateway::desk::shown;
use crate::gateway::generator::Refused;

/// Why a request was not answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_ms: u32,
    allow: Option<&'static str>,
    /// Under what it counts, if it has not been counted.
    reject: Option<Reject>,
}

/// An error as it travels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody<'a> {
    /// The reason, stable for ever: the names of the binary protocol where it has one.
    #[schema(example = "INVALID_COUNT")]
    code: &'a str,
    /// The reason for people.
    #[schema(example = "count `0`: 1 to 4096 are allowed")]
    message: &'a str,
    /// When to ask again, in milliseconds; 0 when it would not help.
    #[schema(example = 0)]
    retry_after_ms: u32,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        let reject = Some(Reject::InvalidRequest);
        Self { status, code, message, retry_after_ms: 0, allow: None, reject }
    }

    fn known(status: StatusCode, code: ErrorCode, message: String, reject: Reject) -> Self {
        Self { reject: Some(reject), ..Self::new(status, code.name(), message) }
    }

    /// Under what the error counts, if it has not been counted where it arose.
    pub(crate) const fn reject(&self) -> Option<Reject> {
        self.reject
    }

    /// A parameter that makes no sense.
    pub(crate) fn parameter(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER", message)
    }

    /// A number of IDs that is not allowed.
    pub(crate) fn count(message: String) -> Self {
        Self::known(StatusCode::BAD_REQUEST, ErrorCode::InvalidCount, message, Reject::InvalidCount)
    }

    /// A kind that is not there.
    pub(crate) fn kind(message: String) -> Self {
        Self::known(StatusCode::BAD_REQUEST, ErrorCode::UnknownKind, message, Reject::UnknownKind)
    }

    /// Something that is no ID.
    pub(crate) fn id(message: String) -> Self {
        Self::known(StatusCode::BAD_REQUEST, ErrorCode::InvalidId, message, Reject::InvalidId)
    }

    /// A body that cannot be read.
    pub(crate) fn body(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_BODY", message)
    }

    /// A body that is too long.
    pub(crate) fn body_size(size_max: usize) -> Self {
        let message = format!("the body may have {size_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_SIZE", message)
    }

    /// A body that does not come.
    pub(crate) fn body_late() -> Self {
        let message = "the body has not come in time".to_owned();
        let reject = Some(Reject::FrameTimeout);
        let status = StatusCode::REQUEST_TIMEOUT;
        Self { reject, ..Self::new(status, "REQUEST_TIMEOUT", message) }
    }

    /// A body that is no JSON.
    pub(crate) fn media_type() -> Self {
        let message = "a body has to be application/json".to_owned();
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// No token, or a wrong one.
    pub(crate) fn unauthenticated() -> Self {
        let message = "a valid token is needed: `Authorization: Bearer TOKEN`".to_owned();
        let (status, code) = (StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated);
        Self::known(status, code, message, Reject::Unauthenticated)
    }

    /// A path that is not there.
    pub(crate) fn not_found(path: &str) -> Self {
        let message = format!("there is no {}", shown(path));
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    /// A request that does not name one host (RFC 9112 §3.2).
    pub(crate) fn host() -> Self {
        let message = "exactly one `Host` is needed, with the name of a host".to_owned();
        Self::new(StatusCode::BAD_REQUEST, "INVALID_HOST", message)
    }

    /// A method that the path does not have.
    pub(crate) fn method(method: &Method, allow: &'static str) -> Self {
        let message = format!("{} is not allowed here: {allow} is", shown(method.as_str()));
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { allow: Some(allow), ..Self::new(status, "METHOD_NOT_ALLOWED", message) }
    }

    /// The server's own fault.
    pub(crate) fn internal(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let Refused { code, retry_after_ms, text } = refused;
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { retry_after_ms, reject: None, ..Self::new(status, code.name(), text.to_owned()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, ref message, retry_after_ms, allow, reject: _ } = self;
        let body = ErrorBody { code, message, retry_after_ms };
        // Strings and a number: there is nothing that JSON could not hold.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if retry_after_ms > 0 {
            // The header has whole seconds (RFC 9110 §10.2.3); the body is exact.
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1_000)));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
