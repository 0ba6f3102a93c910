//! Taking an ID apart.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use coreflake_protocol::{AnyId, Encoding};

use crate::details::ParsedId;
use crate::gateway::desk::{Desk, shown};
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::form::Form;
use crate::gateway::rest::params::Query;

/// Takes an ID apart.
pub(super) fn parse(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["id", "kind", "encoding"])?;
    let form = Form::read(&query, None, None)?;
    let text = query.get("id");
    let id = id(text, form)?;
    let body = ParsedId::of(&desk.identity.namespace, id, form.encoding).map_err(|error| {
        let given = shown(text.unwrap_or_default());
        ApiError::id(format!("id `{given}`: {error}"))
    })?;
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
