//! `coreflake slots`, beside servers that use the records.

use serde_json::Value;

use crate::common::frames::generate;
use crate::common::{PATIENCE, Peer, run};
use crate::ledger::{Ledger, unix_ms};
use crate::node::{Node, now_ms, wait_until};
use crate::shared::{Kind, Space};
use crate::sips::{Sips, take};

on_each_store!(records_are_shown_and_repaired, a_fence_takes_slots_away);

/// The state of a slot in the table.
#[track_caller]
fn state(space: &Space, worker: u16) -> String {
    let listed = space.slots("list", &[]);
    let row = listed.stdout.lines().nth(usize::from(worker) + 1);
    let row: Vec<_> = row.unwrap_or_else(|| panic!("{listed:?}")).split_whitespace().collect();
    assert_eq!(row[2], worker.to_string(), "{listed:?}");
    row[3].to_owned()
}

fn records_are_shown_and_repaired(kind: Kind) {
    let space = Space::empty(kind, "slots");
    space.slots("list", &[]).assert_code(1).assert_says(&["coreflake slots init"]);
    let without = Node::spawn(space.server(&["--worker-id", "1"]));
    let (code, log) = without.wait(PATIENCE);
    assert!(code == Some(78) && log.contains("coreflake slots init"), "{code:?}: {log}");
    let made = space.slots("init", &[]);
    assert!(made.assert_code(0).stdout.contains("32 records made"), "{made:?}");
    space.slots("init", &[]).assert_code(1).assert_says(&["has its records already"]);

    let listed = space.slots("list", &[]);
    assert_eq!(listed.assert_code(0).stdout.lines().count(), 33, "a header and all slots");
    let server = space.start(&["--worker-id", "4", "--window-ms", "20000"]);
    space.slots("adopt", &["--worker-id", "6", "--window-ms", "60000"]).assert_code(0);
    let retired = space.slots("retire", &["--worker-id", "7"]);
    assert!(retired.assert_code(0).stdout.contains("retired"), "{retired:?}");
    let states = [4, 5, 6, 7].map(|worker| state(&space, worker));
    assert_eq!(states, ["held", "free", "ending", "retired"]);
    let held = space.show(4);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!((&held["state"], &held["worker_id"]), (&"held".into(), &4.into()), "{held}");
    assert!(held["live_marker"].as_str().unwrap().starts_with(&host), "{held}");
    assert_eq!(space.show(5)["live_marker"], Value::Null);

    // A retired slot is for nobody.
    let refused = Node::spawn(space.server(&["--worker-id", "7"]));
    let (code, log) = refused.wait(PATIENCE);
    assert!(code == Some(78) && log.contains("retired"), "{code:?}: {log}");
    let dynamic = ["--worker-mode", "dynamic", "--worker-pool"];
    let skipping = space.start(&[&dynamic[..], &["7-8"]].concat());
    assert!(skipping.ready_line().contains(" worker=8 "), "{}", skipping.ready_line());
    skipping.stop();

    // Nor is one without a record, until it begins anew.
    space.delete_record(10);
    assert_eq!(space.record(10), None);
    space.slots("list", &[]).assert_code(1);
    space.slots("init", &[]).assert_code(1).assert_says(&["slots adopt --worker-id 10"]);
    let refused = Node::spawn(space.server(&["--worker-id", "10"]));
    let (code, log) = refused.wait(PATIENCE);
    assert!(code == Some(78) && log.contains("slots adopt"), "{code:?}: {log}");
    let skipping = space.start(&[&dynamic[..], &["10-11"]].concat());
    assert!(skipping.ready_line().contains(" worker=11 "), "{}", skipping.ready_line());
    space.slots("adopt", &["--worker-id", "10", "--window-ms", "300"]).assert_code(0);
    let adopted_ms = space.show(10)["bound_ms"].as_u64().unwrap();
    let adopted = space.start(&["--worker-id", "10"]);
    let first = take(adopted.tcp, 1)[0].first().get();
    assert!(unix_ms(first) > adopted_ms);
    for server in [adopted, skipping, server] {
        take(server.tcp, 10);
        server.stop();
    }
    run(&["slots", "show"]).assert_code(2).assert_says(&["--worker-id"]);
}

fn a_fence_takes_slots_away(kind: Kind) {
    let space = Space::new(kind, "fence");
    let dynamic = ["--worker-mode", "dynamic", "--window-ms", "3000", "--worker-pool"];
    let mut fixed = Node::spawn(space.server(&["--worker-id", "2", "--window-ms", "3000"]));
    let mut alone = Node::spawn(space.server(&[&dynamic[..], &["3-3"]].concat()));
    let mut pooled = Node::spawn(space.server(&[&dynamic[..], &["10-20"]].concat()));
    for node in [&mut fixed, &mut alone, &mut pooled] {
        node.wait_ready(PATIENCE);
    }
    let sips = Sips::start([&fixed, &alone, &pooled].map(Node::tcp));
    // So far ahead that no window is extended beyond it before all records are fenced.
    let floor_ms = now_ms() + 10_000;
    space.slots("fence", &[]).assert_code(2).assert_says(&["--floor"]);
    let fenced = space.slots("fence", &["--floor", &floor_ms.to_string()]);
    fenced.assert_code(0);
    for worker in [0, 2, 3, 31] {
        let bound_ms = space.show(worker)["bound_ms"].as_u64().unwrap();
        assert!(bound_ms >= floor_ms, "worker {worker}: {bound_ms} is below {floor_ms}");
    }
    // A bound is never lowered.
    let lower = space.slots("fence", &["--floor", &(floor_ms - 1).to_string()]);
    lower.assert_code(1).assert_says(&["no bound is below --floor"]);

    // Each holder loses its slot, and takes one again behind the fence.
    for node in [&fixed, &alone, &pooled] {
        node.wait_log("a slot was lost to somebody else");
    }
    for node in [&fixed, &alone, &pooled] {
        let mut peer = Peer::connect(node.tcp());
        wait_until(PATIENCE, "an ID behind the fence", || {
            let reply = peer.ask(&generate(1, 1));
            let first = reply.error().is_none().then(|| reply.runs()[0].first().get())?;
            (unix_ms(first) > floor_ms).then_some(())
        });
    }
    let mut ledger = Ledger::default();
    ledger.add(sips.end());
    ledger.judge().assert_unique(&format!("fence, {}", kind.name()));
    for (node, worker) in [(fixed, 2), (alone, 3)] {
        assert_eq!(node.ask("/api/v1/health").unwrap().1["worker_id"], worker);
        node.stop();
        assert_eq!(space.marker(worker), None);
    }
    pooled.stop();
    // What was fenced is no obstacle to anybody, and nothing is left behind.
    for worker in 10..=20 {
        assert_ne!(state(&space, worker), "held");
    }
}
