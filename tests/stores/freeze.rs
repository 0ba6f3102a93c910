//! A server that stands still until somebody else has its slot, and goes on.

use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::frames::generate;
use crate::common::{PATIENCE, Peer, until};
use crate::ledger::{Ledger, Taken, unix_ms};
use crate::load::{Load, seed};
use crate::node::{Node, now_ms, wait_until};
use crate::shared::{Kind, Space};

on_each_store!(a_frozen_holder);

/// Consul may take two sessions to notice, and one thing more.
const TAKEOVER: Duration = Duration::from_secs(60);

const REQUESTS: usize = 8;

/// Takes IDs at full load for a while.
#[track_caller]
fn load(node: &Node, random: &mut Rng) -> Taken {
    let load = Load::on(coreflake_protocol::Kind::Snowflake, node.tcp(), node.udp(), random);
    until("IDs", || (load.received() > 10_000).then_some(()));
    load.end()
}

fn a_frozen_holder(kind: Kind) {
    let space = Space::brief(kind, "freeze");
    let (mut random, mut ledger) = (Rng::with_seed(seed("freeze")), Ledger::default());
    let server = |window: &str| {
        let args = ["--worker-mode", "dynamic", "--worker-pool", "5-5", "--window-ms", window];
        Node::spawn(space.server(&args))
    };
    let mut first = server("3000");
    first.wait_ready(PATIENCE);
    ledger.add(load(&first, &mut random));

    // What lies in its sockets when it wakes was asked for while the slot was its own.
    let mut peers: Vec<_> = (0..4).map(|_| Peer::connect(first.tcp())).collect();
    peers.iter_mut().for_each(Peer::ping);
    first.freeze();
    for peer in &mut peers {
        peer.send(&generate(1, 1_000).repeat(REQUESTS));
    }
    let bound_ms = space.show(5)["bound_ms"].as_u64().unwrap();
    // Long: the first must not get the slot back when the second stands still for a while.
    let mut second = server("20000");
    let took = second.wait_ready(TAKEOVER);
    println!("FIGURE freeze, {}: taken over {took:.1?} behind the freeze", kind.name());
    assert_eq!((first.worker(), second.worker()), (5, 5));
    let beside =
        Load::on(coreflake_protocol::Kind::Snowflake, second.tcp(), second.udp(), &mut random);
    until("IDs of the second", || (beside.received() > 10_000).then_some(()));

    // The second may have been let in a second before: its first ticks lie behind those.
    wait_until(PATIENCE, "the end of the window", || (now_ms() > bound_ms).then_some(()));
    first.signal(Signal::CONT);
    for peer in &mut peers {
        for _ in 0..REQUESTS {
            let reply = peer.reply();
            let Some(error) = reply.error() else {
                let ms = reply.runs().iter().map(|run| unix_ms(run.first().get())).max();
                panic!("it issues {ms:?}, in a window that ended at {bound_ms}: {}", first.log());
            };
            assert!(error.known_code().unwrap().is_retryable(), "{error:?}");
        }
    }
    first.wait_log("a slot was lost to somebody else");
    first.wait_log("all 1 slots are taken");
    first.wait_status(503, PATIENCE);
    wait_until(PATIENCE, "no worker", || {
        let (_, health) = first.ask("/api/v1/health")?;
        (health["worker_id"] == Value::Null).then_some(())
    });
    let received = beside.received();
    until("more IDs of the second", || (beside.received() > received + 10_000).then_some(()));
    ledger.add(beside.end());

    second.stop();
    first.wait_status(200, TAKEOVER);
    let (_, health) = first.ask("/api/v1/health").unwrap();
    assert_eq!(health["worker_id"], 5);
    ledger.add(load(&first, &mut random));
    first.stop();
    ledger.judge().assert_unique(&format!("freeze, {}", kind.name()));
}
