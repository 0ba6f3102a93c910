//! IDs as the ledger takes them: consecutive ones of 64 bits together, those of 128 bits one by
//! one.

use coreflake_protocol::{AnyId, Generated, Id, Kind, Run, Runs, WideIds};

/// Some IDs of one kind, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    first: AnyId,
    /// 1 or more; 1 for kinds of 128 bits.
    count: u32,
}

impl Span {
    /// A single ID.
    pub(crate) const fn one(id: AnyId) -> Self {
        Self { first: id, count: 1 }
    }

    /// A run of a 64-bit kind; `None` if the kind has 128.
    pub(crate) fn of_run(kind: Kind, run: Run) -> Option<Self> {
        let first = AnyId::narrow(kind, run.first())?;
        Some(Self { first, count: run.count().get() })
    }

    /// How many IDs it holds.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// The place of the first: see [`AnyId::place`]. Random bits would hide that it came twice.
    pub(crate) const fn start(self) -> u128 {
        self.first.place()
    }

    /// One more than the place of the last.
    pub(crate) const fn end(self) -> u128 {
        self.first.place() + self.count as u128
    }

    /// Every ID, in the order of their kind.
    pub(crate) fn ids(self) -> impl Iterator<Item = AnyId> {
        (0..self.count).filter_map(move |offset| self.at(offset))
    }

    pub(crate) const fn first(self) -> AnyId {
        self.first
    }

    pub(crate) fn last(self) -> AnyId {
        self.at(self.count - 1).unwrap_or(self.first)
    }

    fn at(self, offset: u32) -> Option<AnyId> {
        match self.first.id() {
            Some(id) => AnyId::narrow(self.first.kind(), Id::new(id.get() + u64::from(offset))?),
            None => Some(self.first),
        }
    }
}

/// The IDs of a GENERATE reply, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Brought<'a> {
    Runs(Kind, Runs<'a>),
    Wide(WideIds<'a>),
}

impl<'a> Brought<'a> {
    /// What a reply to a request for this kind brings; `None` when it cannot be one.
    pub(crate) fn read(kind: Kind, generated: &Generated<'a>) -> Option<Self> {
        if kind.is_wide() {
            return generated.wide(kind).map(Self::Wide);
        }
        generated.runs().map(|runs| Self::Runs(kind, runs))
    }

    pub(crate) fn spans(self) -> impl Iterator<Item = Span> + 'a {
        let (runs, wide) = match self {
            Self::Runs(kind, runs) => {
                let spans = runs.iter().filter_map(move |run| Span::of_run(kind, run));
                (Some(spans), None)
            }
            Self::Wide(ids) => (None, Some(ids.iter().map(Span::one))),
        };
        runs.into_iter().flatten().chain(wide.into_iter().flatten())
    }
}

/// IDs that came one by one, in the same order, consecutive ones of 64 bits together.
pub(crate) fn spans(ids: &[AnyId]) -> impl Iterator<Item = Span> + '_ {
    let follow = |id: &AnyId, next: &AnyId| {
        id.id().zip(next.id()).is_some_and(|(id, next)| id.get() + 1 == next.get())
    };
    ids.chunk_by(follow).filter_map(|chunk| {
        Some(Span { first: *chunk.first()?, count: u32::try_from(chunk.len()).ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ids_are_one_span() {
        let ids =
            [5, 6, 7, 9, 9, 10, 3, i64::MAX as u64].map(|id| AnyId::from(Id::new(id).unwrap()));
        let pairs = spans(&ids).map(|span| (span.start(), span.count()));
        let expected = [(5, 3), (9, 1), (9, 2), (3, 1), (i64::MAX as u128, 1)];
        assert_eq!(pairs.collect::<Vec<_>>(), expected);
        assert_eq!(spans(&[]).count(), 0);
        let span = spans(&ids).next().unwrap();
        assert_eq!((span.end(), span.last().bits(), span.ids().count()), (8, 7, 3));
    }

    #[test]
    fn ids_of_128_bits_stand_alone() {
        let ids = [7 << 48, 8 << 48].map(|bits| AnyId::wide(Kind::Ulid, bits).unwrap());
        assert_eq!(spans(&ids).map(Span::count).collect::<Vec<_>>(), [1, 1]);
        let last = Span::one(AnyId::wide(Kind::Ulid, u128::MAX).unwrap());
        assert_eq!((last.end(), last.last()), (1 << 80, last.first()));
    }
}
