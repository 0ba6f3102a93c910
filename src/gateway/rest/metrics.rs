//! The metrics, in the format that the scraper asks for.

use axum::extract::Request;
use axum::http::header::ACCEPT;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::gateway::desk::Desk;
use crate::gateway::rest::error::ApiError;
use crate::metrics::Format;

/// Tells all metrics.
pub(super) fn metrics(desk: &Desk, request: &Request) -> Result<Response, ApiError> {
    let accepts = request.headers().get_all(ACCEPT).into_iter();
    let format = negotiate(accepts.filter_map(|value| value.to_str().ok()));
    let page = desk.metrics.page(format).map_err(|error| ApiError::internal(error.to_string()))?;
    let content = HeaderValue::from_static(format.media_type());
    Ok(super::fresh(StatusCode::OK, content, page.into_bytes()))
}

/// OpenMetrics where it is asked for by name and not refused (RFC 9110 §12.5.1), else the older
/// format, which every scraper reads.
fn negotiate<'a>(accepts: impl Iterator<Item = &'a str>) -> Format {
    let wants = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
        let refused = parts.any(|part| {
            part.strip_prefix("q=").and_then(|q| q.parse::<f64>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    };
    let mut ranges = accepts.flat_map(|accept| accept.split(','));
    if ranges.any(wants) { Format::OpenMetrics } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_has_to_be_asked_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(negotiate([prometheus].into_iter()), Format::OpenMetrics);
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html, application/json",
            "application/openmetrics-text;q=0, text/plain",
        ] {
            assert_eq!(negotiate([accept].into_iter()), Format::Text, "{accept}");
        }
    }
}
