//! Many IDs at once.

use std::iter::Copied;

use coreflake_protocol::{Id, Run};

/// The most IDs of one call. A node makes about four million a second, so this is already a quarter
/// of a second of its whole work.
pub(crate) const COUNT_MAX: u32 = 1_000_000;

/// IDs as the server made them: runs of consecutive numbers, in the order of their arrival. IDs
/// that one connection brought ascend; after a retry over another connection the later ones need
/// not be larger.
///
/// A batch of a thousand IDs that came as one run takes the memory of one run; [`ids`](Self::ids)
/// counts them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    runs: Vec<Run>,
    id_count: usize,
}

/// Counts out the IDs of runs, run by run. Made by [`Batch::ids`] and by iterating over a
/// [`Batch`].
#[derive(Clone, Debug)]
pub struct Ids<R> {
    runs: R,
    /// What is left of the run in hand: its next number, and how many there are.
    next: u64,
    left: u32,
    /// How many IDs are left in all.
    id_count: usize,
}

impl Batch {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Run>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for run in pieces {
            let joined = runs.last().and_then(|last| last.join(run));
            match (runs.last_mut(), joined) {
                (Some(last), Some(joined)) => *last = joined,
                _ => runs.push(run),
            }
        }
        let id_count = runs.iter().map(|run| run.count().get() as usize).sum();
        Self { runs, id_count }
    }

    /// Every ID.
    pub fn ids(&self) -> Ids<Copied<std::slice::Iter<'_, Run>>> {
        Ids::new(self.runs.iter().copied(), self.id_count)
    }

    /// How many IDs there are: what was asked for.
    pub const fn len(&self) -> usize {
        self.id_count
    }

    /// Whether there is none. Never, for a batch that a call returned.
    pub const fn is_empty(&self) -> bool {
        self.id_count == 0
    }

    /// The IDs as runs of consecutive numbers. No run continues the one before it.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}

impl IntoIterator for Batch {
    type Item = Id;
    type IntoIter = Ids<std::vec::IntoIter<Run>>;

    fn into_iter(self) -> Self::IntoIter {
        Ids::new(self.runs.into_iter(), self.id_count)
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Id;
    type IntoIter = Ids<Copied<std::slice::Iter<'a, Run>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.ids()
    }
}

impl<R> Ids<R> {
    const fn new(runs: R, id_count: usize) -> Self {
        Self { runs, next: 0, left: 0, id_count }
    }
}

impl<R: Iterator<Item = Run>> Iterator for Ids<R> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        if self.left == 0 {
            let run = self.runs.next()?;
            (self.next, self.left) = (run.first().get(), run.count().get());
        }
        let id = Id::new(self.next);
        self.next += 1;
        self.left -= 1;
        self.id_count -= 1;
        id
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.id_count, Some(self.id_count))
    }
}

impl<R: Iterator<Item = Run>> ExactSizeIterator for Ids<R> {}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn run(first: u64, count: u32) -> Run {
        Run::new(Id::new(first).unwrap(), NonZeroU32::new(count).unwrap()).unwrap()
    }

    #[test]
    fn neighbouring_runs_become_one_and_order_stays() {
        let batch = Batch::new([run(10, 2), run(12, 3), run(30, 1), run(5, 2)]);
        assert_eq!(batch.runs(), [run(10, 5), run(30, 1), run(5, 2)]);
        assert_eq!((batch.len(), batch.is_empty()), (8, false));
        let numbers: Vec<_> = batch.ids().map(Id::get).collect();
        assert_eq!(numbers, [10, 11, 12, 13, 14, 30, 5, 6]);
        assert_eq!((&batch).into_iter().len(), 8);
        assert_eq!(batch.into_iter().map(Id::get).collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn the_iterator_knows_how_many_are_left() {
        let batch = Batch::new([run(1, 2), run(7, 1)]);
        let mut ids = batch.ids();
        for left in (0..3).rev() {
            assert!(ids.next().is_some());
            assert_eq!(ids.len(), left);
        }
        assert!(ids.next().is_none() && ids.next().is_none());
    }

    #[test]
    fn the_largest_id_ends_a_run() {
        let batch = Batch::new([run(Id::MAX.get(), 1)]);
        assert_eq!(batch.into_iter().collect::<Vec<_>>(), [Id::MAX]);
    }
}
