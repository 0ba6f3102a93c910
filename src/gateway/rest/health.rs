//! How the server is.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use coreflake_protocol::ServingState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway::desk::{self, Desk};
use crate::gateway::rest::error::ApiError;

/// How the server is, in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthBody {
    /// `healthy`, `draining`, or why the server refuses: `starting`, `clock_regression`,
    /// `clock_drift`, `window_exhausted`, `timestamp_exhausted`.
    #[schema(example = "healthy")]
    status: String,
    /// The worker part of the server's slot, or of the first if it has several; null while it waits
    /// for a free one.
    worker_id: Option<u16>,
    /// The worker parts of all its slots, ascending.
    worker_ids: Vec<u16>,
    /// The datacenter part of the server's slot.
    datacenter_id: u16,
    /// Seconds since the server was started.
    uptime_seconds: u64,
    /// IDs issued since then, through all doors.
    ids_generated: u64,
    /// How far the reserved window reaches ahead of the clock, in milliseconds.
    window_left_ms: u64,
    /// How the clock compares with the time servers: `unknown`, `good`, `alert`, `refusing`.
    #[schema(example = "good")]
    clock_state: &'static str,
    /// Whether the clock has jumped ahead and is not believed.
    clock_suspect: bool,
    /// How far the time servers are ahead of the clock, in microseconds; 0 when they say nothing.
    clock_offset_us: i64,
    /// How often the clock was seen to be set.
    clock_steps: u64,
    /// How the store of the windows is: `good`, `doubtful`, `broken`.
    #[schema(example = "good")]
    store_state: &'static str,
    /// Shards of the server.
    shards: u16,
    /// The epoch of the IDs, in milliseconds since the Unix epoch.
    epoch_ms: u64,
    /// Bits of timestamp, datacenter, worker and sequence.
    #[schema(example = "41+5+5+12")]
    layout: String,
    /// Milliseconds of one timestamp.
    tick_ms: u8,
    /// The version of the server.
    version: &'static str,
}

/// Whether the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateBody {
    /// As in health; `alive` for live.
    #[schema(example = "healthy")]
    status: String,
}

/// Tells everything; the status code is that of [`ready`].
pub(super) fn health(desk: &Desk) -> Result<Response, ApiError> {
    let health = desk.generator.health();
    let body = HealthBody {
        status: desk::status(&health),
        worker_id: health.worker_id,
        worker_ids: desk.generator.worker_ids().to_vec(),
        datacenter_id: health.datacenter_id,
        uptime_seconds: health.uptime_seconds,
        ids_generated: health.ids_generated,
        window_left_ms: health.window_left_ms,
        clock_state: health.clock.name(),
        clock_suspect: health.clock_suspect,
        clock_offset_us: health.clock_offset_us,
        clock_steps: health.clock_steps,
        store_state: health.store.name(),
        shards: desk.identity.plans.shards(),
        epoch_ms: desk.identity.namespace.layout().epoch_ms(),
        layout: desk.identity.namespace.layout().widths().to_string(),
        tick_ms: desk.identity.namespace.layout().scale().tick_ms(),
        version: env!("CARGO_PKG_VERSION"),
    };
    answer(health.state, &body)
}

/// Tells whether IDs can be had.
pub(super) fn ready(desk: &Desk) -> Result<Response, ApiError> {
    let health = desk.generator.health();
    answer(health.state, &StateBody { status: desk::status(&health) })
}

/// Tells that the process is there. Whoever restarts it when it is not ready makes it worse.
pub(super) fn live() -> Result<Response, ApiError> {
    super::json(StatusCode::OK, &StateBody { status: "alive".to_owned() })
}

fn answer(state: ServingState, body: &impl Serialize) -> Result<Response, ApiError> {
    if state == ServingState::Serving {
        return super::json(StatusCode::OK, body);
    }
    let mut response = super::json(StatusCode::SERVICE_UNAVAILABLE, body)?;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}
