//! A set of IDs as sorted half-open intervals, which counts every ID that is added again.
//!
//! Log-structured: added intervals are sorted and merged like the digits of a binary counter, so
//! each interval is moved O(log n) times. Neighbours coalesce: IDs that a server hands out back to
//! back take 32 bytes per gap between them, not per ID.

/// IDs whose place is one of `start .. end`: for 64-bit kinds their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: u128,
    pub(crate) end: u128,
}

/// A set of IDs and what was seen twice.
#[derive(Debug)]
pub(crate) struct IntervalSet {
    /// Level `n` is empty or made of `2^n` added batches. Sorted, disjoint, not touching.
    levels: Vec<Vec<Interval>>,
    repeats: Repeats,
    intervals_max: usize,
    complete: bool,
}

/// IDs that were in the set already when they were added.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// How many: an ID that came three times counts twice.
    pub(crate) ids: u64,
    /// The first few places, for the report.
    pub(crate) examples: Vec<Interval>,
}

/// The whole set.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Sorted, disjoint, not touching.
    pub(crate) intervals: Vec<Interval>,
    pub(crate) repeats: Repeats,
    /// Whether everything added is in the set. If not, an ID may have come twice unseen.
    pub(crate) complete: bool,
}

/// 32 bytes each: 2 GiB, and as much again while the last two levels merge.
pub(crate) const INTERVALS_MAX: usize = 1 << 26;
const EXAMPLES_MAX: usize = 8;

impl Interval {
    /// How many IDs it holds.
    pub(crate) fn len(self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(u64::MAX)
    }
}

impl IntervalSet {
    /// A set that gives up its completeness rather than hold more than `intervals_max`.
    pub(crate) fn new(intervals_max: usize) -> Self {
        Self { levels: Vec::new(), repeats: Repeats::default(), intervals_max, complete: true }
    }

    /// Adds intervals in any order, which may overlap. `batch` is left sorted and shorter.
    pub(crate) fn add(&mut self, batch: &mut Vec<Interval>) {
        let held: usize = self.levels.iter().map(Vec::len).sum();
        self.repeats.coalesce(batch);
        if held + batch.len() > self.intervals_max {
            self.complete = false;
            return;
        }
        let mut carry = batch.clone();
        for level in &mut self.levels {
            if level.is_empty() {
                *level = carry;
                return;
            }
            carry = self.repeats.merge(level, &carry);
            *level = Vec::new();
        }
        self.levels.push(carry);
    }

    /// Merges all levels.
    pub(crate) fn finish(mut self) -> Summary {
        let mut intervals = Vec::new();
        for level in self.levels {
            intervals = self.repeats.merge(&intervals, &level);
        }
        Summary { intervals, repeats: self.repeats, complete: self.complete }
    }
}

impl Repeats {
    /// Sorts `batch` and makes its intervals disjoint.
    fn coalesce(&mut self, batch: &mut Vec<Interval>) {
        batch.sort_unstable_by_key(|interval| interval.start);
        let mut kept = 0;
        for index in 0..batch.len() {
            let next = batch[index];
            match batch[..kept].last_mut() {
                Some(last) if next.start <= last.end => self.extend(last, next),
                _ => {
                    batch[kept] = next;
                    kept += 1;
                }
            }
        }
        batch.truncate(kept);
    }

    /// The union of two sorted, disjoint lists.
    fn merge(&mut self, left: &[Interval], right: &[Interval]) -> Vec<Interval> {
        let mut union: Vec<Interval> = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        while let Some(next) = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.start <= b.start => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        } {
            match union.last_mut() {
                Some(last) if next.start <= last.end => self.extend(last, *next),
                _ => union.push(*next),
            }
        }
        // Neighbours coalesce by the thousand; without this the spare room would outweigh the set.
        union.shrink_to_fit();
        union
    }

    /// Makes `last` longer by `next`, which starts inside it or right behind it. What they share is
    /// in the set twice.
    fn extend(&mut self, last: &mut Interval, next: Interval) {
        let shared = Interval { start: next.start, end: next.end.min(last.end) };
        if shared.start < shared.end {
            self.ids += shared.len();
            if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(shared);
            }
        }
        last.end = last.end.max(next.end);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn set(batches: &[&[(u128, u128)]]) -> Summary {
        let mut set = IntervalSet::new(INTERVALS_MAX);
        for batch in batches {
            let mut batch =
                batch.iter().map(|&(start, end)| Interval { start, end }).collect::<Vec<_>>();
            set.add(&mut batch);
        }
        set.finish()
    }

    fn pairs(summary: &Summary) -> Vec<(u128, u128)> {
        summary.intervals.iter().map(|interval| (interval.start, interval.end)).collect()
    }

    #[test]
    fn neighbours_coalesce_within_and_across_batches() {
        let summary = set(&[&[(10, 20), (0, 10)], &[(30, 40)], &[(20, 30)], &[(50, 51)]]);
        assert_eq!(pairs(&summary), [(0, 40), (50, 51)]);
        assert_eq!(summary.repeats.ids, 0);
        assert!(summary.complete);
    }

    #[test]
    fn every_way_to_repeat_is_counted() {
        for (name, batches, repeated) in [
            ("the same", vec![vec![(5, 9), (5, 9)]], 4),
            ("a part", vec![vec![(5, 9), (7, 12)]], 2),
            ("contained", vec![vec![(5, 20), (7, 9)]], 2),
            ("one ID", vec![vec![(5, 6), (5, 6)]], 1),
            ("three times", vec![vec![(5, 6), (5, 6), (5, 6)]], 2),
            ("bridging two", vec![vec![(0, 5), (10, 15), (3, 12)]], 4),
            ("in the next batch", vec![vec![(5, 9)], vec![(5, 9)]], 4),
            ("two levels apart", vec![vec![(5, 9)], vec![(20, 21)], vec![(8, 10)]], 1),
            (
                "four batches apart",
                vec![vec![(5, 9)], vec![(20, 21)], vec![(30, 31)], vec![(40, 41)], vec![(0, 50)]],
                7,
            ),
        ] {
            let batches: Vec<&[(u128, u128)]> = batches.iter().map(Vec::as_slice).collect();
            assert_eq!(set(&batches).repeats.ids, repeated, "{name}");
        }
    }

    #[test]
    fn examples_name_the_place() {
        let summary = set(&[&[(5, 9)], &[(8, 12)]]);
        assert_eq!(summary.repeats.examples, [Interval { start: 8, end: 9 }]);
    }

    #[test]
    fn a_full_set_says_that_it_is_incomplete() {
        let mut set = IntervalSet::new(2);
        set.add(&mut vec![Interval { start: 0, end: 1 }, Interval { start: 5, end: 6 }]);
        assert!(set.complete);
        set.add(&mut vec![Interval { start: 9, end: 10 }]);
        assert!(!set.finish().complete);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_hash_set(
            batches in prop::collection::vec(
                prop::collection::vec((0u128..500, 1u128..30), 0..20), 0..20),
        ) {
            let mut naive = HashSet::new();
            let mut repeated = 0;
            let mut set = IntervalSet::new(INTERVALS_MAX);
            for batch in &batches {
                let mut intervals = Vec::new();
                for &(start, len) in batch {
                    repeated += (start..start + len).filter(|id| !naive.insert(*id)).count() as u64;
                    intervals.push(Interval { start, end: start + len });
                }
                set.add(&mut intervals);
            }
            let summary = set.finish();
            prop_assert_eq!(summary.repeats.ids, repeated);
            let held: HashSet<u128> =
                summary.intervals.iter().flat_map(|interval| interval.start..interval.end).collect();
            prop_assert_eq!(held, naive);
            prop_assert!(summary.intervals.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
