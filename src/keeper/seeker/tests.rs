//! The search for slots, against a store that does what a test says.

use std::collections::{BTreeMap, VecDeque};

use coreflake_engine::record::Host;
use coreflake_protocol::Namespace;

use super::*;

const NOW_MS: u64 = sanity::RELEASED_MS + 1_000_000;

/// Records by slot, and what comes of the next claims: won, if nothing is said.
#[derive(Debug, Default)]
struct Scripted {
    records: BTreeMap<u16, Record>,
    holders: BTreeMap<u16, Holder>,
    outcomes: VecDeque<Outcome>,
    claimed: Vec<u16>,
    released: Vec<u16>,
}

impl Scripted {
    /// Slot `n` was last used `n` seconds before the one with the number above.
    fn with_slots(count: u16) -> Self {
        let record = |slot: u16| Record {
            slot,
            fingerprint: Namespace::DEFAULT.fingerprint(),
            term: 1,
            created_ms: NOW_MS - 900_000,
            bound_ms: NOW_MS - 500_000 + u64::from(slot) * 1_000,
            written_ms: NOW_MS - 500_000,
            holder: 1,
            attempt: 0,
            host: Host::new("before"),
        };
        Self { records: (0..count).map(|slot| (slot, record(slot))).collect(), ..Self::default() }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |(slot, record): (&u16, &Record)| Seen {
            slot: *slot,
            record: Ok(record.clone()),
            holder: self.holders.get(slot).cloned(),
        };
        self.records.iter().map(seen).collect()
    }
}

impl WindowStore for Scripted {
    fn survey(&mut self, _mine: &[u16]) -> Result<Option<Vec<Seen>>, StoreError> {
        Ok(Some(self.seen()))
    }

    fn claim(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        self.claimed.push(swap.to.slot);
        let outcome = self.outcomes.pop_front().unwrap_or(Outcome::Won);
        if outcome == Outcome::Won {
            self.records.insert(swap.to.slot, swap.to.clone());
            self.holders.insert(swap.to.slot, Holder::Me);
        }
        Ok(outcome)
    }

    fn look(&mut self, _slots: &[u16]) -> Vec<Result<Option<Record>, StoreError>> {
        Vec::new()
    }

    fn extend(&mut self, _swaps: &[Swap]) -> Vec<Result<Outcome, StoreError>> {
        Vec::new()
    }

    fn release(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        self.released.push(swap.to.slot);
        self.records.insert(swap.to.slot, swap.to.clone());
        self.holders.remove(&swap.to.slot);
        Ok(Outcome::Won)
    }

    fn forget(&mut self, _slot: u16) {}
}

fn seeker(pool: u16, count: usize, fixed: bool) -> Seeker {
    let namespace = Namespace::DEFAULT;
    let layout = namespace.layout();
    let key = |worker_id: u16| SlotKey::new(&namespace, layout.slot(0, worker_id.into()).unwrap());
    let pool = (0..pool).map(key).collect();
    let wanted = Wanted { pool, count, fixed, stale_after: Duration::from_secs(60) };
    let claimant = Claimant { holder: 9, host: Host::new("here"), ahead_ms: 60_000 };
    Seeker::new(wanted, claimant, false)
}

fn seek(seeker: &mut Seeker, store: &mut Scripted) -> Result<Sought, StoreError> {
    let seen = store.seen();
    seeker.seek(store, &seen, NOW_MS)
}

/// The slots that were won, ascending.
fn won(sought: Result<Sought, StoreError>) -> Vec<u16> {
    let Ok(Sought::Won(claims)) = sought else { panic!("{sought:?}") };
    let mut slots: Vec<_> = claims.iter().map(|claim| claim.to.slot).collect();
    slots.sort_unstable();
    slots
}

#[test]
fn a_slot_that_has_rested_long_is_taken() {
    for _ in 0..50 {
        let mut store = Scripted::with_slots(32);
        let slots = won(seek(&mut seeker(32, 1, false), &mut store));
        assert!(slots[0] < 16, "{slots:?} is not of the older half");
        assert_eq!(store.claimed, slots);
    }
}

#[test]
fn a_claim_in_doubt_that_arrives_is_recognised() {
    let (mut seeker, mut store) = (seeker(1, 1, false), Scripted::with_slots(1));
    store.outcomes.push_back(Outcome::Unknown);
    assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    let claim = seeker.open[0].clone();
    store.records.insert(0, claim.to);
    store.holders.insert(0, Holder::Me);
    assert_eq!(won(seek(&mut seeker, &mut store)), [0]);
    assert_eq!(store.claimed, [0], "it was not claimed twice");
}

/// A store that takes no writes for a while would otherwise use up the whole pool.
#[test]
fn a_claim_in_doubt_that_never_arrives_is_made_again() {
    let (mut seeker, mut store) = (seeker(1, 1, true), Scripted::with_slots(1));
    for _ in 0..100 {
        store.outcomes.push_back(Outcome::Unknown);
        assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    }
    assert!(seeker.open.len() <= CLAIM_DOUBTS_MAX);
    assert_eq!(won(seek(&mut seeker, &mut store)), [0]);
}

#[test]
fn all_that_are_wanted_or_none() {
    let (mut seeker, mut store) = (seeker(3, 3, false), Scripted::with_slots(3));
    store.outcomes = [Outcome::Won, Outcome::Won, Outcome::Lost].into();
    assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    // Somebody else has the third one now.
    let third = (0..3).find(|slot| !store.holders.contains_key(slot)).unwrap();
    store.holders.insert(third, Holder::Other("there".to_owned()));
    assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    assert_eq!(store.released.len(), 2, "what is too little is given back");
    store.holders.clear();
    assert_eq!(won(seek(&mut seeker, &mut store)), [0, 1, 2]);
}

#[test]
fn a_fixed_slot_of_another_host_is_an_error_and_one_of_this_host_is_waited_for() {
    let (mut seeker, mut store) = (seeker(1, 1, true), Scripted::with_slots(1));
    store.holders.insert(0, Holder::Other("here".to_owned()));
    assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    store.holders.insert(0, Holder::Other("there".to_owned()));
    let error = seek(&mut seeker, &mut store).unwrap_err().to_string();
    assert!(error.contains("slot 0 is held") && error.contains("on host there"), "{error}");
    assert!(store.claimed.is_empty());
}

#[test]
fn what_cannot_be_used_is_left_out_of_a_pool() {
    let (mut seeker, mut store) = (seeker(4, 1, false), Scripted::with_slots(4));
    // Made by a clock that was ahead; retired; still in use for a while.
    store.records.get_mut(&0).unwrap().created_ms = NOW_MS + 3_600_000;
    let end_ms = Namespace::DEFAULT.layout().end_ms();
    store.records.get_mut(&1).unwrap().bound_ms = end_ms;
    store.records.get_mut(&2).unwrap().bound_ms = NOW_MS + 30_000;
    assert_eq!(won(seek(&mut seeker, &mut store)), [3]);
}

#[test]
fn a_clock_behind_those_of_others_claims_nothing() {
    let (mut seeker, mut store) = (seeker(4, 1, false), Scripted::with_slots(4));
    for slot in 0..3 {
        store.holders.insert(slot, Holder::Other("there".to_owned()));
        let record = store.records.get_mut(&slot).unwrap();
        (record.written_ms, record.bound_ms) = (NOW_MS + 60_000, NOW_MS + 120_000);
    }
    assert!(matches!(seek(&mut seeker, &mut store), Ok(Sought::Wait(_))));
    assert!(store.claimed.is_empty());
}
