//! How IDs stand in messages: which kind, and how they are written.

use coreflake_grpc::ParseIdRequest;
use coreflake_protocol::{AnyId, Encoding, Id, Kind};

use crate::counters::Reject;
use crate::gateway::desk;
use crate::json::Text;

/// Kind and encoding that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    kind: Option<Kind>,
    encoding: Option<Encoding>,
    /// Whether it names one of them: then the answer has texts.
    pub(super) is_named: bool,
}

impl Form {
    /// Reads the numbers of both enumerations; 0 says nothing.
    pub(super) fn of(kind: i32, encoding: i32) -> Result<Self, (Reject, String)> {
        let unknown_kind = || {
            let known = Kind::ALL.map(|known| format!("{} ({known})", known.wire())).join(", ");
            (Reject::UnknownKind, format!("kind {kind} is unknown: {known} are there"))
        };
        let kind = match kind {
            0 => None,
            _ => {
                let known = u8::try_from(kind).ok().and_then(Kind::from_wire);
                Some(known.ok_or_else(unknown_kind)?)
            }
        };
        let encoding = match encoding {
            0 => None,
            1 => Some(Encoding::Decimal),
            2 => Some(Encoding::Base62),
            3 => Some(Encoding::Crockford),
            _ => {
                let text = format!(
                    "encoding {encoding} is unknown: 1 (decimal), 2 (base62), 3 (crockford) are \
                     there"
                );
                return Err((Reject::InvalidRequest, text));
            }
        };
        AnyId::check_form(kind, encoding)
            .map_err(|error| (Reject::InvalidRequest, error.to_string()))?;
        Ok(Self { kind, encoding, is_named: kind.is_some() || encoding.is_some() })
    }

    /// The kind of new IDs.
    pub(super) fn new_kind(self) -> Kind {
        self.kind.unwrap_or(Kind::Snowflake)
    }

    /// The ID as text.
    pub(super) fn text(self, id: AnyId) -> String {
        Text::of(id, self.encoding).to_string()
    }

    /// The ID that is asked about, as it was given, to be shown.
    pub(super) fn shown(request: &ParseIdRequest) -> String {
        if request.text.is_empty() {
            return format!("id {}", request.id);
        }
        format!("text `{}`", desk::shown(&request.text))
    }

    /// The ID that is asked about: the text, or else the number.
    pub(super) fn read(self, request: &ParseIdRequest) -> Result<AnyId, String> {
        let ParseIdRequest { id: number, text, .. } = request;
        if !text.is_empty() {
            let shown = Self::shown(request);
            if *number != 0 {
                return Err(format!("id {number} and {shown} are both given: one is allowed"));
            }
            return AnyId::read(text, self.kind, self.encoding)
                .map_err(|error| format!("{shown}: {error}"));
        }
        if let Some(encoding) = self.encoding {
            return Err(format!("encoding {} is for a text, and none is given", encoding.name()));
        }
        let kind = self.kind.unwrap_or(Kind::Snowflake);
        let id = u64::try_from(*number).ok().and_then(Id::new);
        id.and_then(|id| AnyId::narrow(kind, id)).ok_or_else(|| {
            if kind.is_wide() {
                return format!("id {number}: an ID of kind {kind} is given as text");
            }
            format!("id {number}: 0 to {} are allowed", Id::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_nobody_has_are_named() {
        assert!(!Form::of(0, 0).unwrap().is_named);
        assert_eq!(Form::of(4, 0).unwrap().new_kind(), Kind::Ulid);
        for kind in [-1, 6, i32::MAX, i32::MIN, 257] {
            let (reject, text) = Form::of(kind, 0).unwrap_err();
            assert_eq!(reject, Reject::UnknownKind);
            assert!(text.contains(&kind.to_string()) && text.contains("4 (ulid)"), "{text}");
        }
        for encoding in [-1, 4] {
            assert_eq!(Form::of(1, encoding).unwrap_err().0, Reject::InvalidRequest);
        }
        assert!(Form::of(5, 2).unwrap_err().1.contains("uuid7 has its own form"));
    }
}
