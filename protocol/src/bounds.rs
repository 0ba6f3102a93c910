//! The smallest and the largest ID of a stretch of time.

use core::fmt;

use crate::any_id::AnyId;
use crate::id::Id;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::namespace::Namespace;
use crate::scale::TickError;
use crate::wide;

/// Every ID of one kind that was made from one time to another, whoever made it, lies between these
/// two; they need not have been issued. For range scans: `WHERE id BETWEEN min AND max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Not larger than any of them.
    pub min: AnyId,
    /// Not smaller than any of them.
    pub max: AnyId,
}

/// Why there are no bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundsError {
    /// The IDs of this kind do not sort by time.
    Unsorted(Kind),
    /// The stretch ends before it begins.
    Reversed {
        /// Its beginning.
        from_ms: u64,
        /// Its end.
        to_ms: u64,
    },
    /// It begins where the kind has no time.
    From(TickError),
    /// It ends where the kind has no time.
    To(TickError),
}

impl Namespace {
    /// The bounds of the IDs made from `from_ms` to `to_ms`, both included, in milliseconds since
    /// the Unix epoch.
    ///
    /// # Errors
    ///
    /// When the kind does not sort by time, or the times are none it can hold.
    pub fn bounds(&self, kind: Kind, from_ms: u64, to_ms: u64) -> Result<Bounds, BoundsError> {
        if kind == Kind::Uuid1 {
            return Err(BoundsError::Unsorted(kind));
        }
        if from_ms > to_ms {
            return Err(BoundsError::Reversed { from_ms, to_ms });
        }
        let (from, to, shift) = match kind {
            Kind::Snowflake => ticks(self.layout(), from_ms, to_ms)?,
            Kind::Instagram => ticks(self.instagram(), from_ms, to_ms)?,
            Kind::Uuid1 | Kind::Ulid | Kind::Uuid7 => {
                // They count from 1970: others may have made some before our epoch.
                let (unix_ms, end_ms) = (to_ms, wide::UNIX_MS_MAX);
                if unix_ms > end_ms {
                    return Err(BoundsError::To(TickError::AfterEnd { unix_ms, end_ms }));
                }
                (from_ms, to_ms, 80)
            }
        };
        let (min, max) = (u128::from(from) << shift, u128::from(to) << shift | ((1 << shift) - 1));
        let any = |bits: u128, rest: u128| match kind {
            Kind::Uuid7 => AnyId::wide(kind, uuid7(bits, rest)).ok(),
            Kind::Ulid => AnyId::wide(kind, bits).ok(),
            _ => u64::try_from(bits).ok().and_then(Id::new).and_then(|id| AnyId::narrow(kind, id)),
        };
        let bound = |bits, rest| any(bits, rest).expect("a tick of the scale makes an ID");
        Ok(Bounds { min: bound(min, 0), max: bound(max, u128::MAX) })
    }
}

/// The ticks of these times in a layout, and how far above the rest they stand.
fn ticks(layout: &Layout, from_ms: u64, to_ms: u64) -> Result<(u64, u64, u16), BoundsError> {
    let from = layout.scale().tick(from_ms).map_err(BoundsError::From)?;
    let to = layout.scale().tick(to_ms).map_err(BoundsError::To)?;
    let widths = layout.widths();
    Ok((from.get(), to.get(), widths.slot() + u16::from(widths.sequence)))
}

/// The UUID of version 7 with this time, and all other bits as in `rest`.
const fn uuid7(bits: u128, rest: u128) -> u128 {
    let fixed = 0xf << 76 | 0b11 << 62;
    let time = u128::MAX << 80;
    bits & time | rest & !time & !fixed | 7 << 76 | 0b10 << 62
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsorted(kind) => write!(f, "kind: IDs of {kind} do not sort by their time"),
            Self::Reversed { from_ms, to_ms } => {
                write!(f, "to: {to_ms} ms is before from, {from_ms} ms")
            }
            Self::From(error) => write!(f, "from: {error}"),
            Self::To(error) => write!(f, "to: {error}"),
        }
    }
}

impl core::error::Error for BoundsError {}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;
    use crate::widths::Widths;

    const FROM_MS: u64 = 1_700_000_000_000;
    const TO_MS: u64 = FROM_MS + 59_999;

    /// The smallest and the largest ID that can be made at `unix_ms`.
    fn made_at(namespace: &Namespace, kind: Kind, unix_ms: u64) -> [u128; 2] {
        let layout = namespace.layout();
        let last = layout.slot(layout.datacenter_id_max(), layout.worker_id_max()).unwrap();
        let ends =
            [(layout.slot(0, 0).unwrap(), 0, 0), (last, namespace.space(kind) - 1, u64::MAX)];
        ends.map(|(slot, number, random)| {
            if kind.is_wide() {
                return namespace.pack_wide(kind, unix_ms, slot, number, random, 0);
            }
            let tick = namespace.scale(kind).tick(unix_ms).unwrap();
            namespace.pack_run(kind, tick, slot, number, NonZeroU32::MIN).first().get().into()
        })
    }

    #[test]
    fn what_was_made_in_a_stretch_lies_within_its_bounds_and_nothing_else_does() {
        let javascript = Layout::new(Widths::JAVASCRIPT, 1, 1_609_459_200_000).unwrap();
        let javascript = Namespace::new(javascript, None, None).unwrap();
        let long_ticks = Layout::new(Widths::SNOWFLAKE, 10, 1_609_459_200_000).unwrap();
        let long_ticks = Namespace::new(long_ticks, None, None).unwrap();
        for namespace in [Namespace::DEFAULT, javascript, long_ticks] {
            for kind in [Kind::Snowflake, Kind::Instagram, Kind::Ulid, Kind::Uuid7] {
                let end_ms = namespace.scale(kind).end_ms();
                let end = namespace.bounds(kind, end_ms, end_ms).unwrap();
                let [first, last] = made_at(&namespace, kind, end_ms);
                assert!(end.min.bits() <= first && last <= end.max.bits(), "{kind} at its end");
                let Bounds { min, max } = namespace.bounds(kind, FROM_MS, TO_MS).unwrap();
                let (min, max) = (min.bits(), max.bits());
                assert!(made_at(&namespace, kind, FROM_MS - 1)[1] < min, "{kind}");
                assert!(min <= made_at(&namespace, kind, FROM_MS)[0], "{kind}");
                assert!(made_at(&namespace, kind, TO_MS)[1] <= max, "{kind}");
                assert!(max < made_at(&namespace, kind, TO_MS + 1)[0], "{kind}");
            }
        }
    }

    #[test]
    fn times_that_no_id_has_are_named() {
        let bounds =
            |kind, from, to| Namespace::DEFAULT.bounds(kind, from, to).unwrap_err().to_string();
        assert_eq!(bounds(Kind::Uuid1, 0, 0), "kind: IDs of uuid1 do not sort by their time");
        assert_eq!(bounds(Kind::Ulid, 7, 5), "to: 5 ms is before from, 7 ms");
        let text = "from: 5 ms is before the epoch 1609459200000 ms";
        assert_eq!(bounds(Kind::Snowflake, 5, TO_MS), text);
        let text = "to: 9999999999999 ms is past the end of the layout 3808482455551 ms";
        assert_eq!(bounds(Kind::Snowflake, FROM_MS, 9_999_999_999_999), text);
        let text = "to: 281474976710656 ms is past the end of the layout 281474976710655 ms";
        assert_eq!(bounds(Kind::Uuid7, 0, 1 << 48), text);
        let all = Namespace::DEFAULT.bounds(Kind::Ulid, 0, (1 << 48) - 1).unwrap();
        assert_eq!((all.min.bits(), all.max.bits()), (0, u128::MAX));
        let last = Namespace::DEFAULT.layout().end_ms();
        let bounds = Namespace::DEFAULT.bounds(Kind::Snowflake, last, last).unwrap();
        assert_eq!(bounds.max.id(), Some(Id::MAX));
    }
}
