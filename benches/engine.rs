//! What an ID costs: the lane's hot path and the pool's claim, with the clock as an argument.
//!
//! The figures are per ID or per claim. `generate/N` asks for N IDs per request, as a batch would;
//! the clock moves on by a millisecond whenever the tick is used up, so the sequence space never
//! limits.

use core::hint::black_box;
use core::num::NonZeroU32;
use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coreflake_engine::{
    Demand, Incarnation, Outcome, Pool, PoolShare, RunSink, SequencePlan, Window,
};
use coreflake_protocol::{Count, Layout, Run, Tick};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const START_MS: u64 = 1_700_000_000_000;

/// Takes runs and keeps the last: the cost of the lane without the cost of a buffer.
struct LastRun(Option<Run>);

impl RunSink for LastRun {
    fn has_room(&self) -> bool {
        true
    }

    fn push(&mut self, run: Run) {
        self.0 = Some(run);
    }
}

fn incarnation(lanes: u16) -> Incarnation {
    let layout = Layout::SNOWFLAKE;
    let slot = layout.slot(1, 2).expect("in range");
    let plan = SequencePlan::new(layout.sequence_space(), lanes, 0, PoolShare::DEFAULT);
    let plan = plan.expect("few lanes");
    let now = layout.tick(START_MS).expect("inside the layout");
    let incarnation = Incarnation::begin(layout, &[slot], &plan, now.minus(1));
    incarnation.gate.open(Window::won(now.minus(1), layout.tick_max()));
    incarnation
}

fn generate(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    for count in [1, 16, 100, 1_000] {
        let mut incarnation = incarnation(2);
        let hi = incarnation.gate.view().hi;
        let lane = &mut incarnation.lanes[0];
        let mut now_ms = START_MS;
        let wanted = Count::new(count).expect("at most 4096");
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let mut demand = Demand::new(black_box(wanted));
                let mut sink = LastRun(None);
                while lane.generate(now_ms, hi, &mut demand, &mut sink) != Outcome::Done {
                    now_ms += 1;
                }
                sink.0
            });
        });
    }
    group.finish();
}

/// Claims a piece, of the next tick when this one has none.
fn claim_next(pool: &Pool, tick: &mut Tick) -> Range<u32> {
    const PIECE_SIZE: NonZeroU32 = NonZeroU32::new(48).unwrap();
    loop {
        if let Some(piece) = pool.claim(*tick, PIECE_SIZE) {
            return piece;
        }
        *tick = tick.next();
    }
}

fn claim(c: &mut Criterion) {
    let mut group = c.benchmark_group("claim");
    group.throughput(Throughput::Elements(1));
    group.bench_function("alone", |b| {
        let pool = Pool::new(1024..4096);
        let mut tick = Tick::new(1);
        b.iter(|| claim_next(&pool, &mut tick));
    });
    group.bench_function("against another core", |b| {
        let pool = Arc::new(Pool::new(1024..4096));
        let stop = Arc::new(AtomicBool::new(false));
        let rival = {
            let (pool, stop) = (Arc::clone(&pool), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut tick = Tick::new(1);
                while !stop.load(Ordering::Relaxed) {
                    black_box(claim_next(&pool, &mut tick));
                }
            })
        };
        let mut tick = Tick::new(1);
        b.iter(|| claim_next(&pool, &mut tick));
        stop.store(true, Ordering::Relaxed);
        rival.join().expect("the rival only claims");
    });
    group.finish();
}

criterion_group!(benches, generate, claim);
criterion_main!(benches);
