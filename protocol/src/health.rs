//! How a server is: the payload of a HEALTH reply.

use crate::code::ErrorCode;
use crate::reader::Reader;
use crate::worker_ids::WorkerIds;

/// Bytes of the payload as this version writes it.
pub(crate) const HEALTH_SIZE: usize = 64;

/// Whether IDs can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServingState {
    /// Yes.
    Serving,
    /// Not now, for the reason with this code. A number, as in [`ErrorReply`](crate::ErrorReply): a
    /// newer server may send one that [`ErrorCode`] does not know.
    Refusing(u16),
    /// Not any more: the server is shutting down.
    Draining,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether IDs can be had.
    pub state: ServingState,
    /// The datacenter part of the server's slot.
    pub datacenter_id: u16,
    /// The worker part of the server's slot, or of the first if it has several; none when it waits
    /// for one.
    pub worker_id: Option<u16>,
    /// Seconds since the server became ready.
    pub uptime_seconds: u64,
    /// IDs issued by all lanes since then.
    pub ids_generated: u64,
    /// How far the reserved window reaches ahead of the clock, in milliseconds.
    pub window_left_ms: u64,
    /// How the clock compares with the time of others.
    pub clock: ClockState,
    /// Whether the clock has jumped ahead and is not believed.
    pub clock_suspect: bool,
    /// How the store of the windows is.
    pub store: StoreState,
    /// How far the time of others is ahead of the clock, in microseconds; 0 when nobody says.
    pub clock_offset_us: i64,
    /// How often the clock was seen to be set.
    pub clock_steps: u64,
    /// How often the lane that answers found the clock behind its last tick.
    pub clock_regressions: u64,
}

/// How a clock compares with the time of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockState {
    /// Nobody says.
    #[default]
    Unknown,
    /// It differs by no more than 100 ms.
    Good,
    /// It differs by more than 100 ms.
    Alert,
    /// It has differed by more than a second for a while: nothing is issued.
    Refusing,
}

/// How the store of the windows is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// It has acknowledged what it was last asked.
    #[default]
    Good,
    /// It is not known whether it has.
    Doubtful,
    /// It is of no use any more: what was reserved is used up, and then nothing is issued.
    Broken,
}

impl ClockState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Good, Self::Alert, Self::Refusing];

    /// The name used in documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "good",
            Self::Alert => "alert",
            Self::Refusing => "refusing",
        }
    }

    /// The state's byte on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Good => 1,
            Self::Alert => 2,
            Self::Refusing => 3,
        }
    }

    /// The state with this byte; a newer one is not known.
    pub const fn from_wire(byte: u8) -> Self {
        match byte {
            1 => Self::Good,
            2 => Self::Alert,
            3 => Self::Refusing,
            _ => Self::Unknown,
        }
    }
}

impl StoreState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Good, Self::Doubtful, Self::Broken];

    /// The name used in documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Broken => "broken",
        }
    }

    /// The state's byte on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Doubtful => 1,
            Self::Broken => 2,
        }
    }

    /// The state with this byte; a newer one is doubtful.
    pub const fn from_wire(byte: u8) -> Self {
        match byte {
            0 => Self::Good,
            2 => Self::Broken,
            _ => Self::Doubtful,
        }
    }
}

impl Health {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Self {
        let (state, _) = (reader.u8(), reader.u8());
        let code = reader.u16();
        let state = match state {
            1 => ServingState::Serving,
            3 => ServingState::Draining,
            // What a newer server may call its state, it is not serving.
            _ => ServingState::Refusing(code),
        };
        Self {
            state,
            datacenter_id: reader.u16(),
            worker_id: Some(reader.u16()).filter(|id| *id != WorkerIds::NONE),
            uptime_seconds: reader.u64(),
            ids_generated: reader.u64(),
            window_left_ms: reader.u64(),
            clock: ClockState::from_wire(reader.u8()),
            clock_suspect: reader.u8() & 1 != 0,
            store: {
                let store = StoreState::from_wire(reader.u8());
                let _reserved = (reader.u8(), reader.u32());
                store
            },
            clock_offset_us: reader.u64().cast_signed(),
            clock_steps: reader.u64(),
            clock_regressions: reader.u64(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (state, code) = match self.state {
            ServingState::Serving => (1, 0),
            ServingState::Refusing(code) => (2, code),
            ServingState::Draining => (3, ErrorCode::Draining.wire()),
        };
        out.extend_from_slice(&[state, 0]);
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&self.datacenter_id.to_be_bytes());
        out.extend_from_slice(&self.worker_id.unwrap_or(WorkerIds::NONE).to_be_bytes());
        out.extend_from_slice(&self.uptime_seconds.to_be_bytes());
        out.extend_from_slice(&self.ids_generated.to_be_bytes());
        out.extend_from_slice(&self.window_left_ms.to_be_bytes());
        out.extend_from_slice(&[self.clock.wire(), self.clock_suspect.into(), self.store.wire()]);
        out.extend_from_slice(&[0; 5]);
        out.extend_from_slice(&self.clock_offset_us.to_be_bytes());
        out.extend_from_slice(&self.clock_steps.to_be_bytes());
        out.extend_from_slice(&self.clock_regressions.to_be_bytes());
    }
}
