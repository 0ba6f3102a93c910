//! The parameters of a request: a query string, or a JSON object.

use core::error::Error;

use axum::body::{HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use coreflake_protocol::Count;
use http_body_util::LengthLimitError;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use tokio::time::timeout;

use crate::gateway::desk::shown;
use crate::gateway::rest::error::ApiError;
use crate::limits::{GATEWAY_BODY_SIZE_MAX, GATEWAY_BODY_TIMEOUT};

/// The parameters of a query string, each at most once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `text`, in which only the `known` names may stand. A name that is misspelled must not
    /// be a name that was not given.
    pub(crate) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let text = text.unwrap_or_default().as_bytes();
        for (name, value) in form_urlencoded::parse(text) {
            let shown = shown(&name);
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none" } else { &known.join(", ") };
                let message = format!("parameter `{shown}` is unknown: {known} is allowed");
                return Err(ApiError::parameter(message));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(ApiError::parameter(format!("parameter `{shown}` is given twice")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter that was given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The JSON body of a POST request, if it has one.
pub(crate) async fn body<T: DeserializeOwned>(request: Request) -> Result<Option<T>, ApiError> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    // Who says beforehand that it is too much need not send it.
    if request.body().size_hint().lower() > GATEWAY_BODY_SIZE_MAX as u64 {
        return Err(ApiError::body_size(GATEWAY_BODY_SIZE_MAX));
    }
    let content = request.headers().get(CONTENT_TYPE).cloned();
    let bytes = to_bytes(request.into_body(), GATEWAY_BODY_SIZE_MAX);
    // The stream's own deadline ends with the first byte that is sent, and that may have been the
    // reply to an earlier request, or a `100 Continue`.
    let bytes = timeout(GATEWAY_BODY_TIMEOUT, bytes).await.map_err(|_| ApiError::body_late())?;
    let bytes = bytes.map_err(|error| match error.source() {
        Some(cause) if cause.is::<LengthLimitError>() => ApiError::body_size(GATEWAY_BODY_SIZE_MAX),
        _ => ApiError::body(format!("body: {error}")),
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let media = content.as_ref().and_then(|content| content.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::media_type());
    }
    // An array would do for a structure, field by field.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::body("body: a JSON object is expected".to_owned()));
    }
    let body = serde_json::from_slice(&bytes);
    body.map(Some).map_err(|error| ApiError::body(format!("body: {error}")))
}

/// A field that may be missing, but that is not `null`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A count that may be missing. In JSON, `3.0` and `3e0` are whole numbers as well.
pub(crate) fn count_field<'de, D: Deserializer<'de>>(field: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    let whole = || value.as_f64()?.to_string().parse().ok();
    let count = value.as_u64().or_else(whole);
    count.map(Some).ok_or_else(|| {
        let shown = shown(&value.to_string());
        D::Error::custom(format!("count `{shown}`: 1 to {} are allowed", Count::MAX))
    })
}

/// Of a query string and a body, the one that names a parameter. `None` when neither does.
pub(crate) fn either<T>(
    name: &str,
    query: Option<T>,
    body: Option<T>,
) -> Result<Option<T>, ApiError> {
    if query.is_some() && body.is_some() {
        let message = format!("`{name}` is given twice: in the query and in the body");
        return Err(ApiError::parameter(message));
    }
    Ok(query.or(body))
}

/// A number of IDs in decimal digits.
pub(crate) fn count(text: &str) -> Result<Count, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.then(|| text.parse().ok()).flatten().and_then(Count::new);
    count.ok_or_else(|| {
        ApiError::count(format!("count `{}`: 1 to {} are allowed", shown(text), Count::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_once_and_is_known() {
        let query = Query::read(Some("count=%31%32&kind="), &["count", "kind"]).unwrap();
        assert_eq!((query.get("count"), query.get("kind")), (Some("12"), Some("")));
        assert_eq!(query.get("other"), None);
        for text in ["count=1&count=1", "cuont=1", "count=1&x", "=1", "COUNT=1"] {
            assert!(Query::read(Some(text), &["count", "kind"]).is_err(), "{text}");
        }
        assert_eq!(Query::read(None, &[]), Ok(Query::default()));
        assert_eq!(Query::read(Some("&"), &[]), Ok(Query::default()));
    }

    #[test]
    fn a_count_is_digits_and_nothing_else() {
        assert_eq!(count("1").unwrap().get(), 1);
        assert_eq!(count("04096").unwrap().get(), 4_096);
        let huge = "9".repeat(5_000);
        for text in
            ["", "0", "4097", "abc", "-1", "+5", " 5", "5 ", "1e3", "1.0", "0x10", "１２", &huge]
        {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
