//! The REST API.

pub(super) mod error;
pub(super) mod form;
pub(super) mod health;
pub(super) mod ids;
pub(super) mod metrics;
mod params;
pub(super) mod parse;
pub(super) mod range;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use serde::Serialize;

use crate::gateway::desk::Desk;
use crate::gateway::openapi;
use error::ApiError;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Id,
    Ids,
    Parse,
    Range,
    Health,
    Ready,
    Live,
    Metrics,
    OpenApi,
}

impl Route {
    const ALL: [Self; 9] = [
        Self::Id,
        Self::Ids,
        Self::Parse,
        Self::Range,
        Self::Health,
        Self::Ready,
        Self::Live,
        Self::Metrics,
        Self::OpenApi,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Id => "/api/v1/id",
            Self::Ids => "/api/v1/ids",
            Self::Parse => "/api/v1/parse",
            Self::Range => "/api/v1/range",
            Self::Health => "/api/v1/health",
            Self::Ready => "/api/v1/ready",
            Self::Live => "/api/v1/live",
            Self::Metrics => "/api/v1/metrics",
            Self::OpenApi => "/api/v1/openapi.json",
        }
    }

    /// The methods it has. An ID is issued for each request, so HEAD has no meaning there.
    const fn allow(self) -> &'static str {
        match self {
            Self::Id | Self::Ids => "GET, POST",
            _ => "GET, HEAD",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// Whether a token is needed where one is required at all: load balancers have none, and what
    /// they ask for says nothing about the IDs.
    const fn is_guarded(self) -> bool {
        !matches!(self, Self::Ready | Self::Live | Self::OpenApi)
    }
}

/// The REST API of one gateway thread.
pub(crate) fn router(desk: &Arc<Desk>) -> Router {
    let endpoint = |route: Route| -> MethodRouter<Arc<Desk>> {
        any(move |State(desk): State<Arc<Desk>>, request: Request| async move {
            let result = answer(route, &desk, request).await;
            finish(&desk, route.path(), result)
        })
    };
    let router = Route::ALL
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path(), endpoint(route)));
    router.fallback(not_found).with_state(Arc::clone(desk))
}

async fn answer(route: Route, desk: &Desk, request: Request) -> Result<Response, ApiError> {
    check_host(&request)?;
    if !route.allows(request.method()) {
        return Err(ApiError::method(request.method(), route.allow()));
    }
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if route.is_guarded() && !desk.admits(authorization) {
        return Err(ApiError::unauthenticated());
    }
    match route {
        Route::Id => ids::one(desk, request).await,
        Route::Ids => ids::many(desk, request).await,
        Route::Parse => parse::parse(desk, &request),
        Route::Range => range::range(desk, &request),
        Route::Health => health::health(desk),
        Route::Ready => health::ready(desk),
        Route::Live => health::live(),
        Route::Metrics => metrics::metrics(desk, &request),
        Route::OpenApi => openapi::document(),
    }
}

async fn not_found(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = check_host(&request).and(Err(ApiError::not_found(request.uri().path())));
    finish(&desk, "other", found)
}

/// Whether the request names one host, as everyone between the peer and the server understands it.
/// The name itself does not matter. HTTP/1.0 has none.
fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let is_name = |host: &HeaderValue| {
        let host = host.to_str();
        host.is_ok_and(|host| host.is_empty() || host.parse::<Authority>().is_ok())
    };
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_name(host) => Ok(()),
        (None, None) if request.version() < Version::HTTP_11 => Ok(()),
        _ => Err(ApiError::host()),
    }
}

/// Makes the reply, and counts it.
fn finish(desk: &Desk, path: &'static str, result: Result<Response, ApiError>) -> Response {
    let response = result.unwrap_or_else(|error| {
        if let Some(reason) = error.reject() {
            desk.generator.reject(reason);
        }
        error.into_response()
    });
    desk.metrics.count_http(path, response.status().as_u16());
    response
}

/// A reply of JSON that nobody may keep.
fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| ApiError::internal(error.to_string()))?;
    let json = HeaderValue::from_static("application/json");
    Ok(fresh(status, json, body))
}

/// A reply that nobody may keep: it is out of date at once, or it hands out IDs.
pub(super) fn fresh(status: StatusCode, content: HeaderValue, body: Vec<u8>) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
