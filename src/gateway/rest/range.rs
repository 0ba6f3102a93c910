//! The IDs of a stretch of time.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::details::Bare;
use crate::gateway::desk::Desk;
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::form::{BareSchema, Form, Text};
use crate::gateway::rest::params::{Query, shown};
use crate::timestamp;

/// The smallest and the largest ID of a stretch of time, for range scans. They need not have been
/// issued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RangeBody {
    /// When it begins: RFC 3339, UTC, with milliseconds; null beyond the year 9999.
    #[schema(required, example = "2026-11-01T00:00:00.000Z")]
    from: Option<String>,
    /// When it ends; the last millisecond belongs to it.
    #[schema(required, example = "2026-11-30T23:59:59.999Z")]
    to: Option<String>,
    /// The beginning in milliseconds since the Unix epoch.
    from_ms: u64,
    /// The end in milliseconds since the Unix epoch.
    to_ms: u64,
    /// No ID of the stretch is smaller.
    #[schema(value_type = BareSchema)]
    min_id: Bare,
    /// No ID of the stretch is larger.
    #[schema(value_type = BareSchema)]
    max_id: Bare,
    /// The smallest as text, in the encoding that was asked for.
    #[schema(value_type = String)]
    min_id_str: Text,
    /// The largest as text.
    #[schema(value_type = String)]
    max_id_str: Text,
    /// The kind of ID.
    #[schema(example = "snowflake")]
    kind: &'static str,
}

/// Computes the range.
pub(super) fn range(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["from", "to", "kind", "encoding"])?;
    let form = Form::read(&query, None, None)?;
    let (from_ms, to_ms) = (time(&query, "from")?, time(&query, "to")?);
    let kind = form.new_kind();
    let bounds = desk.identity.namespace.bounds(kind, from_ms, to_ms);
    let bounds = bounds.map_err(|error| ApiError::parameter(error.to_string()))?;
    let body = RangeBody {
        from: timestamp::rfc3339_of(from_ms),
        to: timestamp::rfc3339_of(to_ms),
        from_ms,
        to_ms,
        min_id: Bare(bounds.min),
        max_id: Bare(bounds.max),
        min_id_str: form.text(bounds.min),
        max_id_str: form.text(bounds.max),
        kind: kind.name(),
    };
    super::json(StatusCode::OK, &body)
}

fn time(query: &Query, name: &str) -> Result<u64, ApiError> {
    let rule = timestamp::RULE;
    let text = query.get(name);
    let text = text.ok_or_else(|| ApiError::parameter(format!("{name} is missing: {rule}")))?;
    let wrong = || ApiError::parameter(format!("{name} `{}`: {rule}", shown(text)));
    // In a query `+` is a space, unless it is written as %2B, which few do for `+00:00`.
    let offset =
        text.len().checked_sub("+00:00".len()).filter(|at| text.get(*at..=*at) == Some(" "));
    match offset.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((time, offset)) => timestamp::read(&format!("{time}+{offset}")).ok_or_else(wrong),
        None => timestamp::read(text).ok_or_else(wrong),
    }
}
