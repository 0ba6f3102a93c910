//! Issuing IDs.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use coreflake_protocol::Count;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::gateway::desk::Desk;
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::form::Form;
use crate::gateway::rest::params::{self, Query};
use crate::json::{Bare, BareSchema, Text};

/// One ID.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdBody {
    /// The ID.
    #[schema(value_type = BareSchema)]
    id: Bare,
    /// The same as text, in the encoding that was asked for.
    #[schema(value_type = String, example = "780469450963943424")]
    id_str: Text,
}

/// Several IDs, in ascending order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdsBody {
    /// The IDs.
    #[schema(value_type = Vec<BareSchema>, min_items = 1, max_items = 4096)]
    ids: Vec<Bare>,
    /// The same as text, in the encoding that was asked for.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4096)]
    ids_str: Vec<Text>,
}

/// What POST may say of one ID.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdRequest {
    /// The kind of ID.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "snowflake",
             pattern = "^(snowflake|instagram|uuid1|ulid|uuid7)$")]
    kind: Option<String>,
    /// How 64-bit IDs are written as text.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "decimal",
             pattern = "^(decimal|base62|crockford)$")]
    encoding: Option<String>,
}

/// What POST may say of several IDs.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdsRequest {
    /// How many.
    #[serde(default, deserialize_with = "params::count_field")]
    #[schema(value_type = u32, required = true, minimum = 1, maximum = 4096, example = 100)]
    count: Option<u64>,
    /// The kind of ID.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "snowflake",
             pattern = "^(snowflake|instagram|uuid1|ulid|uuid7)$")]
    kind: Option<String>,
    /// How 64-bit IDs are written as text.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "decimal",
             pattern = "^(decimal|base62|crockford)$")]
    encoding: Option<String>,
}

/// Issues one ID.
pub(super) async fn one(desk: &Desk, request: Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["kind", "encoding"])?;
    let body: IdRequest = params::body(request).await?.unwrap_or_default();
    let form = Form::read(&query, body.kind, body.encoding)?;
    let ids = desk.generator.generate(form.new_kind(), Count::ONE).await?;
    let id = *ids.first().expect("a request that was met has an ID");
    super::json(StatusCode::OK, &IdBody { id: Bare(id), id_str: form.text(id) })
}

/// Issues several IDs.
pub(super) async fn many(desk: &Desk, request: Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["count", "kind", "encoding"])?;
    let body: IdsRequest = params::body(request).await?.unwrap_or_default();
    let form = Form::read(&query, body.kind, body.encoding)?;
    let given = params::either(
        "count",
        query.get("count").map(str::to_owned),
        body.count.map(|count| count.to_string()),
    )?;
    let Some(given) = given else {
        return Err(ApiError::count(format!("count is missing: 1 to {} are allowed", Count::MAX)));
    };
    let ids = desk.generator.generate(form.new_kind(), params::count(&given)?).await?;
    let ids_str = ids.iter().map(|id| form.text(*id)).collect();
    let ids = ids.into_iter().map(Bare).collect();
    super::json(StatusCode::OK, &IdsBody { ids, ids_str })
}
