//! The complete small client that the protocol's documentation shows.

use std::path::Path;
use std::process::Command;

use crate::common::{Server, feed};

fn five_ids(transport: &str) {
    let server = Server::start(&["--worker-id", "5"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/ids.py");
    let port = server.tcp.port().to_string();
    let mut command = Command::new("python3");
    command.arg(script).args([transport, "127.0.0.1", &port]);
    let finished = feed(&mut command, b"");
    finished.assert_code(0);
    assert_eq!(finished.stderr, "");
    let lines: Vec<_> = finished.stdout.lines().collect();
    let ids: Vec<u64> =
        lines.iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(ids.len(), 5, "{lines:?}");
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(lines.iter().all(|line| line.contains(" datacenter=0 worker=5 ")), "{lines:?}");
    server.stop().assert_rejects(&[]);
}

#[test]
fn the_example_client_gets_five_rising_ids_over_tcp() {
    five_ids("tcp");
}

#[test]
fn the_example_client_gets_five_rising_ids_over_udp() {
    five_ids("udp");
}
