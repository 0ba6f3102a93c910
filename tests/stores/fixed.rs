//! Two servers with the same worker ID, in a shared store.

use std::time::{Duration, Instant};

use crate::common::PATIENCE;
use crate::node::{Node, on_host};
use crate::shared::{Kind, Space};
use crate::sips::take;

on_each_store!(the_same_worker_twice);

const HELD_HERE: &str = "the slot is held by a server of this host";

/// Three of Consul's sessions, and a start.
const LIMIT: Duration = Duration::from_secs(60);

fn the_same_worker_twice(kind: Kind) {
    let space = Space::brief(kind, "fixed");
    // Whoever takes over waits for the end of the window. Where nobody shall, it is long: a server
    // that stands still for a while is safe even without its marker.
    let server = |worker: &str| {
        let window = if worker == "5" { "3000" } else { "20000" };
        space.server(&["--worker-id", worker, "--window-ms", window])
    };
    let mut elsewhere = Node::spawn(on_host("elsewhere", &server("3")));
    let (mut here, mut doomed) = (Node::spawn(server("4")), Node::spawn(server("5")));
    for node in [&mut elsewhere, &mut here, &mut doomed] {
        node.wait_ready(PATIENCE);
    }

    // The marker of a server that was killed on this host cannot be told from that of one that
    // lives, until it has outlived its session.
    let (begin, patient) = (Instant::now(), Node::spawn(server("4")));
    doomed.kill();
    let mut again = Node::spawn(server("5"));

    // Whoever is on another host was not started again.
    let (code, log) = Node::spawn(server("3")).wait(PATIENCE);
    assert_eq!(code, Some(78), "{log}");
    for word in ["slot 3 is held", "on host elsewhere", "--worker-mode dynamic"] {
        assert!(log.contains(word), "`{word}` is not said: {log}");
    }
    assert!(!log.contains(HELD_HERE), "it waits: {log}");

    let took = again.wait_ready(LIMIT);
    println!("FIGURE fixed, {}: again {took:.1?} after a kill -9", kind.name());
    take(again.tcp(), 10);
    assert_eq!(again.worker(), 5);

    let (code, log) = patient.wait(LIMIT);
    let took = begin.elapsed();
    assert_eq!(code, Some(78), "{log}");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for word in [HELD_HERE, "slot 4 is held", &format!("on host {host}")] {
        assert!(log.contains(word), "`{word}` is not said: {log}");
    }
    assert!(took >= space.session() * 3, "refused after {took:?}");
    println!("FIGURE fixed, {}: refused after {took:.1?} on the same host", kind.name());

    // Those who were first have not noticed.
    for node in [elsewhere, here, again] {
        take(node.tcp(), 10);
        node.stop();
    }
}
