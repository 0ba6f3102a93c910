//! The gRPC door: `IDGenerator`, health checks and reflection.

mod form;

use core::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use coreflake_grpc::id_generator_server::{IdGenerator, IdGeneratorServer};
use coreflake_grpc::{
    FILE_DESCRIPTOR_SET, GenerateBatchRequest, GenerateBatchResponse, GenerateIdRequest,
    GenerateIdResponse, HealthCheckRequest, HealthCheckResponse, ParseIdRequest, ParseIdResponse,
    SERVICE_NAME,
};
use coreflake_protocol::{AnyId, Count, Id};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_types::{ErrorDetails, StatusExt};

use self::form::Form;
use crate::counters::Reject;
use crate::details::Details;
use crate::gateway::desk::{self, Desk};
use crate::gateway::generator::Refused;
use crate::gateway::guard;
use crate::limits::GRPC_REQUEST_SIZE_MAX;

/// The services of one gateway thread, and who tells the health service how it is.
pub(crate) fn router(desk: &Arc<Desk>) -> io::Result<(Router, HealthReporter)> {
    let ids = IdGeneratorServer::new(Calls { desk: Arc::clone(desk) })
        .max_decoding_message_size(GRPC_REQUEST_SIZE_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let described = reflection().build_v1().map_err(io::Error::other)?;
    // The name that older tools ask under.
    let described_alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let routes = Routes::new(ids)
        .add_service(health.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX))
        .add_service(described.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX))
        .add_service(described_alpha.max_decoding_message_size(GRPC_REQUEST_SIZE_MAX));
    let router = routes.prepare().into_axum_router();
    let guarded = from_fn_with_state(Arc::clone(desk), guard::guard);
    Ok((router.layer(guarded), reporter))
}

/// Tells those who ask or watch over `grpc.health.v1` whether IDs can be had.
pub(crate) async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    // The empty name stands for the whole server.
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
}

/// Ends the streams of those who watch: the server stops.
pub(crate) async fn end_watches(mut reporter: HealthReporter) {
    report(&reporter, false).await;
    for service in ["", SERVICE_NAME] {
        reporter.clear_service_status(service).await;
    }
}

/// The service.
#[derive(Debug)]
struct Calls {
    desk: Arc<Desk>,
}

impl Calls {
    /// What a request says of kind and encoding.
    fn form(&self, kind: i32, encoding: i32) -> Result<Form, Status> {
        Form::of(kind, encoding).map_err(|(reject, text)| self.invalid(reject, &text))
    }

    /// A request that makes no sense.
    fn invalid(&self, reject: Reject, text: &str) -> Status {
        self.desk.generator.reject(reject);
        let code = reject.name().to_uppercase();
        Status::invalid_argument(format!("{code}: {text}"))
    }

    /// Answers a call of a peer that may make it.
    async fn call<T>(
        &self,
        metadata: &MetadataMap,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let authorization = metadata.get("authorization").map(|value| value.as_bytes());
        if !self.desk.admits(authorization) {
            self.desk.generator.reject(Reject::Unauthenticated);
            let text = "a valid token is needed: `authorization: Bearer TOKEN`";
            return Err(Status::unauthenticated(text));
        }
        answer.await.map(Response::new)
    }
}

#[tonic::async_trait]
impl IdGenerator for Calls {
    async fn generate_id(
        &self,
        request: Request<GenerateIdRequest>,
    ) -> Result<Response<GenerateIdResponse>, Status> {
        let given = request.get_ref();
        self.call(request.metadata(), async {
            let form = self.form(given.kind, given.encoding)?;
            let ids = self.desk.generator.generate(form.new_kind(), Count::ONE).await?;
            let id = *ids.first().expect("a request that was met has an ID");
            let text = if form.is_named { form.text(id) } else { String::new() };
            Ok(GenerateIdResponse { id: id.id().map_or(0, signed), text })
        })
        .await
    }

    async fn generate_batch(
        &self,
        request: Request<GenerateBatchRequest>,
    ) -> Result<Response<GenerateBatchResponse>, Status> {
        let GenerateBatchRequest { count: given, kind, encoding } = *request.get_ref();
        self.call(request.metadata(), async {
            let form = self.form(kind, encoding)?;
            let count = u32::try_from(given).ok().and_then(Count::new).ok_or_else(|| {
                let text = format!("count {given}: 1 to {} are allowed", Count::MAX);
                self.invalid(Reject::InvalidCount, &text)
            })?;
            let ids = self.desk.generator.generate(form.new_kind(), count).await?;
            let texts = ids.iter().filter(|_| form.is_named).map(|id| form.text(*id)).collect();
            let ids = ids.into_iter().filter_map(AnyId::id).map(signed).collect();
            Ok(GenerateBatchResponse { ids, texts })
        })
        .await
    }

    async fn parse_id(
        &self,
        request: Request<ParseIdRequest>,
    ) -> Result<Response<ParseIdResponse>, Status> {
        let given = request.get_ref();
        self.call(request.metadata(), async {
            let form = self.form(given.kind, given.encoding)?;
            let id = form.read(given).map_err(|text| self.invalid(Reject::InvalidId, &text))?;
            let wrong = |text: String| self.invalid(Reject::InvalidId, &text);
            let details = Details::of(&self.desk.identity.namespace, id)
                .map_err(|error| wrong(format!("{}: {error}", Form::shown(given))))?;
            // A counter has up to 32 bits, where a layout has no slots.
            let sequence = i32::try_from(details.sequence).map_err(|_| {
                wrong(format!("sequence {}: more than this field holds", details.sequence))
            })?;
            Ok(ParseIdResponse {
                timestamp_ms: saturated(details.timestamp_ms),
                datacenter_id: details.datacenter_id.map_or(-1, i32::from),
                worker_id: details.worker_id.map_or(-1, i32::from),
                sequence,
                kind: id.kind().wire().into(),
                shard_id: details.shard_id.and_then(|shard_id| i32::try_from(shard_id).ok()),
                clock_sequence: details.clock_sequence.map(i32::from),
                node: details.node,
            })
        })
        .await
    }

    async fn health_check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.call(request.metadata(), async {
            let health = self.desk.generator.health();
            let worker_ids = self.desk.generator.worker_ids();
            Ok(HealthCheckResponse {
                status: desk::status(&health),
                worker_id: health.worker_id.map_or(-1, i32::from),
                worker_ids: worker_ids.iter().copied().map(i32::from).collect(),
                datacenter_id: health.datacenter_id.into(),
                uptime_seconds: saturated(health.uptime_seconds),
                ids_generated: saturated(health.ids_generated),
                layout: self.desk.identity.namespace.layout().widths().to_string(),
            })
        })
        .await
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let Refused { code, retry_after_ms, text } = refused;
        let message = format!("{code}: {text}");
        if retry_after_ms == 0 {
            return Self::unavailable(message);
        }
        let retry_after = core::time::Duration::from_millis(retry_after_ms.into());
        let details = ErrorDetails::with_retry_info(Some(retry_after));
        Self::with_error_details(Code::Unavailable, message, details)
    }
}

/// An ID as it travels: its sign bit is never set.
fn signed(id: Id) -> i64 {
    saturated(id.get())
}

fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
