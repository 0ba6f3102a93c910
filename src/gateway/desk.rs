//! What REST and gRPC have in common: the generator, who may use it, and what is counted.

use std::sync::Arc;

use coreflake_protocol::{Health, Kind, ServingState};

use crate::auth::Tokens;
use crate::gateway::generator::Generator;
use crate::metrics::Metrics;
use crate::service::Identity;

/// One gateway thread, as its doors see it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) generator: Generator,
    pub(crate) identity: Arc<Identity>,
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Desk {
    /// Whether a peer that shows this `Authorization` may have IDs (RFC 6750 §2.1).
    pub(crate) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        let shown = authorization.and_then(bearer);
        shown.is_some_and(|token| tokens.accept(token))
    }
}

/// The kind of this name, or the names there are.
pub(crate) fn kind(name: &str) -> Result<Kind, String> {
    name.parse().map_err(|error| format!("kind `{}` is unknown: {error}", shown(name)))
}

/// Characters of something wrong that are shown.
const SHOWN_MAX: usize = 64;

/// Something wrong, as it may stand in a reply.
pub(crate) fn shown(text: &str) -> String {
    text.escape_debug().take(SHOWN_MAX).collect()
}

/// How the server is, in one word: `healthy`, `draining`, or why it refuses.
pub(crate) fn status(health: &Health) -> String {
    match health.state {
        ServingState::Serving => "healthy".to_owned(),
        ServingState::Draining => "draining".to_owned(),
        ServingState::Refusing(code) => match coreflake_protocol::ErrorCode::from_wire(code) {
            Some(code) => code.name().to_lowercase(),
            None => format!("{code:#06x}"),
        },
    }
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for text in [&b""[..], b"abc", b"Basic abc", b"Bearer"] {
            assert_eq!(bearer(text), None);
        }
    }

    #[test]
    fn an_unknown_kind_names_the_known_ones() {
        assert_eq!(kind("snowflake"), Ok(Kind::Snowflake));
        assert!(kind("Snowflake\u{1b}").unwrap_err().contains("the kinds are `snowflake`"));
    }
}
