//! The complete small client that the protocol's documentation shows, and readers of IDs that know
//! nothing of ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coreflake_protocol::{AnyId, Kind, Namespace};

use crate::common::{Server, feed, feed_within, run};

const REQUIREMENTS: &str = include_str!("../../scripts/requirements.txt");

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Five IDs of a kind by the example, in ticks of 1 or 10 ms.
fn five_ids(transport: &str, kind: Kind, tick_ms: &str) {
    let server = Server::start(&["--worker-id", "5", "--tick-ms", tick_ms]);
    let script = directory("docs/examples/ids.py");
    let port = server.tcp.port().to_string();
    let mut command = Command::new("python3");
    command.arg(script).args([transport, "127.0.0.1", &port]);
    if kind != Kind::Snowflake {
        command.args(["5", kind.name()]);
    }
    let finished = feed(&mut command, b"");
    finished.assert_code(0);
    assert_eq!(finished.stderr, "");
    let lines: Vec<_> = finished.stdout.lines().collect();
    let texts = lines.iter().map(|line| line.split(' ').next().unwrap());
    let ids: Vec<_> = texts.map(|text| AnyId::read(text, Some(kind), None).unwrap()).collect();
    assert_eq!(ids.len(), 5, "{lines:?}");
    assert!(ids.is_sorted_by(|a, b| a.rank() < b.rank()), "{ids:?}");
    assert!(lines.iter().all(|line| line.contains(" datacenter=0 worker=5 ")), "{lines:?}");
    server.stop().assert_rejects(&[]);
}

#[test]
fn the_example_client_gets_five_rising_ids_of_every_kind_over_tcp() {
    Kind::ALL.into_iter().for_each(|kind| five_ids("tcp", kind, "1"));
}

#[test]
fn the_example_client_gets_five_rising_ids_of_every_kind_over_udp() {
    Kind::ALL.into_iter().for_each(|kind| five_ids("udp", kind, "1"));
}

/// It takes each ID apart itself, and compares.
#[test]
fn the_example_client_reads_the_length_of_a_tick() {
    five_ids("tcp", Kind::Snowflake, "10");
}

/// Python's `uuid` and the package `python-ulid` say of our IDs what we say: version, variant, time
/// and order.
#[test]
fn independent_readers_agree_about_version_time_and_order() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python");
    let made = std::fs::read_to_string(python.join("requirements.txt"));
    let path = python.display();
    let current = made.is_ok_and(|made| made == REQUIREMENTS);
    assert!(
        current,
        "{path} is missing or out of date: run `make setup` (scripts/python.sh {path})"
    );
    let server = Server::start(&["--worker-id", "5"]);
    let address = server.tcp.to_string();
    for kind in [Kind::Uuid1, Kind::Ulid, Kind::Uuid7] {
        let args = ["generate", "--server", &address, "--kind", kind.name(), "--count", "3000"];
        let generated = run(&args);
        generated.assert_code(0);
        let input: String = generated
            .stdout
            .lines()
            .map(|text| {
                let id = AnyId::read(text, Some(kind), None).unwrap();
                format!("{text} {}\n", Namespace::DEFAULT.parse(id).unwrap().unix_ms)
            })
            .collect();
        let mut reader = Command::new(python.join("bin/python"));
        reader.arg(directory("tests/integration/readers.py")).arg(kind.name());
        // It imports a lot before it begins.
        let finished = feed_within(&mut reader, input.as_bytes(), Duration::from_secs(60));
        finished.assert_code(0);
        assert_eq!(finished.stdout, "3000\n", "{finished:?}");
    }
    server.stop().assert_rejects(&[]);
}
