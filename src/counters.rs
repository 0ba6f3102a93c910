//! What each lane's thread counts. It writes its own counters only; whoever wants a sum reads them
//! all.

use core::sync::atomic::{AtomicU64, Ordering};

use coreflake_engine::{Lane, Refusal};
use coreflake_protocol::{DecodeError, ErrorCode, Kind};

use crate::latency::Latencies;

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a frame, a datagram or a connection was turned away. Each reason has its counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reject {
            $($(#[$doc])* $variant,)*
        }

        impl Reject {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reason in logs and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

rejects! {
    /// A length below the header or above the limit.
    FrameSize => "frame_size",
    /// A version not spoken.
    UnsupportedVersion => "unsupported_version",
    /// An opcode nobody has.
    UnknownOpcode => "unknown_opcode",
    /// A reserved bit set.
    ReservedBits => "reserved_bits",
    /// A payload of the wrong size.
    PayloadSize => "payload_size",
    /// A kind not spoken.
    UnknownKind => "unknown_kind",
    /// A count of 0 or above the limit.
    InvalidCount => "invalid_count",
    /// A number that is no ID.
    InvalidId => "invalid_id",
    /// A REST request with a path, a method, a parameter or a body that is not there.
    InvalidRequest => "invalid_request",
    /// A reply sent as a request.
    UnexpectedResponse => "unexpected_response",
    /// No token, or a wrong one.
    Unauthenticated => "unauthenticated",
    /// Too many errors on one connection.
    TooManyErrors => "too_many_errors",
    /// A TLS handshake on the plain port.
    TlsOnPlainPort => "tls_on_plain_port",
    /// Another protocol: HTTP, SSH.
    ForeignProtocol => "foreign_protocol",
    /// No first frame in time.
    FirstFrameTimeout => "first_frame_timeout",
    /// A frame that was begun and not finished in time.
    FrameTimeout => "frame_timeout",
    /// A connection that rested too long.
    IdleTimeout => "idle_timeout",
    /// A peer that did not read its replies.
    SlowReader => "slow_reader",
    /// More connections than the server takes.
    ConnectionLimit => "connection_limit",
    /// More connections than one address may have.
    ConnectionPerIpLimit => "connection_per_ip_limit",
    /// A datagram shorter than a header, or longer than the limit, or than its frame says.
    DatagramSize => "datagram_size",
    /// A datagram whose padding is not zero.
    DatagramPadding => "datagram_padding",
    /// An operation that has no meaning on a datagram.
    DatagramOperation => "datagram_operation",
    /// A source port of a service that answers datagrams itself.
    SourcePort => "source_port",
    /// A source that cannot be a peer: broadcast, multicast, this server.
    SourceAddress => "source_address",
    /// A source outside the networks that may send datagrams.
    SourceNotAllowed => "source_not_allowed",
    /// More datagrams per second than one source may send.
    SourceRate => "source_rate",
    /// More datagrams per second than the shard looks at.
    TotalRate => "total_rate",
    /// A reply, even one that says so, would be longer than the datagram that asked.
    ReplyTooLarge => "reply_too_large",
    /// Too many datagrams wait for sequence space.
    Overloaded => "overloaded",
    /// A request for IDs while the server shuts down.
    Draining => "draining",
    /// The socket did not take a reply.
    ReplyNotSent => "reply_not_sent",
}

impl From<DecodeError> for Reject {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::FrameSize { .. } => Self::FrameSize,
            DecodeError::UnsupportedVersion { .. } => Self::UnsupportedVersion,
            DecodeError::UnexpectedResponse { .. } => Self::UnexpectedResponse,
            DecodeError::UnknownOpcode { .. } => Self::UnknownOpcode,
            DecodeError::ReservedBits => Self::ReservedBits,
            DecodeError::PayloadSize { .. } => Self::PayloadSize,
            DecodeError::UnknownKind { .. } => Self::UnknownKind,
            DecodeError::InvalidCount { .. } => Self::InvalidCount,
            DecodeError::InvalidId { .. } => Self::InvalidId,
        }
    }
}

/// The counters of one lane and the doors in front of it. One thread adds, any thread reads.
#[derive(Debug)]
pub struct LaneCounters {
    /// In the order of [`Kind::ALL`].
    ids: [Counter; Kind::ALL.len()],
    issued_ms: Counter,
    waits: Counter,
    sequence_overflows: Counter,
    pool_claims: Counter,
    clock_regressions: Counter,
    refusals: [Counter; REFUSALS.len()],
    pub(crate) connections_accepted: Counter,
    pub(crate) frames: Counter,
    pub(crate) datagrams: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) latencies: Latencies,
    rejects: [Counter; Reject::ALL.len()],
}

/// The codes under which refused requests count.
pub(crate) const REFUSALS: [ErrorCode; 5] = [
    ErrorCode::Starting,
    ErrorCode::ClockRegression,
    ErrorCode::ClockDrift,
    ErrorCode::WindowExhausted,
    ErrorCode::TimestampExhausted,
];

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds without a read-modify-write cycle: there is one writer.
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.get().wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl LaneCounters {
    pub(crate) fn new() -> Self {
        Self {
            ids: Default::default(),
            issued_ms: Counter::default(),
            waits: Counter::default(),
            sequence_overflows: Counter::default(),
            pool_claims: Counter::default(),
            clock_regressions: Counter::default(),
            refusals: [const { Counter(AtomicU64::new(0)) }; REFUSALS.len()],
            connections_accepted: Counter::default(),
            frames: Counter::default(),
            datagrams: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            latencies: Latencies::default(),
            rejects: [const { Counter(AtomicU64::new(0)) }; Reject::ALL.len()],
        }
    }

    /// Publishes what the lane counted. Once per batch.
    pub(crate) fn publish(&self, lane: &Lane) {
        let stats = lane.stats();
        for (counter, ids) in self.ids.iter().zip(stats.ids) {
            counter.set(ids);
        }
        self.issued_ms.set(lane.issued_ms());
        self.waits.set(stats.waits);
        self.sequence_overflows.set(stats.sequence_overflows);
        self.pool_claims.set(stats.pool_claims);
        self.clock_regressions.set(stats.clock_regressions);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        let place = REFUSALS.iter().position(|code| *code == refusal.code());
        self.refusals[place.expect("every refusal has a place")].add(1);
    }

    pub(crate) fn reject(&self, reason: Reject) {
        self.reject_many(reason, 1);
    }

    pub(crate) fn reject_many(&self, reason: Reject, count: u64) {
        self.rejects[reason as usize].add(count);
    }

    /// How often something was turned away for `reason`.
    pub fn rejects(&self, reason: Reject) -> u64 {
        self.rejects[reason as usize].get()
    }

    /// IDs issued, of all kinds.
    pub fn ids(&self) -> u64 {
        self.ids.iter().map(Counter::get).sum()
    }

    /// IDs issued of this kind.
    pub(crate) fn ids_of(&self, kind: Kind) -> u64 {
        self.ids[kind.index()].get()
    }

    /// Requests refused with this code, one of [`REFUSALS`].
    pub(crate) fn refusals(&self, code: ErrorCode) -> u64 {
        let place = REFUSALS.iter().position(|known| *known == code);
        place.map_or(0, |place| self.refusals[place].get())
    }

    /// The time in the last ID issued, in milliseconds since the Unix epoch, or 0.
    pub(crate) fn issued_ms(&self) -> u64 {
        self.issued_ms.get()
    }

    /// Ticks whose sequence space was used up.
    pub(crate) fn sequence_overflows(&self) -> u64 {
        self.sequence_overflows.get()
    }

    /// Pieces claimed from the pool.
    pub(crate) fn pool_claims(&self) -> u64 {
        self.pool_claims.get()
    }

    /// How often the clock was found behind the last tick.
    pub(crate) fn clock_regressions(&self) -> u64 {
        self.clock_regressions.get()
    }

    /// How often somebody had to wait for sequence space.
    pub fn waits(&self) -> u64 {
        self.waits.get()
    }

    /// Connections accepted.
    pub fn connections_accepted(&self) -> u64 {
        self.connections_accepted.get()
    }

    /// Every counter that is not zero, by the name it has in logs.
    pub(crate) fn nonzero(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let own = [
            ("waits", &self.waits),
            ("sequence_overflows", &self.sequence_overflows),
            ("pool_claims", &self.pool_claims),
            ("clock_regressions", &self.clock_regressions),
            ("connections_accepted", &self.connections_accepted),
            ("frames", &self.frames),
            ("datagrams", &self.datagrams),
        ];
        let rejects = Reject::ALL.iter().map(|reason| (reason.name(), self.rejects(*reason)));
        let refusals = self.refusals.iter().map(Counter::get).sum();
        own.into_iter()
            .map(|(name, counter)| (name, counter.get()))
            .chain([("ids", self.ids()), ("refusals", refusals)])
            .chain(rejects)
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::IdError;

    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let mut names: Vec<_> = Reject::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reject::ALL.len());
    }

    #[test]
    fn every_refusal_has_a_place() {
        let counters = LaneCounters::new();
        let refusals = [
            Refusal::Starting,
            Refusal::ClockRegression { behind_ms: 1, retry_after_ms: 1 },
            Refusal::ClockDrift,
            Refusal::WindowExhausted,
            Refusal::TimestampExhausted,
        ];
        for refusal in refusals {
            counters.refuse(refusal);
            assert_eq!(counters.refusals(refusal.code()), 1);
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_counts_under_the_name_of_its_code() {
        let errors = [
            DecodeError::FrameSize { length: 0, length_max: 0 },
            DecodeError::UnsupportedVersion { version: 0 },
            DecodeError::UnexpectedResponse { opcode: 0 },
            DecodeError::UnknownOpcode { opcode: 0 },
            DecodeError::ReservedBits,
            DecodeError::PayloadSize { size: 0, size_min: 0, size_max: 0 },
            DecodeError::UnknownKind { kind: 0 },
            DecodeError::InvalidCount { count: 0 },
            DecodeError::InvalidId { kind: Kind::Ulid, error: IdError::Form },
        ];
        for error in errors {
            assert_eq!(Reject::from(error).name(), error.code().name().to_lowercase());
        }
    }
}
