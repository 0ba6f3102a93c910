//! The engine under random lanes, clocks and counts: whatever they do, no ID comes twice.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashSet;

use coreflake_engine::{Demand, Entropy, Incarnation, Outcome, Plans, PoolShare, Refusal, Window};
use coreflake_protocol::{Count, Id, Kind, Layout, Namespace, Run};
use proptest::prelude::*;

const LAYOUT: Layout = Layout::SNOWFLAKE;
const START_MS: u64 = 1_700_000_000_000;

/// One thing that happens to a node.
#[derive(Clone, Debug)]
enum Event {
    /// The clock moves by this many milliseconds, or does not.
    Clock(i64),
    /// A lane is asked for so many IDs.
    Generate { lane: usize, count: u32 },
    /// The keeper extends the window to so far ahead of the clock.
    Extend(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop_oneof![
            8 => 0..3i64,
            2 => -6..0i64,
            2 => -1_200..1_200i64,
            1 => Just(-4_000_000_000i64),
            1 => Just(3_000i64),
        ]
        .prop_map(Event::Clock),
        12 => (0..9usize, 1..=Count::MAX).prop_map(|(lane, count)| Event::Generate { lane, count }),
        3 => (0..4_000u64).prop_map(Event::Extend),
    ]
}

fn plans_of(lanes: u16) -> Plans {
    Plans::new(&Namespace::DEFAULT, 1, lanes, 0, PoolShare::DEFAULT).unwrap()
}

fn entropy() -> Entropy {
    Entropy::new([7; 32], None)
}

struct Node {
    incarnation: Incarnation,
    now_ms: u64,
    hi_ms: u64,
}

impl Node {
    fn new(lanes: u16, lo_offset_ms: i64) -> Self {
        let slot = LAYOUT.slot(3, 7).unwrap();
        let plans = plans_of(lanes);
        let lo_ms = START_MS.saturating_add_signed(lo_offset_ms);
        let hi_ms = lo_ms.max(START_MS) + 1_000;
        let incarnation =
            Incarnation::begin(Namespace::DEFAULT, &[slot], &plans, lo_ms, &entropy());
        incarnation.gate.open(Window::won(lo_ms, hi_ms));
        Self { incarnation, now_ms: START_MS, hi_ms }
    }

    fn generate(&mut self, lane: usize, count: u32) -> (Vec<Run>, Outcome, u32) {
        let mut demand = Demand::new(Count::new(count).unwrap());
        let mut runs = Vec::new();
        let hi_ms = self.incarnation.gate.view().hi_ms;
        let lane = &mut self.incarnation.lanes[lane];
        let outcome = lane.generate(self.now_ms, hi_ms, Kind::Snowflake, &mut demand, &mut runs);
        (runs, outcome, demand.remaining())
    }
}

/// Marks every ID of `run` and fails on one that was there.
fn note(seen: &mut HashSet<Id>, run: Run) {
    for id in run.ids() {
        assert!(seen.insert(id), "{id} came twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_id_comes_twice_and_each_lane_only_rises(
        lanes in 1..9u16,
        lo_offset_ms in -5_000..2_000i64,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut node = Node::new(lanes, lo_offset_ms);
        let lo_ms = START_MS.saturating_add_signed(lo_offset_ms);
        let mut seen = HashSet::new();
        let mut last = vec![None; lanes.into()];
        for event in events {
            match event {
                Event::Clock(by_ms) => node.now_ms = node.now_ms.saturating_add_signed(by_ms),
                Event::Extend(ahead) => {
                    node.hi_ms = node.hi_ms.max(node.now_ms + ahead);
                    node.incarnation.gate.raise(node.hi_ms);
                }
                Event::Generate { lane, count } => {
                    let lane = lane % usize::from(lanes);
                    let (runs, outcome, remaining) = node.generate(lane, count);
                    let issued: u32 = runs.iter().map(|run| run.count().get()).sum();
                    prop_assert_eq!(issued + remaining, count);
                    prop_assert_eq!(outcome == Outcome::Done, remaining == 0);
                    for run in runs {
                        prop_assert!(last[lane] < Some(run.first()));
                        last[lane] = Some(run.last());
                        note(&mut seen, run);
                        let unix_ms = LAYOUT.parse(run.first()).unix_ms;
                        prop_assert!(lo_ms < unix_ms && unix_ms <= node.hi_ms, "outside the window");
                        prop_assert_eq!(LAYOUT.parse(run.first()).worker_id, 7);
                        prop_assert_eq!(LAYOUT.parse(run.last()).datacenter_id, 3);
                        let ahead_ms = unix_ms.saturating_sub(node.now_ms);
                        prop_assert!(ahead_ms < 1_000, "{} ms ahead of the clock", ahead_ms);
                    }
                    if let Outcome::Wait { until_ms } = outcome {
                        let wait_ms = until_ms.saturating_sub(node.now_ms);
                        prop_assert!((1..=10).contains(&wait_ms), "a wait is short");
                    }
                }
            }
        }
        let ids: u64 = node.incarnation.lanes.iter().map(|lane| lane.stats().ids_issued()).sum();
        prop_assert_eq!(ids, seen.len() as u64);
    }

    #[test]
    fn a_tick_is_used_fully_and_every_lane_gets_its_home(
        lanes in 1..65u16,
        requests in prop::collection::vec((0..64usize, 1..600u32), 1..300),
    ) {
        let mut node = Node::new(lanes, -1);
        // After a quiet tick a lane may begin anywhere in its home.
        for lane in 0..usize::from(lanes) {
            node.generate(lane, Count::MAX);
        }
        node.now_ms += 1;
        let plans = plans_of(lanes);
        let plan = plans.of(Kind::Snowflake);
        let mut seen = HashSet::new();
        let mut by_lane = vec![0u32; lanes.into()];
        let everybody = (0..lanes).map(|lane| (usize::from(lane), Count::MAX));
        for (lane, count) in requests.into_iter().chain(everybody) {
            let lane = lane % usize::from(lanes);
            let home = plan.home(lane.try_into().unwrap());
            let (runs, outcome, _) = node.generate(lane, count);
            for run in runs {
                note(&mut seen, run);
                by_lane[lane] += run.count().get();
                let first = LAYOUT.parse(run.first()).sequence;
                prop_assert!(home.contains(&first) || plan.pool().contains(&first));
            }
            // Only who has had the whole of its home may be told to wait.
            prop_assert!(outcome == Outcome::Done || by_lane[lane] >= plan.home(0).end);
        }
        prop_assert_eq!(seen.len(), 4096);
    }
}

#[test]
fn a_clock_slightly_back_is_waited_for() {
    let mut node = Node::new(2, -10);
    assert_eq!(node.generate(0, 1).1, Outcome::Done);
    let until_ms = START_MS;
    for back in 1..5 {
        node.now_ms = START_MS - back;
        assert_eq!(node.generate(0, 1), (vec![], Outcome::Wait { until_ms }, 1));
    }
    node.now_ms = START_MS;
    assert_eq!(node.generate(0, 1).1, Outcome::Done);
    assert_eq!(node.incarnation.lanes[0].stats().clock_regressions, 1);
}

#[test]
fn a_clock_further_back_is_held_against_and_counted_on_logically() {
    let mut node = Node::new(1, -10);
    assert_eq!(node.generate(0, 4000).1, Outcome::Done);
    node.now_ms = START_MS - 990;
    assert_eq!(node.generate(0, 96).1, Outcome::Done, "the rest of the tick");
    let until_ms = node.now_ms + 1;
    assert_eq!(node.generate(0, 1).1, Outcome::Wait { until_ms });
    let mut served = 0;
    for _ in 0..320 {
        node.now_ms += 1;
        served += u32::from(node.generate(0, 4096).1 == Outcome::Done);
    }
    assert!((296..=304).contains(&served), "{served} of 320 ticks: one in 16 is given up");
    let lead = START_MS + u64::from(served) - node.now_ms;
    assert!(lead <= 990 - 18, "the lead shrinks: {lead}");
}

#[test]
fn a_small_step_back_under_full_load_is_over_soon_and_starves_no_lane() {
    let mut node = Node::new(2, -10);
    node.incarnation.gate.raise(node.hi_ms + 10_000);
    while node.generate(0, 4096).1 == Outcome::Done {}
    node.now_ms -= 7;
    for _ in 0..200 {
        node.now_ms += 1;
        while node.generate(0, 4096).1 == Outcome::Done {}
    }
    let (first, second) = (node.incarnation.lanes[0].stats().ids_issued(), 3_584);
    assert!(first > 180 * 3_584, "{first} IDs in 200 ms");
    node.now_ms += 1;
    let drawn = node.generate(1, 4096).0.iter().map(|run| run.count().get()).sum::<u32>();
    assert_eq!(drawn, second, "the other lane has the pool again");
}

#[test]
fn a_clock_a_second_back_is_refused_until_it_is_near_again() {
    let mut node = Node::new(1, -10);
    assert_eq!(node.generate(0, 1).1, Outcome::Done);
    node.now_ms = START_MS - 1_500;
    let refusal = Refusal::ClockRegression { behind_ms: 1_500, retry_after_ms: 501 };
    assert_eq!(node.generate(0, 1), (vec![], Outcome::Refused(refusal), 1));
    node.now_ms += 501;
    assert_eq!(node.generate(0, 1).1, Outcome::Done);
    node.now_ms = 0;
    let Outcome::Refused(refusal) = node.generate(0, 1).1 else { panic!("before the epoch") };
    assert_eq!(refusal.code().name(), "CLOCK_REGRESSION");
}

#[test]
fn a_restart_is_a_regression_from_the_end_of_the_last_window() {
    let mut ahead = Node::new(1, 3_000);
    let Outcome::Refused(Refusal::ClockRegression { behind_ms, .. }) = ahead.generate(0, 1).1
    else {
        panic!("the window begins three seconds from now");
    };
    assert_eq!(behind_ms, 3_000);
    let mut near = Node::new(1, 500);
    let until_ms = START_MS + 1;
    assert_eq!(near.generate(0, 1).1, Outcome::Wait { until_ms });
    near.now_ms += 1;
    let (runs, outcome, _) = near.generate(0, 1);
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(LAYOUT.parse(runs[0].first()).unix_ms, START_MS + 501);
}

#[test]
fn nothing_is_issued_beyond_the_window() {
    let mut node = Node::new(1, -10);
    node.now_ms = START_MS + 1_000;
    assert_eq!(node.generate(0, 1).1, Outcome::Done, "hi itself belongs to the window");
    node.now_ms += 1;
    assert_eq!(node.generate(0, 1).1, Outcome::Refused(Refusal::WindowExhausted));
    node.incarnation.gate.raise(node.hi_ms + 1);
    assert_eq!(node.generate(0, 1).1, Outcome::Done);
}

#[test]
fn the_end_of_the_layout_is_an_error_not_a_wrap() {
    let end_ms = LAYOUT.end_ms();
    let slot = LAYOUT.slot(31, 31).unwrap();
    let (plans, lo_ms) = (plans_of(1), end_ms - 5);
    let mut incarnation =
        Incarnation::begin(Namespace::DEFAULT, &[slot], &plans, lo_ms, &entropy());
    incarnation.gate.open(Window::won(lo_ms, end_ms + 5_000));
    let hi_ms = incarnation.gate.view().hi_ms;
    let kind = Kind::Snowflake;
    let lane = &mut incarnation.lanes[0];
    let mut runs = Vec::<Run>::new();
    let mut demand = Demand::new(Count::new(4096).unwrap());
    assert_eq!(lane.generate(end_ms, hi_ms, kind, &mut demand, &mut runs), Outcome::Done);
    assert_eq!(runs.last().unwrap().last(), Id::MAX);
    let mut demand = Demand::new(Count::ONE);
    let refused = Outcome::Refused(Refusal::TimestampExhausted);
    assert_eq!(lane.generate(end_ms + 1, hi_ms, kind, &mut demand, &mut runs), refused);
}

#[test]
#[should_panic(expected = "the gate only rises")]
fn the_gate_never_falls() {
    let node = Node::new(1, 0);
    node.incarnation.gate.raise(node.hi_ms - 1);
}
