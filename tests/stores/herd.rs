//! More servers than slots, all started at the same moment.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::PATIENCE;
use crate::ledger::Ledger;
use crate::node::{Node, wait_until};
use crate::shared::{Kind, Space};
use crate::sips::Sips;

const SERVERS: usize = 40;
const SLOTS: usize = 32;

/// The goal is 5 s, and what it took is printed; this much is for machines that have something else
/// to do. Nobody may be left without a slot for ever.
const LIMIT: Duration = Duration::from_secs(60);

on_each_store!(more_servers_than_slots);

/// How many of them have, or had, a slot.
fn count_ready(nodes: &[Node]) -> usize {
    nodes.iter().filter(|node| node.ready_line().is_some()).count()
}

/// Waits until so many of those that wait are ready, and gives how long that took.
#[track_caller]
fn wait_ready(nodes: &[Node], count: usize, limit: Duration) -> Duration {
    let begin = Instant::now();
    wait_until(limit, &format!("{count} servers with slots"), || {
        (count_ready(nodes) == count).then_some(())
    });
    begin.elapsed()
}

fn more_servers_than_slots(kind: Kind) {
    // A herd at a time: what is measured is one.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (space, name) = (Space::new(kind, "herd"), kind.name());
    // A server that stands still for a while keeps its slot as long as its window lasts.
    let args = ["--worker-mode", "dynamic", "--window-ms", "10000"];
    let nodes: Vec<_> = (0..SERVERS).map(|_| Node::spawn(space.server(&args))).collect();
    let took = wait_ready(&nodes, SLOTS, LIMIT);
    println!("FIGURE herd, {name}: {SLOTS} of {SERVERS} servers ready after {took:.1?}, goal 5 s");

    let (mut serving, mut waiting): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.ready_line().is_some());
    let workers: BTreeSet<_> = serving.iter().map(Node::worker).collect();
    assert_eq!((serving.len(), workers.len()), (SLOTS, SLOTS), "{workers:?}");
    let sips = Sips::start(serving.iter().map(Node::tcp));
    for node in &mut waiting {
        node.wait_log("all 32 slots are taken");
        assert!(node.is_alive());
        assert_eq!(node.ask("/api/v1/ready").unwrap().0, 503);
        let (_, health) = node.ask("/api/v1/health").unwrap();
        assert_eq!((&health["status"], &health["worker_id"]), (&"starting".into(), &Value::Null));
    }
    let conflicts = |node: &Node| node.metric("coreflake_slot_claim_conflicts_total");
    let conflicts: Vec<_> = serving.iter().chain(&waiting).map(conflicts).collect();
    let (sum, max) = (conflicts.iter().sum::<f64>(), conflicts.iter().copied().fold(0.0, f64::max));
    #[allow(clippy::cast_precision_loss)] // Forty.
    let mean = sum / SERVERS as f64;
    println!("FIGURE herd, {name}: {mean:.2} conflicts per starter, goal 3, at most {max}");

    // What is given back is taken over. Consul may take twice as long as a session lives to end it,
    // too long to wait for.
    let stopped = if kind == Kind::Consul { 8 } else { 4 };
    serving.drain(..stopped).for_each(Node::stop);
    let took = wait_ready(&waiting, stopped, LIMIT);
    println!("FIGURE herd, {name}: {stopped} slots given back, taken over after {took:.1?}");
    let killed = waiting.len() - stopped;
    if killed > 0 {
        serving.drain(..killed).for_each(Node::kill);
        let took = wait_ready(&waiting, stopped + killed, LIMIT);
        println!("FIGURE herd, {name}: {killed} servers killed, slots taken over after {took:.1?}");
    }
    let more = Sips::start(waiting.iter().map(Node::tcp));
    let mut ledger = Ledger::default();
    serving.extend(waiting);
    let workers: BTreeSet<_> = serving.iter().map(Node::worker).collect();
    assert_eq!(workers.len(), SLOTS, "{workers:?}");
    for node in &serving {
        node.wait_status(200, PATIENCE);
    }
    ledger.add(sips.end());
    ledger.add(more.end());
    ledger.judge().assert_unique(&format!("herd, {name}"));
}
