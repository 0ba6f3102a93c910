//! Holds a slot: when to reserve further time, and what to make of the store's answers.
//!
//! A state machine without a store and without a clock. One swap is under way at a time. A bound is
//! published only after the store has acknowledged it, or after the record was found to be, byte
//! for byte, what this keeper has tried to write: "the holder is me" is not enough, since a copied
//! process has the same holder.

use crate::claim::Swap;
use crate::record::Record;
use crate::reserve;

/// Writes whose outcome is open that are remembered. Each is followed by a look at the record
/// before the next; one that arrives after so many others is taken for somebody else's.
const OPEN_MAX: usize = 16;

/// The holder of one claim. Lost is for ever: who claims the slot again makes a new one.
#[derive(Debug)]
pub struct Keeper {
    ahead_ms: u64,
    /// The record as last known to be durable.
    held: Record,
    /// Where the first window began.
    lo_ms: u64,
    /// Attempts that may have been written, or may yet be.
    open: Vec<Record>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Resting,
    /// A swap or a look is under way.
    Busy,
    /// An outcome is unknown: look before anything else.
    Doubting,
    /// Somebody else holds the slot, or the store is broken for good.
    Lost,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // One a second: a box would only be another thing to read.
pub enum Order {
    /// Swap the record, and tell [`Keeper::swapped`].
    Swap(Swap),
    /// Read the record, and tell [`Keeper::found`].
    Look,
}

/// What a store says of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Won,
    /// The record was not what was expected, and has not been changed.
    Lost,
    /// Nobody knows.
    Unknown,
}

/// What the answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Nothing,
    /// The time up to this millisecond, since the Unix epoch, may be used.
    Publish(u64),
    /// The slot is lost: somebody else has claimed it. What was published before may still be used
    /// up.
    Lost,
    /// The slot is lost: the record is one that was overwritten before. The store has forgotten
    /// what it had acknowledged, or was restored from a backup; none of its records can be trusted.
    WentBack,
}

impl Keeper {
    /// The keeper of a claim that was won.
    pub fn new(claim: Swap, ahead_ms: u64) -> Self {
        let Swap { from, to } = claim;
        assert!(to.bound_ms > from.bound_ms && to.term > from.term, "a claim that was won");
        let lo_ms = from.bound_ms;
        Self { ahead_ms, held: to, lo_ms, open: Vec::new(), state: State::Resting }
    }

    /// What to do at `now_ms`, a time that is trusted. `attempt` is random.
    pub fn poll(&mut self, now_ms: u64, attempt: u64) -> Option<Order> {
        match self.state {
            State::Busy | State::Lost => None,
            State::Doubting => {
                self.state = State::Busy;
                Some(Order::Look)
            }
            State::Resting => {
                let bound_ms = reserve::target(now_ms, self.held.bound_ms, self.ahead_ms)?;
                self.state = State::Busy;
                let swap = Swap::extend(self.held.clone(), bound_ms, now_ms, attempt);
                Some(Order::Swap(swap))
            }
        }
    }

    /// Tells what the store said of `swap`.
    pub fn swapped(&mut self, swap: Swap, outcome: Outcome) -> Verdict {
        assert_eq!(self.state, State::Busy, "one swap at a time");
        match outcome {
            Outcome::Won => self.adopt(swap.to),
            // Even a loss may be our own write, sent twice on the way.
            Outcome::Lost | Outcome::Unknown => {
                if self.open.len() == OPEN_MAX {
                    self.open.remove(0);
                }
                self.open.push(swap.to);
                self.state = State::Doubting;
                Verdict::Nothing
            }
        }
    }

    /// Tells what the record was found to be; `None` when the look failed as well.
    pub fn found(&mut self, record: Option<Record>) -> Verdict {
        assert_eq!(self.state, State::Busy, "one look at a time");
        match record {
            None => {
                self.state = State::Doubting;
                Verdict::Nothing
            }
            Some(record) if self.open.contains(&record) => self.adopt(record),
            // Not written, or not yet: what is still on its way is recognised later.
            Some(record) if record == self.held => {
                self.state = State::Resting;
                Verdict::Nothing
            }
            Some(record) => {
                let went_back = record.is_before(&self.held);
                self.give_up();
                if went_back { Verdict::WentBack } else { Verdict::Lost }
            }
        }
    }

    /// The record was seen to be another one: it is looked at before anything else is done.
    pub fn doubt(&mut self) {
        if self.state == State::Resting {
            self.state = State::Doubting;
        }
    }

    /// The store is broken for good, or the claim is known to be lost.
    pub fn give_up(&mut self) -> Verdict {
        self.state = State::Lost;
        Verdict::Lost
    }

    /// Whether the slot is lost.
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// The record as last known to be durable.
    pub const fn held(&self) -> &Record {
        &self.held
    }

    /// How to give the unused rest back, when nothing is in doubt. `issued_ms` is the highest
    /// millisecond that any lane has entered; the lanes must be gone.
    pub fn release(self, issued_ms: Option<u64>, now_ms: u64, attempt: u64) -> Option<Swap> {
        if self.state != State::Resting || !self.open.is_empty() {
            return None;
        }
        Some(Swap::release(self.held, self.lo_ms, issued_ms, now_ms, attempt))
    }

    fn adopt(&mut self, record: Record) -> Verdict {
        assert!(record.bound_ms > self.held.bound_ms, "a bound only rises");
        // Every other open attempt expects a record that is no more, and never will be again.
        self.open.clear();
        self.held = record;
        self.state = State::Resting;
        Verdict::Publish(self.held.bound_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Claimant;
    use crate::claim::tests::free;
    use crate::record::Host;

    const NOW_MS: u64 = 1_700_000_000_000;
    const AHEAD_MS: u64 = 3_000;

    fn keeper() -> Keeper {
        let claimant = Claimant { holder: 9, host: Host::new("here"), ahead_ms: AHEAD_MS };
        let claim = claimant.claim(free(NOW_MS - 50), NOW_MS, 1).unwrap();
        Keeper::new(claim, AHEAD_MS)
    }

    fn swap_of(order: Option<Order>) -> Swap {
        match order {
            Some(Order::Swap(swap)) => swap,
            other => panic!("a swap, not {other:?}"),
        }
    }

    #[test]
    fn one_extension_at_a_time_published_when_acknowledged() {
        let mut keeper = keeper();
        assert_eq!(keeper.poll(NOW_MS + 900, 2), None, "two thirds are left");
        let swap = swap_of(keeper.poll(NOW_MS + 1_100, 2));
        assert_eq!(keeper.poll(NOW_MS + 1_200, 3), None, "one is under way");
        let verdict = keeper.swapped(swap, Outcome::Won);
        assert_eq!(verdict, Verdict::Publish(NOW_MS + 1_100 + AHEAD_MS));
    }

    #[test]
    fn an_unknown_outcome_is_adopted_only_byte_for_byte() {
        let mut keeper = keeper();
        let swap = swap_of(keeper.poll(NOW_MS + 1_100, 2));
        assert_eq!(keeper.swapped(swap.clone(), Outcome::Unknown), Verdict::Nothing);
        assert_eq!(keeper.poll(NOW_MS + 1_200, 3), Some(Order::Look));
        assert_eq!(keeper.found(None), Verdict::Nothing);
        assert_eq!(keeper.poll(NOW_MS + 1_300, 4), Some(Order::Look));
        let published = Verdict::Publish(swap.to.bound_ms);
        assert_eq!(keeper.found(Some(swap.to)), published);
    }

    #[test]
    fn the_same_holder_with_another_attempt_is_somebody_else() {
        let mut keeper = keeper();
        let swap = swap_of(keeper.poll(NOW_MS + 1_100, 2));
        keeper.swapped(swap.clone(), Outcome::Lost);
        assert_eq!(keeper.poll(NOW_MS + 1_200, 3), Some(Order::Look));
        let twin = Record { attempt: 77, ..swap.to };
        assert_eq!(keeper.found(Some(twin)), Verdict::Lost);
        assert!(keeper.is_lost() && keeper.poll(NOW_MS + 9_000, 4).is_none(), "for ever");
        assert_eq!(keeper.release(None, NOW_MS, 5), None);
    }

    #[test]
    fn a_record_of_the_past_is_no_successor() {
        let looks = |record: fn(&Record) -> Record| {
            let mut keeper = keeper();
            keeper.doubt();
            assert_eq!(keeper.poll(NOW_MS, 2), Some(Order::Look));
            let record = record(keeper.held());
            keeper.found(Some(record))
        };
        assert_eq!(looks(|held| Record { term: held.term + 1, ..held.clone() }), Verdict::Lost);
        let before = |held: &Record| Record { bound_ms: held.bound_ms - 1, ..held.clone() };
        assert_eq!(looks(before), Verdict::WentBack);
        assert_eq!(looks(Record::clone), Verdict::Nothing);
    }

    #[test]
    fn a_write_that_arrives_late_is_recognised() {
        let mut keeper = keeper();
        let late = swap_of(keeper.poll(NOW_MS + 1_100, 2));
        keeper.swapped(late.clone(), Outcome::Unknown);
        keeper.poll(NOW_MS + 1_200, 3);
        assert_eq!(keeper.found(Some(late.from.clone())), Verdict::Nothing, "not written yet");
        let second = swap_of(keeper.poll(NOW_MS + 1_300, 4));
        // The first one arrives now, so the second finds another record.
        keeper.swapped(second, Outcome::Lost);
        keeper.poll(NOW_MS + 1_400, 5);
        let published = Verdict::Publish(late.to.bound_ms);
        assert_eq!(keeper.found(Some(late.to)), published);
    }

    #[test]
    fn nothing_is_released_in_doubt() {
        let mut doubting = keeper();
        let swap = swap_of(doubting.poll(NOW_MS + 1_100, 2));
        doubting.swapped(swap.clone(), Outcome::Unknown);
        doubting.poll(NOW_MS + 1_200, 3);
        doubting.found(Some(swap.from));
        assert_eq!(doubting.release(None, NOW_MS, 4), None, "the write may still arrive");
        let swap = keeper().release(Some(NOW_MS + 7), NOW_MS + 8, 2).unwrap();
        assert_eq!(swap.to.bound_ms, NOW_MS + 7);
        assert_eq!(keeper().release(None, NOW_MS, 2).unwrap().to.bound_ms, NOW_MS - 50);
    }
}
