//! Issuing IDs.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use coreflake_protocol::{Count, Run};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::gateway::desk::{self, Desk};
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::params::{self, Query};

/// One ID.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdBody {
    /// The ID. JavaScript loses the last digits of numbers this large.
    #[schema(example = 780_469_450_963_943_424_u64, maximum = 9_223_372_036_854_775_807_i64)]
    id: u64,
    /// The same as text.
    #[schema(value_type = String, example = "780469450963943424", pattern = "^[0-9]{1,19}$")]
    id_str: Text,
}

/// Several IDs, in ascending order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdsBody {
    /// The IDs. JavaScript loses the last digits of numbers this large.
    #[schema(min_items = 1, max_items = 4096)]
    ids: Vec<u64>,
    /// The same as text.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4096)]
    ids_str: Vec<Text>,
}

/// What POST may say of one ID.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdRequest {
    /// The kind of ID.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "snowflake",
             pattern = "^snowflake$")]
    kind: Option<String>,
}

/// What POST may say of several IDs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdsRequest {
    /// How many.
    #[serde(default, deserialize_with = "params::count_field")]
    #[schema(value_type = u32, required = true, minimum = 1, maximum = 4096, example = 100)]
    count: Option<u64>,
    /// The kind of ID.
    #[serde(default, deserialize_with = "params::given")]
    #[schema(value_type = String, required = false, example = "snowflake",
             pattern = "^snowflake$")]
    kind: Option<String>,
}

/// A number that is written as text.
#[derive(Clone, Copy, Debug)]
struct Text(u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Issues one ID.
pub(super) async fn one(desk: &Desk, request: Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["kind"])?;
    let body: Option<IdRequest> = params::body(request).await?;
    kind(&query, body.and_then(|body| body.kind))?;
    let runs = desk.generator.generate(Count::ONE).await?;
    let id = runs.first().expect("a request that was met has an ID").first().get();
    super::json(StatusCode::OK, &IdBody { id, id_str: Text(id) })
}

/// Issues several IDs.
pub(super) async fn many(desk: &Desk, request: Request) -> Result<Response, ApiError> {
    let query = Query::read(request.uri().query(), &["count", "kind"])?;
    let body: Option<IdsRequest> = params::body(request).await?;
    let (count, kind_name) = body.map_or((None, None), |body| (body.count, body.kind));
    kind(&query, kind_name)?;
    let given = params::either(
        "count",
        query.get("count").map(str::to_owned),
        count.map(|count| count.to_string()),
    )?;
    let Some(given) = given else {
        return Err(ApiError::count(format!("count is missing: 1 to {} are allowed", Count::MAX)));
    };
    let runs = desk.generator.generate(params::count(&given)?).await?;
    let ids: Vec<_> = runs.into_iter().flat_map(Run::ids).map(|id| id.get()).collect();
    let ids_str = ids.iter().copied().map(Text).collect();
    super::json(StatusCode::OK, &IdsBody { ids, ids_str })
}

/// Checks the kind that is asked for. Without one it is the only one there is.
fn kind(query: &Query, body: Option<String>) -> Result<(), ApiError> {
    let given = params::either("kind", query.get("kind").map(str::to_owned), body)?;
    match given {
        Some(name) => desk::kind(&name).map(|_| ()).map_err(ApiError::kind),
        None => Ok(()),
    }
}
