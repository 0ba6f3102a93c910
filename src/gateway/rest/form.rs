//! What a request says of the IDs it means: which kind, and how they are written.

use coreflake_protocol::{AnyId, Encoding, Kind};

use crate::gateway::desk::{self, shown};
use crate::gateway::rest::error::ApiError;
use crate::gateway::rest::params::{self, Query};
use crate::json::Text;

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
        Text::of(id, self.encoding)
    }
}
