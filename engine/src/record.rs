//! The durable state of one slot: who holds it, and up to where its ticks are taken.
//!
//! The bytes are compared whole by every store, so they are canonical: one record, one encoding.

use core::fmt;

/// The bytes of a record, all fields big-endian:
///
/// ```text
///   0  magic "CFREC"       5    32  bound_ms        8    112  host, UTF-8, zero padded  64
///   5  version             1    40  written_ms      8    176  CRC-32 of all before       4
///   6  slot                2    48  holder         16
///   8  fingerprint         8    64  attempt         8
///  16  term                8    72  reserved       40
///  24  created_ms          8
/// ```
pub const RECORD_SIZE: usize = 180;

const MAGIC: &[u8; 5] = b"CFREC";
const VERSION: u8 = 1;
const HOST_SIZE_MAX: usize = 64;

/// The state of a slot. Its bound never falls while it lives, except when its own holder gives the
/// unused rest back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Datacenter and worker bits as one number.
    pub slot: u16,
    /// The namespace: epoch and layout.
    pub fingerprint: u64,
    /// How often the slot was claimed.
    pub term: u64,
    /// When the record was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// The last tick that is taken, in milliseconds since the Unix epoch.
    pub bound_ms: u64,
    /// What the clock said when the record was written, in milliseconds since the Unix epoch.
    pub written_ms: u64,
    /// The process that holds the slot: random, chosen at its start.
    pub holder: u128,
    /// This write: random, so that a write whose outcome is unknown can be recognised.
    pub attempt: u64,
    /// The host of the holder, for people.
    pub host: Host,
}

/// A host name as it fits into a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Host {
    bytes: [u8; HOST_SIZE_MAX],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// There are this many bytes.
    Size(usize),
    /// They begin with something else.
    Magic,
    /// They are of this version: another release wrote them.
    Version(u8),
    /// The checksum does not match: they are torn or damaged.
    Checksum,
    /// The checksum matches and the named field holds what cannot be.
    Field(&'static str),
}

impl Record {
    /// Whether this record is one that `seen`, a record of the same slot, has followed: a store
    /// that shows it now has gone back. Each write raises the term or, within a term, the bound.
    pub const fn is_before(&self, seen: &Self) -> bool {
        self.term <= seen.term && self.bound_ms < seen.bound_ms
    }

    /// The bytes of the record.
    pub fn encode(&self) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        let mut writer = Writer { bytes: &mut bytes, at: 0 };
        writer.put(MAGIC);
        writer.put(&[VERSION]);
        writer.put(&self.slot.to_be_bytes());
        writer.put(&self.fingerprint.to_be_bytes());
        writer.put(&self.term.to_be_bytes());
        writer.put(&self.created_ms.to_be_bytes());
        writer.put(&self.bound_ms.to_be_bytes());
        writer.put(&self.written_ms.to_be_bytes());
        writer.put(&self.holder.to_be_bytes());
        writer.put(&self.attempt.to_be_bytes());
        writer.put(&[0; RESERVED_SIZE]);
        writer.put(&self.host.bytes);
        let checksum = crc32fast::hash(&writer.bytes[..CHECKED_SIZE]);
        writer.put(&checksum.to_be_bytes());
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// When the bytes are no record of this version, damaged, or hold what cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let whole: &[u8; RECORD_SIZE] =
            bytes.try_into().map_err(|_| RecordError::Size(bytes.len()))?;
        if !whole.starts_with(MAGIC) {
            return Err(RecordError::Magic);
        }
        // The version first: another one may have its checksum elsewhere.
        if whole[MAGIC.len()] != VERSION {
            return Err(RecordError::Version(whole[MAGIC.len()]));
        }
        let (checked, checksum) = whole.split_at(CHECKED_SIZE);
        if crc32fast::hash(checked).to_be_bytes() != checksum {
            return Err(RecordError::Checksum);
        }
        let mut reader = Reader { rest: &checked[MAGIC.len() + 1..] };
        let slot = u16::from_be_bytes(reader.take());
        let [fingerprint, term, created_ms, bound_ms, written_ms] =
            core::array::from_fn(|_| u64::from_be_bytes(reader.take()));
        let holder = u128::from_be_bytes(reader.take());
        let attempt = u64::from_be_bytes(reader.take());
        let reserved: [u8; RESERVED_SIZE] = reader.take();
        let host = Host { bytes: reader.take() };
        let record = Self {
            slot,
            fingerprint,
            term,
            created_ms,
            bound_ms,
            written_ms,
            holder,
            attempt,
            host,
        };
        record.check(&reserved)?;
        Ok(record)
    }

    fn check(&self, reserved: &[u8]) -> Result<(), RecordError> {
        let impossible = [
            ("reserved", reserved.iter().any(|byte| *byte != 0)),
            ("holder", self.holder == 0),
            ("term", self.term == 0 || self.term == u64::MAX),
            ("bound_ms", self.bound_ms == 0 || self.bound_ms > i64::MAX as u64),
            ("host", !self.host.is_valid()),
        ];
        match impossible.into_iter().find(|(_, impossible)| *impossible) {
            Some((field, _)) => Err(RecordError::Field(field)),
            None => Ok(()),
        }
    }
}

impl Host {
    /// A host name: cut when longer than a record holds, and without what does not print.
    pub fn new(name: &str) -> Self {
        let mut bytes = [0; HOST_SIZE_MAX];
        let printable = name.bytes().filter(u8::is_ascii_graphic);
        for (place, byte) in bytes.iter_mut().zip(printable) {
            *place = byte;
        }
        Self { bytes }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(HOST_SIZE_MAX);
        core::str::from_utf8(&self.bytes[..end]).unwrap_or("?")
    }

    fn is_valid(&self) -> bool {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(HOST_SIZE_MAX);
        let (name, padding) = self.bytes.split_at(end);
        name.iter().all(u8::is_ascii_graphic) && padding.iter().all(|byte| *byte == 0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "{size} bytes are no record of {RECORD_SIZE}"),
            Self::Magic => f.write_str("it does not begin as a record does"),
            Self::Version(version) => {
                write!(f, "version {version} was written by another release: {VERSION} is known")
            }
            Self::Checksum => f.write_str("its checksum does not match: it is torn or damaged"),
            Self::Field(field) => write!(f, "its checksum matches, but {field} cannot be right"),
        }
    }
}

impl core::error::Error for RecordError {}

const RESERVED_SIZE: usize = 40;
const CHECKED_SIZE: usize = RECORD_SIZE - 4;

struct Writer<'a> {
    bytes: &'a mut [u8; RECORD_SIZE],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.rest.split_first_chunk().expect("the sizes add up");
        self.rest = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            slot: 37,
            fingerprint: 0x0123_4567_89ab_cdef,
            term: 3,
            created_ms: 1_700_000_000_000,
            bound_ms: 1_800_000_003_000,
            written_ms: 1_800_000_000_000,
            holder: 7 << 100,
            attempt: 99,
            host: Host::new("db-7.example"),
        }
    }

    #[test]
    fn a_record_comes_back() {
        let bytes = record().encode();
        assert_eq!(Record::decode(&bytes), Ok(record()));
        assert_eq!(record().host.as_str(), "db-7.example");
    }

    #[test]
    fn no_damage_passes() {
        let bytes = record().encode();
        for at in 0..RECORD_SIZE {
            assert!(Record::decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut damaged = bytes;
                damaged[at] ^= 1 << bit;
                assert!(Record::decode(&damaged).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert_eq!(Record::decode(&[0; RECORD_SIZE]), Err(RecordError::Magic));
    }

    #[test]
    fn what_cannot_be_is_refused_though_the_checksum_matches() {
        type Spoil = fn(&mut Record);
        let cases: [(&str, Spoil); 5] = [
            ("holder", |record| record.holder = 0),
            ("term", |record| record.term = 0),
            ("bound_ms", |record| record.bound_ms = 0),
            ("bound_ms", |record| record.bound_ms = u64::MAX),
            ("host", |record| record.host.bytes[63] = b'x'),
        ];
        for (field, spoil) in cases {
            let mut spoiled = record();
            spoil(&mut spoiled);
            assert_eq!(Record::decode(&spoiled.encode()), Err(RecordError::Field(field)));
        }
    }

    #[test]
    fn a_record_of_another_release_is_not_read() {
        let mut bytes = record().encode();
        bytes[5] = 2;
        assert_eq!(Record::decode(&bytes), Err(RecordError::Version(2)));
    }

    #[test]
    fn a_host_name_is_cut_and_cleaned() {
        assert_eq!(Host::new(&"x".repeat(100)).as_str().len(), 64);
        assert_eq!(Host::new("a\u{1b}[2J\0b c").as_str(), "a[2Jbc");
    }
}
