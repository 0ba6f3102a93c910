//! How IDs stand in JSON: which kind, and how they are written.

use coreflake_protocol::{AnyId, AnyText, Encoding, Kind};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::gateway::desk;
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::params::{self, Query, shown};

/// Kind and encoding that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: Option<Kind>,
    pub(super) encoding: Option<Encoding>,
}

impl Form {
    /// Reads the names of a query, or of a body that has them.
    pub(super) fn read(
        query: &Query,
        kind: Option<String>,
        encoding: Option<String>,
    ) -> Result<Self, ApiError> {
        let given =
            |name: &str, body| params::either(name, query.get(name).map(str::to_owned), body);
        let kind = given("kind", kind)?;
        let kind = kind.map(|name| desk::kind(&name).map_err(ApiError::kind)).transpose()?;
        let encoding = given("encoding", encoding)?.map(|name| {
            name.parse::<Encoding>().map_err(|error| {
                ApiError::parameter(format!("encoding `{}` is unknown: {error}", shown(&name)))
            })
        });
        let encoding = encoding.transpose()?;
        AnyId::check_form(kind, encoding)
            .map_err(|error| ApiError::parameter(error.to_string()))?;
        Ok(Self { kind, encoding })
    }

    /// The kind of new IDs.
    pub(super) fn new_kind(self) -> Kind {
        self.kind.unwrap_or(Kind::Snowflake)
    }

    /// The ID as text.
    pub(super) fn text(self, id: AnyId) -> Text {
        Text(id.text(self.encoding.unwrap_or_default()))
    }
}

/// An ID as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text(AnyText);

/// An ID: a number if it has 64 bits, else its text.
#[derive(ToSchema)]
#[schema(example = 780_469_450_963_943_424_u64)]
#[serde(untagged)]
#[allow(dead_code)] // It speaks to the macro alone.
pub(crate) enum BareSchema {
    /// Of 64 bits.
    Number(u64),
    /// Of 128 bits.
    Text(String),
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
