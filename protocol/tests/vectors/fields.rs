//! Frames as the vectors name them: every field, and nothing else.

use coreflake_protocol::{
    ClockState, ErrorCode, Header, Health, Info, Kind, Request, Response, Runs, ServingState,
    StoreState, WideIds, Widths,
};
use serde_json::{Value, json};

pub(crate) fn request_fields(header: &Header, request: &Request<'_>) -> Value {
    let id = header.request_id.to_string();
    match request {
        Request::Generate { kind, count } => {
            json!({"op": "GENERATE", "request_id": id, "kind": kind.name(), "count": count.get()})
        }
        Request::Parse { id: parsed } => {
            let kind = parsed.kind();
            let parsed =
                if kind.is_wide() { format!("{:032x}", parsed.bits()) } else { parsed.to_string() };
            json!({"op": "PARSE", "request_id": id, "kind": kind.name(), "id": parsed})
        }
        Request::Health => json!({"op": "HEALTH", "request_id": id}),
        Request::Info => json!({"op": "INFO", "request_id": id}),
        Request::Ping => json!({"op": "PING", "request_id": id}),
        Request::Auth { token } => {
            let token_hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"op": "AUTH", "request_id": id, "token_hex": token_hex})
        }
    }
}

pub(crate) fn response_fields(header: &Header, response: &Response<'_>, kind: Kind) -> Value {
    let id = header.request_id.to_string();
    match response {
        Response::Generate(generated) if kind.is_wide() => {
            let ids = wide_fields(&generated.wide(kind).expect("IDs of the kind"));
            json!({"op": "GENERATE", "request_id": id, "kind": kind.name(), "ids": ids})
        }
        Response::Generate(generated) => {
            let runs = runs_fields(&generated.runs().expect("runs"));
            json!({"op": "GENERATE", "request_id": id, "kind": kind.name(), "runs": runs})
        }
        Response::Parse(parts) => json!({
            "op": "PARSE",
            "request_id": id,
            "unix_ms": parts.unix_ms.to_string(),
            "datacenter_id": parts.datacenter_id(),
            "worker_id": parts.worker_id(),
            "sequence": parts.sequence,
        }),
        Response::Health(health) => health_fields(&id, health),
        Response::Info(info) => info_fields(&id, info),
        Response::Ping => json!({"op": "PING", "request_id": id}),
        Response::Auth => json!({"op": "AUTH", "request_id": id}),
        Response::Error(error) => json!({
            "op": "ERROR",
            "request_id": id,
            "code": error.code,
            "code_name": error.known_code().map(ErrorCode::name),
            "retry_after_ms": error.retry_after_ms,
            "text": core::str::from_utf8(error.text).expect("decode checked the text"),
        }),
    }
}

fn runs_fields(runs: &Runs<'_>) -> Vec<Value> {
    runs.iter()
        .map(|run| json!({"first": run.first().to_string(), "count": run.count().get()}))
        .collect()
}

fn wide_fields(ids: &WideIds<'_>) -> Vec<String> {
    ids.iter().map(|id| format!("{:032x}", id.bits())).collect()
}

fn health_fields(id: &str, health: &Health) -> Value {
    let (state, code) = match health.state {
        ServingState::Serving => ("serving", None),
        ServingState::Refusing(code) => ("refusing", Some(code)),
        ServingState::Draining => ("draining", Some(ErrorCode::Draining.wire())),
    };
    let clock = match health.clock {
        ClockState::Unknown => "unknown",
        ClockState::Good => "good",
        ClockState::Alert => "alert",
        ClockState::Refusing => "refusing",
    };
    let store = match health.store {
        StoreState::Good => "good",
        StoreState::Doubtful => "doubtful",
        StoreState::Broken => "broken",
    };
    json!({
        "op": "HEALTH",
        "request_id": id,
        "state": state,
        "code": code.unwrap_or(0),
        "code_name": code.and_then(ErrorCode::from_wire).map(ErrorCode::name),
        "datacenter_id": health.datacenter_id,
        "worker_id": health.worker_id,
        "uptime_seconds": health.uptime_seconds.to_string(),
        "ids_generated": health.ids_generated.to_string(),
        "window_left_ms": health.window_left_ms.to_string(),
        "clock": clock,
        "clock_suspect": health.clock_suspect,
        "store": store,
        "clock_offset_us": health.clock_offset_us.to_string(),
        "clock_steps": health.clock_steps.to_string(),
        "clock_regressions": health.clock_regressions.to_string(),
    })
}

fn info_fields(id: &str, info: &Info) -> Value {
    let layout = info.namespace.layout();
    let Widths { timestamp, datacenter, worker, sequence } = layout.widths();
    json!({
        "op": "INFO",
        "request_id": id,
        "timestamp_bits": timestamp,
        "datacenter_bits": datacenter,
        "worker_bits": worker,
        "sequence_bits": sequence,
        "datacenter_id": info.datacenter_id,
        "worker_id": info.worker_ids.first(),
        "more_workers": info.worker_ids.len().saturating_sub(1),
        "more_worker_ids": info.worker_ids.get(1..).unwrap_or_default(),
        "epoch_ms": layout.epoch_ms().to_string(),
        "fingerprint": info.namespace.fingerprint().to_string(),
        "tick_ms": layout.scale().tick_ms(),
        "instagram_shard_bits": info.namespace.shard_bits(),
        "instagram_epoch_ms": info.namespace.instagram().epoch_ms().to_string(),
        "count_max": info.count_max,
        "request_size_max": info.request_size_max,
        "datagram_size_max": info.datagram_size_max,
        "shards": info.shards,
        "lane": info.lane,
        "home_size": info.home_size,
        "pool_size": info.pool_size,
        "window_left_ms": info.window_left_ms.to_string(),
        "lane_ids": info.lane_ids.to_string(),
        "lane_waits": info.lane_waits.to_string(),
        "lane_pool_claims": info.lane_pool_claims.to_string(),
    })
}
