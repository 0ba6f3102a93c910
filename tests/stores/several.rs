//! Servers with several slots, in a shared store and in files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use coreflake_protocol::Layout;
use serde_json::Value;

use crate::common::frames::info;
use crate::common::{PATIENCE, Peer, Scratch, Server};
use crate::http::get;
use crate::node::Node;
use crate::shared::{Kind, Space};

on_each_store!(four_slots);

/// What one slot gives in a second.
const SLOT_RATE: f64 = 4_096_000.0;

fn four_slots(kind: Kind) {
    let space = Space::new(kind, "several");
    let args = ["--worker-mode", "dynamic", "--worker-pool", "8-15", "--worker-slots", "4"];
    let server = space.start(&args);
    let workers = check(&server, kind.name());
    assert!(workers.iter().all(|worker| (8..16).contains(worker)), "{workers:?}");
    // The rest of the pool serves another one, and then there is none.
    let other = space.start(&args);
    assert!(workers.is_disjoint(&workers_of(&other)), "{}", other.ready_line());
    let mut third = Node::spawn(space.server(&args));
    third.wait_log("4 slots are wanted and 0 of 8 are free");
    other.stop();
    third.wait_ready(PATIENCE);
    for worker in &workers {
        assert_eq!(space.marker(*worker), Some(true), "worker {worker}");
    }
    server.stop();
    for worker in &workers {
        assert_eq!(space.marker(*worker), None, "worker {worker}");
    }
}

#[test]
fn four_slots_in_files() {
    let scratch = Scratch::new("several-files");
    let state = scratch.path().join("state");
    let state = ["--store", "file", "--state-dir", state.to_str().unwrap()];
    let start = |args: &[&str]| Server::start(&[&state, args].concat());
    let fixed = start(&["--worker-id", "20", "--worker-slots", "4"]);
    assert_eq!(check(&fixed, "file"), (20..24).collect());

    // Beside it, servers that share the directory.
    let dynamic = ["--worker-mode", "dynamic", "--worker-pool", "19-21"];
    let first = start(&dynamic);
    assert_eq!(workers_of(&first), [19].into());
    let mut second = Node::spawn(Server::command(&[&state[..], &dynamic].concat()));
    second.wait_log("all 3 slots are taken");
    fixed.stop();
    second.wait_ready(PATIENCE);
    assert!([20, 21].contains(&second.worker()), "{}", second.worker());
    let four = start(&["--worker-mode", "dynamic", "--worker-slots", "4"]);
    check(&four, "file, dynamic");
}

/// The workers of the ready line.
#[track_caller]
fn workers_of(server: &Server) -> BTreeSet<u16> {
    let line = server.ready_line();
    let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
    let first = field("worker=").unwrap();
    let all = field("workers=").unwrap_or(first);
    assert!(all.starts_with(first), "{line}");
    all.split(',').map(|worker| worker.parse().unwrap()).collect()
}

/// Checks that a server has four slots and says so at every door, and that it issues from all of
/// them, nothing twice and in order. Gives the workers.
#[track_caller]
fn check(server: &Server, what: &str) -> BTreeSet<u16> {
    let workers = workers_of(server);
    assert_eq!(workers.len(), 4, "{}", server.ready_line());
    let mut peer = Peer::connect(server.tcp);
    let told = peer.ask(&info(1)).info().worker_ids;
    assert!(told.iter().eq(&workers), "{told:?}");
    let health = get(server.http(), "/api/v1/health", "application/json").body;
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["worker_id"], *workers.first().unwrap());
    let told: Vec<_> = health["worker_ids"].as_array().unwrap().iter().collect();
    assert!(
        told.iter()
            .map(|worker| worker.as_u64().unwrap())
            .eq(workers.iter().map(|worker| u64::from(*worker))),
        "{told:?}"
    );

    let mut used = BTreeSet::new();
    for _ in 0..1_000 {
        let runs = peer.generate(4_096);
        used.extend(runs.iter().map(|run| Layout::SNOWFLAKE.parse(run.first()).worker_id));
        if used == workers {
            break;
        }
    }
    assert_eq!(used, workers, "IDs come from all slots, and no other");
    let ratio = load(server) / SLOT_RATE;
    println!("FIGURE several, {what}: 4 slots give {ratio:.2} times what one slot can");
    workers
}

/// Proves with loadgen that nothing comes twice and that the order holds; gives IDs per second.
#[track_caller]
fn load(server: &Server) -> f64 {
    let loadgen = Path::new(env!("CARGO_BIN_EXE_coreflake")).with_file_name("loadgen");
    assert!(loadgen.exists(), "cargo build --workspace --bins makes loadgen");
    let target = format!("tcp://{}", server.tcp);
    let args = ["--target", &target, "--count", "4096", "--rate", "max", "--verify", "--json", "-"];
    let run =
        Command::new(loadgen).args(args).args(["--warmup", "0s", "--duration", "2s"]).output();
    let run = run.unwrap();
    assert!(run.status.success(), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["duplicates"], 0, "{report}");
    assert_eq!(report["order_violations"], 0, "{report}");
    report["ids_per_second"].as_f64().unwrap()
}
