//! Lanes that have little to do: their IDs are even modulo small numbers, and nobody else pays.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_precision_loss)]

use coreflake_engine::{Demand, Entropy, Incarnation, Outcome, Plans, PoolShare, Window};
use coreflake_protocol::{Count, Kind, Layout, Namespace};

const START_MS: u64 = 1_700_000_000_000;

struct Node {
    incarnation: Incarnation,
    plans: Plans,
    now_ms: u64,
    made: Vec<u128>,
}

impl Node {
    /// A node with these shards and a gateway, whose lane is the last one.
    fn new(widths: &str, tick_ms: u8, shards: u16) -> Self {
        let layout = Layout::new(widths.parse().unwrap(), tick_ms, 1_609_459_200_000).unwrap();
        let namespace = Namespace::new(layout, None, None).unwrap();
        let plans = Plans::new(&namespace, 1, shards, 1, PoolShare::DEFAULT).unwrap();
        let slots = [layout.slot(1, 0).unwrap()];
        let entropy = Entropy::new([7; 32], None);
        let incarnation = Incarnation::begin(namespace, &slots, &plans, START_MS, &entropy);
        incarnation.gate.open(Window::won(START_MS, START_MS + 1_000_000_000));
        Self { incarnation, plans, now_ms: START_MS, made: Vec::new() }
    }

    fn generate(&mut self, lane: usize, kind: Kind, count: u32) -> Outcome {
        let hi_ms = self.incarnation.gate.view().hi_ms;
        let mut demand = Demand::new(Count::new(count).unwrap());
        let lane = &mut self.incarnation.lanes[lane];
        lane.generate(self.now_ms, hi_ms, kind, &mut demand, &mut self.made)
    }

    /// How many IDs a lane makes until it has to wait.
    fn exhaust(&mut self, lane: usize) -> u32 {
        self.made.clear();
        while self.generate(lane, Kind::Snowflake, Count::MAX) == Outcome::Done {}
        u32::try_from(self.made.len()).unwrap()
    }
}

/// How far the most or least frequent remainder is from its share, for the worst modulus.
fn unevenness(ids: &[u128]) -> f64 {
    let worst_of = |modulus: u16| {
        let mut counts = vec![0; modulus.into()];
        ids.iter().for_each(|id| counts[(id % u128::from(modulus)) as usize] += 1);
        let even = ids.len() as f64 / f64::from(modulus);
        counts.into_iter().map(|count| (f64::from(count) / even - 1.0).abs()).fold(0.0, f64::max)
    };
    [2, 3, 4, 7, 8, 16].map(worst_of).into_iter().fold(0.0, f64::max)
}

#[track_caller]
fn check_even(node: &mut Node, lane: usize, kind: Kind, count: u32, pace_ms: u64) {
    const REQUESTS: usize = 100_000;
    node.made.clear();
    for _ in 0..REQUESTS {
        node.now_ms += pace_ms;
        assert_eq!(node.generate(lane, kind, count), Outcome::Done);
    }
    assert_eq!(node.made.len(), REQUESTS * count as usize);
    let worst = unevenness(&node.made);
    assert!(worst < 0.05, "{kind} lane {lane}, {count} each {pace_ms} ms: {worst}");
}

#[test]
fn ids_that_are_asked_for_one_by_one_are_even() {
    for kind in [Kind::Snowflake, Kind::Instagram] {
        for lane in 0..3 {
            for pace_ms in [1, 7, 20, 21, 1_000] {
                let mut node = Node::new("41+5+5+12", 1, 2);
                check_even(&mut node, lane, kind, 1, pace_ms);
            }
        }
    }
}

#[test]
fn small_homes_are_no_reason_to_be_uneven() {
    for (widths, tick_ms, shards) in [
        ("41+5+5+12", 1, 16),
        ("41+5+5+12", 1, 64),
        ("41+5+5+12", 1, 200),
        ("41+2+4+6", 1, 1),
        ("41+2+4+6", 1, 2),
        ("39+8+8+8", 10, 2),
        ("39+8+8+8", 10, 8),
    ] {
        for lane in [0, shards - 1, shards] {
            for pace in [1, 2, 7, 20, 21] {
                let mut node = Node::new(widths, tick_ms, shards);
                let pace_ms = pace * u64::from(tick_ms);
                check_even(&mut node, lane.into(), Kind::Snowflake, 1, pace_ms);
            }
        }
    }
}

/// One lane at 200 requests a second, some of them in one tick and many in ticks that follow each
/// other.
#[test]
fn requests_at_random_times_are_even() {
    for (widths, tick_ms, shards) in
        [("41+5+5+12", 1, 2), ("41+5+5+12", 1, 64), ("41+2+4+6", 1, 2), ("39+8+8+8", 10, 2)]
    {
        for lane in [0, shards] {
            let mut node = Node::new(widths, tick_ms, shards);
            let mut state = 7_u32;
            for _ in 0..100_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                node.now_ms += u64::from(state >> 16) % 11 * u64::from(tick_ms);
                assert_eq!(node.generate(lane.into(), Kind::Snowflake, 1), Outcome::Done);
            }
            let worst = unevenness(&node.made);
            assert!(worst < 0.05, "{widths} lane {lane} of {shards}: {worst}");
        }
    }
}

#[test]
fn a_few_at_a_time_are_even_too() {
    for count in [2, 17, 50] {
        check_even(&mut Node::new("41+5+5+12", 1, 2), 1, Kind::Snowflake, count, 20);
    }
}

#[test]
fn a_lane_that_was_busy_begins_at_the_start_of_its_home() {
    let mut node = Node::new("41+5+5+12", 1, 2);
    node.now_ms += 1;
    assert_eq!(node.generate(0, Kind::Snowflake, 1), Outcome::Done);
    node.exhaust(0);
    for _ in 0..5 {
        node.now_ms += 1;
        // One by one, so that the request does not tell how much is needed.
        node.made.clear();
        while node.generate(0, Kind::Snowflake, 1) == Outcome::Done {}
        assert_eq!(node.made.len(), 480 + 3_072);
    }
}

/// A lane that needs the same in each tick has it, whether a quiet one is beside it or not.
#[test]
fn a_quiet_lane_that_comes_first_takes_nothing_from_a_steady_one() {
    for (widths, shards) in [("41+2+4+6", 1), ("41+2+4+6", 2), ("41+5+5+12", 64)] {
        let mut node = Node::new(widths, 1, shards);
        let plan = node.plans.of(Kind::Snowflake).clone();
        // The quiet lane may have to take one from the pool.
        let most = u32::try_from(plan.home(0).len()).unwrap() + plan.pool_size() - 1;
        let quiet = usize::from(shards);
        for need in (1..=most).step_by(most.div_ceil(60) as usize).chain([most]) {
            for round in 0..60 {
                node.now_ms += 1;
                assert_eq!(node.generate(quiet, Kind::Snowflake, 1), Outcome::Done);
                for number in 0..need {
                    let outcome = node.generate(0, Kind::Snowflake, 1);
                    // What was needed before is known from the second tick on.
                    let is_enough = round < 2 || outcome == Outcome::Done;
                    assert!(is_enough, "{widths}: {number} of {need} in round {round}");
                    if outcome != Outcome::Done {
                        break;
                    }
                }
            }
        }
    }
}

/// As long as they need no more than half of their homes, all that the others may draw is there.
#[test]
fn quiet_lanes_cost_a_full_one_nothing() {
    for (widths, shards) in [
        ("41+5+5+12", 2),
        ("41+5+5+12", 4),
        ("41+5+5+12", 8),
        ("41+5+5+12", 16),
        ("41+5+5+12", 64),
        ("41+2+4+6", 2),
    ] {
        let mut node = Node::new(widths, 1, shards);
        let plan = node.plans.of(Kind::Snowflake).clone();
        let home = plan.home(0).end;
        for round in 0..50 {
            node.now_ms += 1;
            for lane in 1..=shards {
                for _ in 0..plan.home(lane).len() / 2 {
                    assert_eq!(node.generate(lane.into(), Kind::Snowflake, 1), Outcome::Done);
                }
            }
            let made = node.exhaust(0);
            // Nothing was known of the load before the first tick.
            assert!(round == 0 || made == home + plan.pool_size(), "{widths} {shards}: {made}");
        }
    }
}
