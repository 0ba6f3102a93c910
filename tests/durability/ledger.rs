//! All IDs of a run, as intervals, and whether one came twice.

use std::collections::BTreeMap;
use std::fmt;

use coreflake_protocol::{Id, Layout, Run};

/// What clients were given.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// IDs asked for.
    pub(crate) attempted: u64,
    /// First and last of consecutive IDs that were received.
    pub(crate) intervals: Vec<(u64, u64)>,
    /// IDs of 128 bits, by their place: random bits would hide that it came twice.
    pub(crate) wide: Vec<u128>,
    /// Replies without IDs, by the name of the code.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
}

/// The lives of a slot.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: u32,
    empty_lives: u32,
    taken: Taken,
}

/// What a ledger says in the end.
#[derive(Debug)]
pub(crate) struct Verdict {
    lives: u32,
    empty_lives: u32,
    attempted: u64,
    pub(crate) acknowledged: u64,
    pub(crate) duplicates: u64,
    min: u128,
    max: u128,
    refusals: BTreeMap<&'static str, u64>,
}

/// The time in an ID, in milliseconds since the Unix epoch.
pub(crate) fn unix_ms(id: u64) -> u64 {
    Layout::SNOWFLAKE.parse(Id::new(id).unwrap()).unix_ms
}

impl Taken {
    pub(crate) fn push(&mut self, run: Run) {
        let (first, last) = (run.first().get(), run.last().get());
        match self.intervals.last_mut() {
            Some(interval) if interval.1 + 1 == first => interval.1 = last,
            _ => self.intervals.push((first, last)),
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.attempted += other.attempted;
        self.intervals.extend(other.intervals);
        self.wide.extend(other.wide);
        for (code, count) in other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
    }

    /// How many IDs were received.
    pub(crate) fn acknowledged(&self) -> u64 {
        let narrow: u64 = self.intervals.iter().map(|(first, last)| last - first + 1).sum();
        narrow + self.wide.len() as u64
    }

    /// The time in the lowest and in the highest ID, if there is one.
    pub(crate) fn span_ms(&self) -> Option<(u64, u64)> {
        let first = self.intervals.iter().map(|interval| interval.0).min()?;
        let last = self.intervals.iter().map(|interval| interval.1).max()?;
        Some((unix_ms(first), unix_ms(last)))
    }
}

impl Ledger {
    /// Adds what one server gave.
    pub(crate) fn add(&mut self, taken: Taken) {
        self.lives += 1;
        self.empty_lives += u32::from(taken.acknowledged() == 0);
        self.taken.merge(taken);
    }

    /// Counts what came twice.
    pub(crate) fn judge(self) -> Verdict {
        let acknowledged = self.taken.acknowledged();
        let Taken { attempted, mut intervals, mut wide, refusals } = self.taken;
        intervals.sort_unstable();
        wide.sort_unstable();
        let mut duplicates = wide.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        let mut end: Option<u64> = None;
        for (first, last) in &intervals {
            if let Some(end) = end.filter(|end| first <= end) {
                duplicates += last.min(&end) - first + 1;
            }
            end = end.max(Some(*last));
        }
        Verdict {
            lives: self.lives,
            empty_lives: self.empty_lives,
            attempted,
            acknowledged,
            duplicates,
            min: wide
                .first()
                .copied()
                .or_else(|| intervals.first().map(|first| first.0.into()))
                .unwrap_or(0),
            max: wide.last().copied().or_else(|| end.map(u128::from)).unwrap_or(0),
            refusals,
        }
    }
}

impl Verdict {
    /// Prints everything, and checks that IDs came and none of them twice.
    #[track_caller]
    pub(crate) fn assert_unique(&self, what: &str) {
        println!("{what}: {self}");
        assert_eq!(self.duplicates, 0, "{what}: IDs came twice: {self}");
        assert!(self.acknowledged > 0, "{what}: nothing was issued, so nothing was shown: {self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, empty_lives, attempted, acknowledged, duplicates, min, max, .. } = self;
        let distinct = acknowledged - duplicates;
        write!(
            f,
            ":lives {lives} :lives-without-ids {empty_lives} :attempted-count {attempted} \
             :acknowledged-count {acknowledged} :distinct-count {distinct} \
             :duplicated-count {duplicates} :range [{min} {max}] :refused {:?}",
            self.refusals
        )
    }
}

#[test]
fn the_ledger_sees_what_comes_twice() {
    let taken =
        |intervals: &[(u64, u64)]| Taken { intervals: intervals.to_vec(), ..Taken::default() };
    let duplicates = |lives: &[&[(u64, u64)]]| {
        let mut ledger = Ledger::default();
        lives.iter().for_each(|life| ledger.add(taken(life)));
        ledger.judge().duplicates
    };
    assert_eq!(duplicates(&[&[(1, 5), (9, 9)], &[(6, 8), (10, 20)]]), 0);
    assert_eq!(duplicates(&[&[(1, 5)], &[(5, 8)]]), 1);
    assert_eq!(duplicates(&[&[(1, 100)], &[(5, 8), (50, 50)], &[(101, 102)]]), 5);
    assert_eq!(duplicates(&[&[(3, 4)], &[(3, 4)], &[(3, 4)]]), 4);
}
