//! Every interleaving of lanes that claim from one pool.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p coreflake-engine --test loom --release`.
#![cfg(loom)]
#![allow(missing_docs, clippy::unwrap_used)]

use core::num::NonZeroU32;

use coreflake_engine::Pool;
use coreflake_protocol::Tick;
use loom::sync::Arc;
use loom::thread;

/// Three lanes are tried with this many forced switches per run; two lanes with any number.
const PREEMPTIONS_MAX: usize = 2;

type Claims = Vec<(Tick, core::ops::Range<u32>)>;

fn claim_all(pool: &Pool, ticks: &[u64], size: u32) -> Claims {
    let mut claims = Vec::new();
    for tick in ticks {
        let tick = Tick::new(*tick);
        if let Some(piece) = pool.claim(tick, NonZeroU32::new(size).unwrap()) {
            assert!(!piece.is_empty());
            claims.push((tick, piece));
        }
    }
    claims
}

fn check_disjoint(mut claims: Claims) -> u32 {
    claims.sort_by_key(|(tick, piece)| (*tick, piece.start));
    for pair in claims.windows(2) {
        let [(tick, piece), (next_tick, next_piece)] = pair else { unreachable!() };
        assert!(tick < next_tick || piece.end <= next_piece.start, "{pair:?} overlap");
    }
    claims.iter().map(|(_, piece)| piece.end - piece.start).sum()
}

#[test]
fn two_lanes_in_one_tick_share_it_fully() {
    loom::model(|| {
        let pool = Arc::new(Pool::new(2..7));
        let other = Arc::clone(&pool);
        let thread = thread::spawn(move || claim_all(&other, &[1, 1], 2));
        let mut claims = claim_all(&pool, &[1, 1], 2);
        claims.extend(thread.join().unwrap());
        assert_eq!(check_disjoint(claims), 5);
    });
}

#[test]
fn lanes_whose_clocks_differ_never_share_a_piece() {
    loom::model(|| {
        let pool = Arc::new(Pool::new(0..4));
        let other = Arc::clone(&pool);
        let thread = thread::spawn(move || claim_all(&other, &[1, 2], 3));
        let mut claims = claim_all(&pool, &[2, 1, 2], 2);
        claims.extend(thread.join().unwrap());
        check_disjoint(claims);
    });
}

#[test]
fn three_lanes_racing_over_a_tick_boundary() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(|| {
        let pool = Arc::new(Pool::new(0..3));
        let threads: Vec<_> = [[1, 2], [2, 2]]
            .into_iter()
            .map(|ticks| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || claim_all(&pool, &ticks, 1))
            })
            .collect();
        let mut claims = claim_all(&pool, &[1, 2], 2);
        for thread in threads {
            claims.extend(thread.join().unwrap());
        }
        check_disjoint(claims);
    });
}

#[test]
fn who_passes_numbers_over_shares_none_with_who_does_not() {
    loom::model(|| {
        let pool = Arc::new(Pool::new(0..6));
        let other = Arc::clone(&pool);
        let thread = thread::spawn(move || claim_all(&other, &[2, 2, 3], 2));
        let mut claims = Claims::new();
        for tick in [Tick::new(2), Tick::new(3), Tick::new(5)] {
            let skipped = pool.claim_idle(tick, NonZeroU32::new(2).unwrap(), 3, 5);
            claims.extend(skipped.map(|piece| (tick, piece)));
        }
        claims.extend(claim_all(&pool, &[5], 9));
        claims.extend(thread.join().unwrap());
        check_disjoint(claims);
    });
}
