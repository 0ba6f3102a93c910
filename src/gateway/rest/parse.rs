//! Taking an ID apart.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use coreflake_protocol::Id;
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway::desk::{self, Desk};
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::params::{Query, shown};
use crate::timestamp;

/// The parts of an ID, by the layout and epoch of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartsBody {
    /// When the ID was issued: RFC 3339, UTC, with milliseconds.
    #[schema(example = "2030-04-30T18:12:02.167Z")]
    timestamp: String,
    /// The same in milliseconds since the Unix epoch.
    timestamp_ms: u64,
    /// The datacenter.
    datacenter_id: u16,
    /// The worker.
    worker_id: u16,
    /// The number within the millisecond.
    sequence: u32,
}

/// Takes an ID apart.
pub(super) fn parse(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["id", "kind"])?;
    if let Some(name) = query.get("kind") {
        desk::kind(name).map_err(ApiError::kind)?;
    }
    let parts = desk.generator.parse(id(query.get("id"))?);
    let body = PartsBody {
        timestamp: timestamp::rfc3339(parts.unix_ms),
        timestamp_ms: parts.unix_ms,
        datacenter_id: parts.datacenter_id,
        worker_id: parts.worker_id,
        sequence: parts.sequence,
    };
    super::json(StatusCode::OK, &body)
}

fn id(text: Option<&str>) -> Result<Id, ApiError> {
    let expected = format!("a decimal number up to {} is expected", Id::MAX);
    let text = text.ok_or_else(|| ApiError::id(format!("id is missing: {expected}")))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .and_then(Id::new)
        .ok_or_else(|| ApiError::id(format!("id `{}`: {expected}", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_named() {
        assert_eq!(id(Some("0")).unwrap().get(), 0);
        assert_eq!(id(Some("9223372036854775807")).unwrap(), Id::MAX);
        for text in ["", "9223372036854775808", "-1", "+1", " 1", "abc", "１", "01ARZ3NDEKTSV4"] {
            assert!(id(Some(text)).is_err(), "{text}");
        }
        assert!(id(None).is_err());
    }
}
