//! An ID of any kind.

use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;

use uuid::Uuid;

use crate::encoding::Encoding;
use crate::id::Id;
use crate::kind::Kind;
use crate::ulid::{Ulid, UlidError};
use crate::wide::{self, Placed};

/// An ID that knows its kind. Made of bits that are one of that kind, and no other.
///
/// Displayed as people write it: a number, a ULID, or a UUID with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnyId {
    kind: Kind,
    bits: u128,
}

/// An ID as text: what [`AnyId::text`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyText {
    id: AnyId,
    encoding: Encoding,
}

/// Why a text, or bits, are no ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// It has the form of no kind.
    Form,
    /// It is no 64-bit ID in this encoding.
    Encoded(Encoding),
    /// It is no ULID.
    Ulid,
    /// It is no UUID.
    Uuid,
    /// It is a UUID of a version that is no kind, or of a variant that has none.
    Version(Option<u8>),
    /// It is a UUID of this version, which is another kind than was said.
    OtherKind(u8),
    /// It is a UUID of version 1 from before 1970.
    Before1970,
    /// It lies past the end of the layout.
    PastEnd {
        /// The largest ID of the layout.
        id_max: Id,
    },
    /// An encoding is given for a kind that has none.
    NoEncoding(Kind, Encoding),
}

impl AnyId {
    /// A 64-bit ID of this kind; `None` when the kind has 128 bits.
    pub const fn narrow(kind: Kind, id: Id) -> Option<Self> {
        if kind.is_wide() { None } else { Some(Self { kind, bits: id.get() as u128 }) }
    }

    /// A 128-bit ID of this kind.
    ///
    /// # Errors
    ///
    /// When the kind has 64 bits, or the bits are those of another one.
    pub const fn wide(kind: Kind, bits: u128) -> Result<Self, IdError> {
        let version = wide::uuid_version(bits);
        match (kind, version) {
            (Kind::Ulid, _) | (Kind::Uuid7, Some(7)) => {}
            (Kind::Uuid1, Some(1)) => {
                if wide::unix_time(wide::uuid1_time(bits)).is_none() {
                    return Err(IdError::Before1970);
                }
            }
            (Kind::Uuid1 | Kind::Uuid7, Some(version @ (1 | 7))) => {
                return Err(IdError::OtherKind(version));
            }
            (Kind::Uuid1 | Kind::Uuid7, version) => return Err(IdError::Version(version)),
            (Kind::Snowflake | Kind::Instagram, _) => return Err(IdError::Form),
        }
        Ok(Self { kind, bits })
    }

    /// Reads a text. Without `kind`, a number is a `snowflake`, 26 characters are a ULID, and a
    /// UUID is of the kind of its version; `encoding` says how a 64-bit ID is written.
    ///
    /// # Errors
    ///
    /// Why it is no ID.
    pub fn read(
        text: &str,
        kind: Option<Kind>,
        encoding: Option<Encoding>,
    ) -> Result<Self, IdError> {
        Self::check_form(kind, encoding)?;
        let kind = match kind {
            Some(kind) => kind,
            None if encoding.is_some() => Kind::Snowflake,
            None => Self::kind_of(text)?,
        };
        match (kind, encoding) {
            (Kind::Snowflake | Kind::Instagram, encoding) => {
                let encoding = encoding.unwrap_or_default();
                let id = encoding.read(text).ok_or(IdError::Encoded(encoding))?;
                Self::narrow(kind, id).ok_or(IdError::Form)
            }
            (Kind::Ulid, _) => {
                let ulid: Ulid = text.parse().map_err(|UlidError| IdError::Ulid)?;
                Self::wide(kind, ulid.as_u128())
            }
            (Kind::Uuid1 | Kind::Uuid7, _) => {
                Self::wide(kind, read_uuid(text).ok_or(IdError::Uuid)?)
            }
        }
    }

    /// Whether an ID of this kind can be written in this encoding, as far as they are named.
    ///
    /// # Errors
    ///
    /// [`IdError::NoEncoding`] when the kind has a form of its own.
    pub fn check_form(kind: Option<Kind>, encoding: Option<Encoding>) -> Result<(), IdError> {
        match kind.zip(encoding) {
            Some((kind, encoding)) if kind.is_wide() => Err(IdError::NoEncoding(kind, encoding)),
            _ => Ok(()),
        }
    }

    /// The ID as text, to be displayed: one of 64 bits in this encoding, any other in its own form.
    pub const fn text(self, encoding: Encoding) -> AnyText {
        AnyText { id: self, encoding }
    }

    /// The kind of what is written.
    fn kind_of(text: &str) -> Result<Kind, IdError> {
        if text.len() == Ulid::TEXT_SIZE {
            return Ok(Kind::Ulid);
        }
        if let Some(bits) = read_uuid(text) {
            return match wide::uuid_version(bits) {
                Some(1) => Ok(Kind::Uuid1),
                Some(7) => Ok(Kind::Uuid7),
                version => Err(IdError::Version(version)),
            };
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Ok(Kind::Snowflake) } else { Err(IdError::Form) }
    }

    /// The kind.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// All bits; the upper half of a 64-bit ID is zero.
    pub const fn bits(self) -> u128 {
        self.bits
    }

    /// The number, if it is a 64-bit ID.
    #[allow(clippy::cast_possible_truncation)] // Made of an `Id`.
    pub const fn id(self) -> Option<Id> {
        if self.kind.is_wide() { None } else { Id::new(self.bits as u64) }
    }

    /// The ULID, if it is one.
    pub const fn ulid(self) -> Option<Ulid> {
        match self.kind {
            Kind::Ulid => Some(Ulid::from_u128(self.bits)),
            _ => None,
        }
    }

    /// The UUID, if it is one.
    pub const fn uuid(self) -> Option<Uuid> {
        match self.kind {
            Kind::Uuid1 | Kind::Uuid7 => Some(Uuid::from_u128(self.bits)),
            _ => None,
        }
    }

    /// Where the ID stands among those of its kind, in the order in which a lane makes them: its
    /// bits, or for `uuid1` its time, then clock sequence and node.
    pub const fn rank(self) -> u128 {
        match self.kind {
            Kind::Uuid1 => {
                let low = self.bits & (u64::MAX >> 2) as u128;
                (wide::uuid1_time(self.bits) as u128) << 62 | low
            }
            _ => self.bits,
        }
    }

    /// What makes the ID unique among those of its kind, by design and not by luck: its time, slot
    /// and number, and nothing random. Two IDs of one place are a broken promise, even if they
    /// differ. IDs that a lane makes one after the other mostly have places one after the other.
    ///
    /// For `uuid1` these are the clock sequence, the lowest 16 bits of the node if they can be the
    /// slot, and the time, which is lowest. Other nodes are the choice of a server and make nothing
    /// unique.
    #[must_use]
    pub const fn place(self) -> u128 {
        match self.kind {
            Kind::Snowflake | Kind::Instagram => self.bits,
            Kind::Uuid1 => {
                let (clock_sequence, low) = (self.bits >> 48 & 0x3fff, self.bits & 0xffff);
                let slot = if low & 0x3fff == clock_sequence { low } else { 0 };
                clock_sequence << 76 | slot << 60 | wide::uuid1_time(self.bits) as u128
            }
            Kind::Ulid => self.bits >> wide::ULID_RANDOM_BITS,
            Kind::Uuid7 => {
                let Placed { unix_ms, place } = wide::read_uuid7(self.bits);
                (unix_ms as u128) << wide::PLACE_BITS | place as u128
            }
        }
    }

    /// The ID of a kind at this [`place`](Self::place), if there is one: of many the lowest, with
    /// zeros where others are random.
    pub fn of_place(kind: Kind, place: u128) -> Option<Self> {
        let placed = |place: u128| {
            let unix_ms = u64::try_from(place >> wide::PLACE_BITS).ok()?;
            let place = u32::try_from(place & u128::from(u32::MAX)).ok()?;
            (unix_ms <= wide::UNIX_MS_MAX).then_some(Placed { unix_ms, place })
        };
        match kind {
            Kind::Snowflake | Kind::Instagram => {
                let id = u64::try_from(place).ok().and_then(Id::new)?;
                Self::narrow(kind, id)
            }
            Kind::Uuid1 => {
                let clock_sequence = Some(place >> 76).filter(|sequence| sequence >> 14 == 0)?;
                let time = u64::try_from(place & ((1 << 60) - 1)).ok()?;
                let low = clock_sequence << 48 | place >> 60 & 0xffff;
                Self::wide(kind, wide::uuid1_of(time, low)).ok()
            }
            Kind::Ulid => Self::wide(kind, wide::ulid(placed(place)?, 0)).ok(),
            Kind::Uuid7 => Self::wide(kind, wide::uuid7(placed(place)?, 0)).ok(),
        }
    }

    /// Node and clock sequence of a UUID of version 1.
    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub const fn node(self) -> Option<(u64, u16)> {
        match self.kind {
            Kind::Uuid1 => {
                let node = self.bits as u64 & 0xffff_ffff_ffff;
                Some((node, (self.bits >> 48) as u16 & 0x3fff))
            }
            _ => None,
        }
    }
}

/// A UUID with hyphens, or 32 hexadecimal digits.
fn read_uuid(text: &str) -> Option<u128> {
    let sized = text.len() == 36 || text.len() == 32;
    let uuid = sized.then(|| Uuid::try_parse(text).ok()).flatten();
    uuid.map(|uuid| uuid.as_u128())
}

impl From<Id> for AnyId {
    /// A `snowflake`. An `instagram` ID has the same type: see [`AnyId::narrow`].
    fn from(id: Id) -> Self {
        Self { kind: Kind::Snowflake, bits: id.get().into() }
    }
}

impl From<Ulid> for AnyId {
    fn from(ulid: Ulid) -> Self {
        Self { kind: Kind::Ulid, bits: ulid.as_u128() }
    }
}

impl FromStr for AnyId {
    type Err = IdError;

    /// As [`AnyId::read`] without a kind or an encoding.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, None, None)
    }
}

impl From<Infallible> for IdError {
    /// What converts without an error has none.
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl TryFrom<Uuid> for AnyId {
    type Error = IdError;

    /// The kind of its version.
    fn try_from(uuid: Uuid) -> Result<Self, Self::Error> {
        match wide::uuid_version(uuid.as_u128()) {
            Some(1) => Self::wide(Kind::Uuid1, uuid.as_u128()),
            Some(7) => Self::wide(Kind::Uuid7, uuid.as_u128()),
            version => Err(IdError::Version(version)),
        }
    }
}

impl fmt::Display for AnyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Ulid => Ulid::from_u128(self.bits).fmt(f),
            Kind::Uuid1 | Kind::Uuid7 => Uuid::from_u128(self.bits).fmt(f),
            Kind::Snowflake | Kind::Instagram => self.bits.fmt(f),
        }
    }
}

impl fmt::Display for AnyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id.id() {
            Some(id) => self.encoding.text(id).fmt(f),
            None => self.id.fmt(f),
        }
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                write!(f, "{}; or a ULID, or a UUID", Encoding::Decimal.rule())
            }
            Self::Encoded(encoding) => f.write_str(encoding.rule()),
            Self::Ulid => UlidError.fmt(f),
            Self::Uuid => f.write_str("a UUID with hyphens or 32 hexadecimal digits is expected"),
            Self::Version(Some(version)) => {
                write!(f, "a UUID of version {version}: 1 and 7 are the versions that are known")
            }
            Self::OtherKind(version) => {
                write!(f, "a UUID of version {version}, which is kind uuid{version}")
            }
            Self::Version(None) => f.write_str("a UUID of another variant than that of RFC 9562"),
            Self::Before1970 => f.write_str("its time is before 1970"),
            Self::PastEnd { id_max } => {
                write!(f, "its time is past the end of the layout: 0 to {id_max} are allowed")
            }
            Self::NoEncoding(kind, encoding) => {
                write!(f, "encoding {} is for 64-bit IDs, {kind} has its own form", encoding.name())
            }
        }
    }
}

impl core::error::Error for IdError {}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID1: &str = "c232ab00-9414-11ec-b3c8-9f6bdeced846";
    const UUID7: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

    fn read(text: &str) -> Result<Kind, IdError> {
        let id = AnyId::read(text, None, None)?;
        if id.kind() != Kind::Ulid || text.bytes().all(|byte| !byte.is_ascii_lowercase()) {
            assert_eq!(id.to_string(), text);
        }
        Ok(id.kind())
    }

    #[test]
    fn the_form_tells_the_kind() {
        assert_eq!(read("1234567890123456789"), Ok(Kind::Snowflake));
        assert_eq!(read("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Ok(Kind::Ulid));
        assert_eq!((read(UUID1), read(UUID7)), (Ok(Kind::Uuid1), Ok(Kind::Uuid7)));
        let v4 = "919108f7-52d1-4320-9bac-f847db4148a8";
        assert_eq!(read(v4), Err(IdError::Version(Some(4))));
        assert_eq!(read("00000000-0000-0000-0000-000000000000"), Err(IdError::Version(None)));
        assert_eq!(read("9223372036854775808"), Err(IdError::Encoded(Encoding::Decimal)));
        for text in ["", "x", "-1", "AzL8n0Y58m7", "c232ab00-9414-11ec-b3c8-9f6bdeced84", "{}"] {
            assert_eq!(read(text), Err(IdError::Form), "{text}");
        }
        let simple = AnyId::read(&UUID7.replace('-', ""), None, None).unwrap();
        assert_eq!(simple.to_string(), UUID7);
    }

    #[test]
    fn what_is_said_of_an_id_must_be_right() {
        let read = |text, kind, encoding| AnyId::read(text, Some(kind), encoding);
        assert_eq!(read(UUID7, Kind::Uuid1, None), Err(IdError::OtherKind(7)));
        assert_eq!(read(UUID7, Kind::Ulid, None), Err(IdError::Ulid));
        assert_eq!(read("1", Kind::Uuid7, None), Err(IdError::Uuid));
        assert_eq!(
            read(UUID7, Kind::Uuid7, Some(Encoding::Decimal)),
            Err(IdError::NoEncoding(Kind::Uuid7, Encoding::Decimal))
        );
        let id = read("AzL8n0Y58m7", Kind::Instagram, Some(Encoding::Base62)).unwrap();
        assert_eq!((id.id(), id.kind()), (Some(Id::MAX), Kind::Instagram));
        let id = AnyId::read("0000000000001", None, Some(Encoding::Crockford)).unwrap();
        assert_eq!((id.bits(), id.kind()), (1, Kind::Snowflake));
        assert_eq!(AnyId::narrow(Kind::Ulid, Id::MAX), None);
        assert_eq!(AnyId::wide(Kind::Snowflake, 1), Err(IdError::Form));
        let early = "00000000-0000-1000-8000-000000000000";
        assert_eq!(read(early, Kind::Uuid1, None), Err(IdError::Before1970));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["1234567890123456789", "01ARZ3NDEKTSV4RRFFQ69G5FAV", UUID1, UUID7] {
            let id = AnyId::read(text, None, None).unwrap();
            for encoding in Encoding::ALL {
                let of = Some(encoding);
                let written = id.text(encoding).to_string();
                // What has 128 bits has one form only.
                let as_is = encoding == Encoding::Decimal || id.kind().is_wide();
                assert_eq!(written == text, as_is, "{written}");
                let named = AnyId::check_form(Some(id.kind()), of).map(|()| of).unwrap_or_default();
                assert_eq!(named.is_none(), id.kind().is_wide());
                assert_eq!(AnyId::read(&written, Some(id.kind()), named), Ok(id));
                let no_encoding = Err(IdError::NoEncoding(Kind::Ulid, encoding));
                assert_eq!(AnyId::check_form(Some(Kind::Ulid), of), no_encoding);
                assert_eq!(AnyId::check_form(None, of), Ok(()));
            }
        }
    }

    #[test]
    fn the_rank_of_a_uuid_of_version_1_is_its_time() {
        let at = |ms, number| AnyId::wide(Kind::Uuid1, wide::uuid1(ms, number, 5, 6)).unwrap();
        let (low, high) = (at(429_496, 7_295), at(429_496, 7_297));
        assert!(low.rank() < high.rank());
        // The first field holds the lowest bits: by their bytes they may stand the other way round.
        let times = [at(1_700_000_000_000, 0), at(1_700_000_429_497, 0)];
        assert!(times[0].rank() < times[1].rank());
    }

    #[test]
    fn a_place_is_all_but_what_is_random() {
        let ulid = |random| AnyId::wide(Kind::Ulid, wide::ulid(PLACED, random)).unwrap();
        let uuid7 = |random| AnyId::wide(Kind::Uuid7, wide::uuid7(PLACED, random)).unwrap();
        let uuid1 =
            |node: u64| AnyId::wide(Kind::Uuid1, wide::uuid1(5, 6, 7, node << 16 | 7)).unwrap();
        const PLACED: Placed = Placed { unix_ms: 0x0123_4567_89ab, place: 0xfedc_ba98 };
        for of in [ulid as fn(u64) -> AnyId, uuid7, uuid1] {
            let (id, other) = (of(0), of(0xffff_ffff));
            assert!(id != other && id.place() == other.place(), "{id} {other}");
            assert_eq!(AnyId::of_place(id.kind(), id.place()), Some(id));
        }
        let next = Placed { place: PLACED.place + 1, ..PLACED };
        let next = AnyId::wide(Kind::Ulid, wide::ulid(next, 0)).unwrap();
        assert_eq!(next.place(), ulid(u64::MAX).place() + 1);
        let slots =
            [7, 8].map(|slot| AnyId::wide(Kind::Uuid1, wide::uuid1(5, 6, slot, 8)).unwrap());
        assert!(slots[0].place() < slots[1].place());
        let later = AnyId::wide(Kind::Uuid1, wide::uuid1(5, 7, 7, 8)).unwrap();
        assert_eq!(later.place(), slots[0].place() + 1);
        // Slots of 16 bits are told apart by the node, and two cards in one slot are not.
        let of_node = |node| AnyId::wide(Kind::Uuid1, wide::uuid1(5, 6, 7, node)).unwrap().place();
        assert!(of_node(7) != of_node(0x4007) && of_node(8) == of_node(0x1234_5678_9abc));
        for kind in Kind::ALL {
            assert_eq!(AnyId::of_place(kind, u128::MAX), None);
        }
    }
}
