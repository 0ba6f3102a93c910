//! What an ID costs: the lane's hot path and the pool's claim, with the clock as an argument.
//!
//! The figures are per request or per claim. `generate/KIND/N` asks for N IDs per request, as a
//! batch would; the clock moves on by a millisecond whenever the tick is used up, so the sequence
//! space never limits.

use core::hint::black_box;
use core::num::NonZeroU32;
use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coreflake_engine::{
    Demand, Entropy, IdSink, Incarnation, Outcome, Plans, Pool, PoolShare, Window,
};
use coreflake_protocol::{Count, Kind, Namespace, Run, Tick};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const START_MS: u64 = 1_700_000_000_000;

/// Takes IDs and keeps the last: the cost of the lane without the cost of a buffer.
#[derive(Default)]
struct LastId {
    run: Option<Run>,
    bits: u128,
}

impl IdSink for LastId {
    fn room(&self) -> u32 {
        u32::MAX
    }

    fn push(&mut self, run: Run) {
        self.run = Some(run);
    }

    fn push_wide(&mut self, bits: u128) {
        self.bits = bits;
    }
}

fn incarnation(lanes: u16) -> Incarnation {
    let namespace = Namespace::DEFAULT;
    let slot = namespace.layout().slot(1, 2).expect("in range");
    let plans = Plans::new(&namespace, 1, lanes, 0, PoolShare::DEFAULT).expect("few lanes");
    let entropy = Entropy::new([7; 32], None);
    let lo_ms = START_MS - 1;
    let incarnation = Incarnation::begin(namespace, &[slot], &plans, lo_ms, &entropy);
    incarnation.gate.open(Window::won(lo_ms, namespace.layout().end_ms()));
    incarnation
}

fn generate(c: &mut Criterion) {
    for kind in Kind::ALL {
        let mut group = c.benchmark_group(format!("generate/{kind}"));
        for count in [1, 16, 100, 1_000] {
            let mut incarnation = incarnation(2);
            let hi_ms = incarnation.gate.view().hi_ms;
            let lane = &mut incarnation.lanes[0];
            let mut now_ms = START_MS;
            let wanted = Count::new(count).expect("at most 4096");
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| {
                    let mut demand = Demand::new(black_box(wanted));
                    let mut sink = LastId::default();
                    while lane.generate(now_ms, hi_ms, kind, &mut demand, &mut sink)
                        != Outcome::Done
                    {
                        now_ms += 1;
                    }
                    (sink.run, sink.bits)
                });
            });
        }
        group.finish();
    }
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
