//! Taking an ID apart.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use coreflake_protocol::{AnyId, Encoding, Slot};
use serde::Serialize;
use utoipa::ToSchema;

use crate::details::Details;
use crate::gateway::desk::Desk;
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::form::{Bare, BareSchema, Form, Text};
use crate::gateway::rest::params::{Query, shown};
use crate::timestamp;

/// The parts of an ID, by the settings of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartsBody {
    /// The ID.
    #[schema(value_type = BareSchema)]
    id: Bare,
    /// The ID as text, as it was given.
    #[schema(value_type = String)]
    id_str: Text,
    /// When the ID was issued: RFC 3339, UTC, with milliseconds; null beyond the year 9999.
    #[schema(required, example = "2030-04-30T18:12:02.167Z")]
    timestamp: Option<String>,
    /// The same in milliseconds since the Unix epoch.
    timestamp_ms: u64,
    /// The datacenter; null when the ID names no slot of this server's namespace.
    #[schema(required)]
    datacenter_id: Option<u16>,
    /// The worker; null as well then.
    #[schema(required)]
    worker_id: Option<u16>,
    /// The number within the timestamp: the sequence of a 64-bit ID, the counter of others.
    sequence: u32,
    /// The kind of ID.
    #[schema(example = "snowflake")]
    kind: &'static str,
    /// What only some kinds have.
    #[serde(flatten)]
    details: Details,
}

/// Takes an ID apart.
pub(super) fn parse(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["id", "kind", "encoding"])?;
    let form = Form::read(&query, None, None)?;
    let text = query.get("id");
    let id = id(text, form)?;
    let parsed = desk.identity.namespace.parse(id).map_err(|error| {
        let given = shown(text.unwrap_or_default());
        ApiError::id(format!("id `{given}`: {error}"))
    })?;
    let body = PartsBody {
        id: Bare(id),
        id_str: form.text(id),
        timestamp: timestamp::rfc3339_of(parsed.unix_ms),
        timestamp_ms: parsed.unix_ms,
        datacenter_id: parsed.slot.map(Slot::datacenter_id),
        worker_id: parsed.slot.map(Slot::worker_id),
        sequence: parsed.sequence,
        kind: id.kind().name(),
        details: Details::of(&desk.identity.namespace, id),
    };
    super::json(StatusCode::OK, &body)
}

fn id(text: Option<&str>, form: Form) -> Result<AnyId, ApiError> {
    let missing = || ApiError::id(format!("id is missing: {}", Encoding::Decimal.rule()));
    let text = text.ok_or_else(missing)?;
    AnyId::read(text, form.kind, form.encoding)
        .map_err(|error| ApiError::id(format!("id `{}`: {error}", shown(text))))
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Id;

    use super::*;

    #[test]
    fn what_is_no_id_is_named() {
        let form = Form { kind: None, encoding: None };
        let number = |text| id(Some(text), form).unwrap().id();
        assert_eq!(number("0"), Id::new(0));
        assert_eq!(number("9223372036854775807"), Some(Id::MAX));
        for text in ["", "9223372036854775808", "-1", "+1", " 1", "abc", "１", "01ARZ3NDEKTSV4"] {
            assert!(id(Some(text), form).is_err(), "{text}");
        }
        assert!(id(None, form).is_err());
    }
}
