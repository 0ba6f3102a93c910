//! The IDs of a stretch of time.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use crate::details::IdRange;
use crate::gateway::desk::{Desk, shown};
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::form::Form;
use crate::gateway::rest::params::Query;
use crate::timestamp;

/// Computes the range.
pub(super) fn range(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["from", "to", "kind", "encoding"])?;
    let form = Form::read(&query, None, None)?;
    let (from_ms, to_ms) = (time(&query, "from")?, time(&query, "to")?);
    let namespace = &desk.identity.namespace;
    let body = IdRange::of(namespace, form.new_kind(), form.encoding, (from_ms, to_ms))
        .map_err(|error| ApiError::parameter(error.to_string()))?;
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
