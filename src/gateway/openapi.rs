//! The OpenAPI document of the REST API, made from the types it speaks of.
#![allow(dead_code)] // The operations below speak to the macro alone.

use std::sync::OnceLock;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{RefOr, Required};
use utoipa::{Modify, OpenApi};

use crate::details::{IdRange, ParsedId};
use crate::gateway::rest::error::{ApiError, ErrorBody};
use crate::gateway::rest::fresh;
use crate::gateway::rest::health::{HealthBody, StateBody};
use crate::gateway::rest::ids::{IdBody, IdRequest, IdsBody, IdsRequest};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "coreflake",
        description = "Unique, time-ordered IDs of 64 and 128 bits. Errors are JSON with `code`, `message` and \
                       `retry_after_ms`. A token is needed only where the server requires one.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        get_id, post_id, get_ids, post_ids, get_parse, get_range, get_health, get_ready, get_live,
        get_metrics, get_openapi
    ),
    modifiers(&Token, &Bodies),
)]
struct Document;

/// The scheme of the token.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What the macro cannot say of bodies.
struct Bodies;

impl Modify for Bodies {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for path in ["/api/v1/id", "/api/v1/ids"] {
            let post = openapi.paths.paths.get_mut(path).and_then(|path| path.post.as_mut());
            if let Some(RefOr::T(body)) = post.and_then(|post| post.request_body.as_mut()) {
                // It may be left out; an `Option` would have it `null`, too.
                body.required = Some(Required::False);
            }
        }
    }
}

/// The document as bytes, made once.
pub(super) fn document() -> Result<Response, ApiError> {
    static DOCUMENT: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| {
        serde_json::to_vec_pretty(&Document::openapi()).map_err(|error| error.to_string())
    });
    match document {
        Ok(bytes) => {
            let json = HeaderValue::from_static("application/json");
            Ok(fresh(StatusCode::OK, json, bytes.clone()))
        }
        Err(error) => Err(ApiError::internal(error.clone())),
    }
}

/// What may come of every request for IDs.
#[derive(utoipa::IntoResponses)]
enum Failures {
    /// A parameter makes no sense.
    #[response(status = 400)]
    Invalid(#[to_schema] ErrorBody<'static>),
    /// No token, or a wrong one.
    #[response(status = 401)]
    Unauthenticated(#[to_schema] ErrorBody<'static>),
    /// The body has not come in time.
    #[response(status = 408)]
    Late(#[to_schema] ErrorBody<'static>),
    /// The body is longer than 4 KiB.
    #[response(status = 413)]
    BodySize(#[to_schema] ErrorBody<'static>),
    /// The body is no JSON.
    #[response(status = 415)]
    MediaType(#[to_schema] ErrorBody<'static>),
    /// No IDs at the moment: see `code`, and ask again after `retry_after_ms`.
    #[response(status = 503)]
    Refused(#[to_schema] ErrorBody<'static>),
}

/// One ID.
#[utoipa::path(
    get, path = "/api/v1/id", tag = "ids", security((), ("token" = [])),
    params(
        ("kind" = Option<String>, Query, description = "The kind of ID.",
         pattern = "^(snowflake|instagram|uuid1|ulid|uuid7)$"),
        ("encoding" = Option<String>, Query,
         description = "How 64-bit IDs are written as text; not for other kinds.",
         pattern = "^(decimal|base62|crockford)$"),
    ),
    responses((status = 200, description = "An ID.", body = IdBody), Failures),
)]
fn get_id() {}

/// One ID, with the kind in the query or in the body.
#[utoipa::path(
    post, path = "/api/v1/id", tag = "ids", security((), ("token" = [])),
    request_body = IdRequest,
    responses((status = 200, description = "An ID.", body = IdBody), Failures),
)]
fn post_id() {}

/// Several IDs, in ascending order.
#[utoipa::path(
    get, path = "/api/v1/ids", tag = "ids", security((), ("token" = [])),
    params(
        ("count" = u32, Query, description = "How many.", minimum = 1, maximum = 4096),
        ("kind" = Option<String>, Query, description = "The kind of ID.",
         pattern = "^(snowflake|instagram|uuid1|ulid|uuid7)$"),
        ("encoding" = Option<String>, Query,
         description = "How 64-bit IDs are written as text; not for other kinds.",
         pattern = "^(decimal|base62|crockford)$"),
    ),
    responses((status = 200, description = "The IDs.", body = IdsBody), Failures),
)]
fn get_ids() {}

/// Several IDs, in ascending order, with count and kind in the query or in the body.
#[utoipa::path(
    post, path = "/api/v1/ids", tag = "ids", security((), ("token" = [])),
    request_body = IdsRequest,
    responses((status = 200, description = "The IDs.", body = IdsBody), Failures),
)]
fn post_ids() {}

/// Takes an ID apart.
#[utoipa::path(
    get, path = "/api/v1/parse", tag = "ids", security((), ("token" = [])),
    params(
        ("id" = String, Query, description = "The ID: a number, a ULID or a UUID, or a text in `encoding`."),
        ("kind" = Option<String>, Query, description = "The kind of ID.",
         pattern = "^(snowflake|instagram|uuid1|ulid|uuid7)$"),
        ("encoding" = Option<String>, Query,
         description = "How 64-bit IDs are written as text; not for other kinds.",
         pattern = "^(decimal|base62|crockford)$"),
    ),
    responses(
        (status = 200, description = "Its parts.", body = ParsedId),
        (status = 400, description = "No ID.", body = ErrorBody<'static>),
        (status = 401, description = "No token, or a wrong one.", body = ErrorBody<'static>),
    ),
)]
fn get_parse() {}

/// The smallest and the largest ID of a stretch of time, both ends included.
#[utoipa::path(
    get, path = "/api/v1/range", tag = "ids", security((), ("token" = [])),
    params(
        ("from" = String, Query,
         description = "When it begins: RFC 3339, or milliseconds since the Unix epoch."),
        ("to" = String, Query, description = "When it ends; not before it begins."),
        ("kind" = Option<String>, Query, description = "The kind of ID; uuid1 does not sort by time.",
         pattern = "^(snowflake|instagram|ulid|uuid7)$"),
        ("encoding" = Option<String>, Query,
         description = "How 64-bit IDs are written as text; not for other kinds.",
         pattern = "^(decimal|base62|crockford)$"),
    ),
    responses(
        (status = 200, description = "The range.", body = IdRange),
        (status = 400, description = "No times, or none that IDs have.", body = ErrorBody<'static>),
        (status = 401, description = "No token, or a wrong one.", body = ErrorBody<'static>),
    ),
)]
fn get_range() {}

/// How the server is, in full.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "server", security((), ("token" = [])),
    responses(
        (status = 200, description = "IDs can be had.", body = HealthBody),
        (status = 401, description = "No token, or a wrong one.", body = ErrorBody<'static>),
        (status = 503, description = "No IDs at the moment.", body = HealthBody),
    ),
)]
fn get_health() {}

/// Whether IDs can be had: for load balancers.
#[utoipa::path(
    get, path = "/api/v1/ready", tag = "server",
    responses(
        (status = 200, description = "Yes.", body = StateBody),
        (status = 503, description = "Not at the moment.", body = StateBody),
    ),
)]
fn get_ready() {}

/// Whether the process is there: for whoever restarts it.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "server",
    responses((status = 200, description = "Yes.", body = StateBody)),
)]
fn get_live() {}

/// The metrics: OpenMetrics where `Accept` asks for it, else the text format of Prometheus.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "server", security((), ("token" = [])),
    responses(
        (status = 200, description = "The metrics.", content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        )),
        (status = 401, description = "No token, or a wrong one.", body = ErrorBody<'static>),
    ),
)]
fn get_metrics() {}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server",
    responses((status = 200, description = "An OpenAPI document.", body = Object)),
)]
fn get_openapi() {}
