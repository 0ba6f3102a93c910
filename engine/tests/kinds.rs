//! Every kind in every sort of namespace, across crashes and clean ends: no ID comes twice.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use coreflake_engine::{
    Demand, Entropy, Incarnation, Lane, LaneEnd, Outcome, Plans, PoolShare, Window,
};
use coreflake_protocol::{AnyId, Count, Id, Kind, Layout, Namespace};
use proptest::prelude::*;

const EPOCH_MS: u64 = 1_609_459_200_000;
const START_MS: u64 = 1_700_000_000_000;
const AHEAD_MS: u64 = 3_000;

fn namespace(widths: &str, tick_ms: u8) -> Namespace {
    let layout = Layout::new(widths.parse().unwrap(), tick_ms, EPOCH_MS).unwrap();
    Namespace::new(layout, None, Some(EPOCH_MS + 7)).unwrap()
}

/// The default, ticks of 10 ms, 53 bits, and slots so wide that the numbers are few.
fn namespaces() -> Vec<Namespace> {
    vec![
        Namespace::DEFAULT,
        namespace("39+5+5+14", 10),
        namespace("41+2+4+6", 1),
        namespace("42+8+8+5", 1),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Clock(i64),
    Generate {
        lane: usize,
        kind: Kind,
        count: u32,
    },
    Extend,
    /// The process ends and another one begins: by a crash, or giving the rest back.
    Restart {
        release: bool,
    },
    /// The process goes on with other slots, some of which it may have had before.
    Move {
        first: u16,
        release: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let count = prop_oneof![Just(1), 1..40u32, 1..=Count::MAX];
    prop_oneof![
        4 => prop_oneof![6 => 0..30i64, 1 => -6..0i64, 1 => -1_200..3_000i64].prop_map(Event::Clock),
        14 => (0..3usize, kind, count)
            .prop_map(|(lane, kind, count)| Event::Generate { lane, kind, count }),
        2 => Just(Event::Extend),
        2 => any::<bool>().prop_map(|release| Event::Restart { release }),
        2 => (0..4u16, any::<bool>()).prop_map(|(first, release)| Event::Move { first, release }),
    ]
}

/// A node whose records outlive it.
struct Node {
    namespace: Namespace,
    /// The first of its slots, and how many follow each other.
    first: u16,
    slots: u16,
    shards: u16,
    incarnation: Incarnation,
    /// The bounds in the records of all slots that were ever used.
    bounds_ms: HashMap<u16, u64>,
    lo_ms: u64,
    bound_ms: u64,
    now_ms: u64,
    starts: u8,
}

impl Node {
    fn new(namespace: Namespace, slots: u16) -> Self {
        Self::with_shards(namespace, slots, 2)
    }

    fn with_shards(namespace: Namespace, slots: u16, shards: u16) -> Self {
        let (lo_ms, bound_ms) = (START_MS - 10, START_MS - 10);
        let incarnation = begin(namespace, 0..slots, shards, lo_ms, 0);
        let mut node = Self {
            namespace,
            first: 0,
            slots,
            shards,
            incarnation,
            bounds_ms: HashMap::new(),
            lo_ms,
            bound_ms,
            now_ms: START_MS,
            starts: 0,
        };
        node.reserve(START_MS + AHEAD_MS);
        node.incarnation.gate.open(Window::won(lo_ms, START_MS + AHEAD_MS));
        node
    }

    fn held(&self) -> std::ops::Range<u16> {
        self.first..self.first + self.slots
    }

    fn reserve(&mut self, bound_ms: u64) {
        self.bound_ms = bound_ms;
        self.bounds_ms.extend(self.held().map(|slot| (slot, bound_ms)));
    }

    /// As the control plane does it: what was entered stays behind the bound, or else all of it.
    fn end(&mut self, release: bool) -> Vec<LaneEnd> {
        let lanes = core::mem::take(&mut self.incarnation.lanes);
        let ends = lanes.iter().map(Lane::end).collect();
        let entered_ms = Incarnation::end(lanes).unwrap_or(self.lo_ms);
        if release {
            self.reserve(self.bound_ms.min(entered_ms.max(self.lo_ms)));
        }
        ends
    }

    /// A bound that is too far ahead is waited for.
    fn begin(&mut self) {
        let bounds = self.held().filter_map(|slot| self.bounds_ms.get(&slot).copied());
        self.lo_ms = bounds.max().unwrap_or(START_MS - 10);
        self.now_ms = self.now_ms.max(self.lo_ms.saturating_sub(900));
        self.starts += 1;
        self.incarnation = begin(self.namespace, self.held(), self.shards, self.lo_ms, self.starts);
        self.reserve(self.now_ms + AHEAD_MS);
        self.incarnation.gate.open(Window::won(self.lo_ms, self.bound_ms));
    }

    fn restart(&mut self, release: bool) {
        self.end(release);
        self.begin();
    }

    fn move_to(&mut self, first: u16, release: bool) {
        let ends = self.end(release);
        self.first = first;
        self.begin();
        for (lane, end) in self.incarnation.lanes.iter_mut().zip(ends) {
            lane.succeed(end);
        }
    }

    fn extend(&mut self) {
        self.reserve(self.bound_ms.max(self.now_ms + AHEAD_MS));
        self.incarnation.gate.raise(self.bound_ms);
    }

    fn generate(&mut self, lane: usize, kind: Kind, count: u32) -> (Vec<AnyId>, Outcome) {
        let mut demand = Demand::new(Count::new(count).unwrap());
        let mut bits = Vec::<u128>::new();
        let hi_ms = self.incarnation.gate.view().hi_ms;
        let lane = &mut self.incarnation.lanes[lane];
        let outcome = lane.generate(self.now_ms, hi_ms, kind, &mut demand, &mut bits);
        assert_eq!(bits.len(), (count - demand.remaining()) as usize);
        let ids = bits.into_iter().map(|bits| id_of(kind, bits)).collect();
        (ids, outcome)
    }
}

fn begin(
    namespace: Namespace,
    slots: std::ops::Range<u16>,
    shards: u16,
    lo_ms: u64,
    start: u8,
) -> Incarnation {
    let count = u16::try_from(slots.len()).unwrap();
    let plans = Plans::new(&namespace, count, shards, 1, PoolShare::DEFAULT).unwrap();
    let layout = namespace.layout();
    let slots: Vec<_> = slots.map(|id| layout.slot(1, id.into()).unwrap()).collect();
    Incarnation::begin(namespace, &slots, &plans, lo_ms, &Entropy::new([start; 32], None))
}

fn id_of(kind: Kind, bits: u128) -> AnyId {
    if kind.is_wide() {
        return AnyId::wide(kind, bits).unwrap();
    }
    AnyId::narrow(kind, Id::new(bits.try_into().unwrap()).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_id_of_any_kind_comes_twice_whatever_ends_and_begins(
        namespace in prop::sample::select(namespaces()),
        slots in 1..3u16,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut node = Node::new(namespace, slots);
        let mut seen = HashSet::new();
        let mut last = HashMap::new();
        for event in events {
            match event {
                Event::Clock(by_ms) => node.now_ms = node.now_ms.saturating_add_signed(by_ms),
                Event::Extend => node.extend(),
                Event::Restart { release } => {
                    node.restart(release);
                    last.clear();
                }
                // Whoever is served goes on: the IDs of a lane rise from slot to slot.
                Event::Move { first, release } => node.move_to(first, release),
                Event::Generate { lane, kind, count } => {
                    let (ids, outcome) = node.generate(lane, kind, count);
                    for id in ids {
                        // Not by its bits: random ones would hide that a number came twice.
                        prop_assert!(seen.insert((kind, id.place())), "{} {} came twice", kind, id);
                        let before = last.insert((lane, kind), id.rank());
                        prop_assert!(before < Some(id.rank()), "{} {} does not rise", kind, id);
                        let parsed = namespace.parse(id).unwrap();
                        let slot = parsed.slot.unwrap();
                        prop_assert_eq!(slot.datacenter_id(), 1);
                        prop_assert!(node.held().contains(&slot.worker_id()));
                        prop_assert!(parsed.unix_ms <= node.bound_ms);
                        prop_assert!(parsed.unix_ms.saturating_sub(node.now_ms) < 1_000);
                    }
                    if let Outcome::Wait { until_ms } = outcome {
                        let wait_ms = until_ms.saturating_sub(node.now_ms);
                        prop_assert!((1..=20).contains(&wait_ms), "{} ms is a long wait", wait_ms);
                    }
                }
            }
        }
    }
}

#[test]
fn a_tick_of_ten_milliseconds_belongs_to_who_has_its_first_one() {
    let namespace = namespace("39+5+5+14", 10);
    let mut node = Node::new(namespace, 1);
    node.now_ms = START_MS + 4;
    let first = node.generate(0, Kind::Snowflake, 1).0;
    node.restart(true);
    assert_eq!(node.bound_ms, START_MS + 4 + AHEAD_MS, "released at the very millisecond");
    node.now_ms = START_MS + 5;
    let wait = Outcome::Wait { until_ms: START_MS + 10 };
    assert_eq!(node.generate(0, Kind::Snowflake, 1), (vec![], wait), "the tick of the one before");
    assert_eq!(node.generate(0, Kind::Ulid, 1).0.len(), 1, "ticks of 1 ms go on");
    node.now_ms = START_MS + 10;
    let second = node.generate(0, Kind::Snowflake, 1).0;
    let times = [first, second].map(|ids| namespace.parse(ids[0]).unwrap().unix_ms);
    assert_eq!(times, [START_MS, START_MS + 10]);
}

#[test]
fn one_busy_lane_has_the_numbers_of_every_kind_that_are_no_home_of_others() {
    let mut node = Node::new(Namespace::DEFAULT, 1);
    for (kind, expected) in Kind::ALL.into_iter().zip([3_552, 7_104, 8_672, 909_312, 909_312]) {
        let mut last = 0;
        // In the first tick it is not known that the lane is busy.
        for _ in 0..2 {
            node.now_ms += 1;
            last = 0;
            loop {
                let (made, outcome) = node.generate(0, kind, Count::MAX);
                last += made.len();
                if outcome != Outcome::Done {
                    break;
                }
            }
        }
        assert_eq!(last, expected, "{kind}");
    }
}

#[test]
fn a_lane_of_long_ticks_comes_back_to_the_clock_as_fast_as_others() {
    for namespace in [Namespace::DEFAULT, namespace("39+5+5+14", 10)] {
        let mut node = Node::new(namespace, 1);
        let fill = |node: &mut Node| {
            let mut last = None;
            loop {
                let (ids, outcome) = node.generate(0, Kind::Snowflake, Count::MAX);
                last = ids.last().copied().or(last);
                if outcome != Outcome::Done {
                    return last.map(|id| namespace.parse(id).unwrap().unix_ms);
                }
            }
        };
        fill(&mut node);
        node.now_ms -= 500;
        let mut last_ms = 0;
        for _ in 0..4_000 {
            node.now_ms += 1;
            node.extend();
            last_ms = fill(&mut node).unwrap_or(last_ms);
        }
        let lead_ms = last_ms.saturating_sub(node.now_ms);
        assert!((240..=275).contains(&lead_ms), "one part in 16 was given up: {lead_ms} ms");
    }
}
