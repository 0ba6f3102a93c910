//! Clients in another language, which know nothing of ours: grpcio with the service as it was
//! specified, and schemathesis, which tries what the OpenAPI document promises.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Finished, Scratch, Server, feed_within};
use crate::http::{assert_serves, get};

/// What these programs may take: they import a lot before they begin, and one of them then makes
/// hundreds of calls.
const LIMIT: Duration = Duration::from_secs(180);

const REQUIREMENTS: &str = include_str!("../../scripts/requirements.txt");

/// What a schema cannot say: a text that is an ID, two times of which one is later, an encoding
/// that goes with a kind. There, values of the right type may be refused.
const SCHEMATHESIS: &str = r#"
[[operations]]
include-path-regex = "/api/v1/(id|ids|parse|range)$"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "503"]
"#;

/// The virtual environment with what `scripts/requirements.txt` names.
struct Environment(PathBuf);

impl Environment {
    /// Makes nothing: tests do not load programs from the network by themselves.
    #[track_caller]
    fn found() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python");
        let made = std::fs::read_to_string(path.join("requirements.txt"));
        let current = made.is_ok_and(|made| made == REQUIREMENTS);
        assert!(
            current,
            "{} is missing or out of date: run `make setup` (scripts/python.sh {})",
            path.display(),
            path.display(),
        );
        Self(path)
    }

    /// A program of it, with an environment that says nothing.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.0.join("bin").join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("PYTHONDONTWRITEBYTECODE", "1");
        // Nothing between us and loopback, whatever the machine has.
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        command
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway")
}

#[track_caller]
fn succeeds(command: &mut Command) -> Finished {
    let finished = feed_within(command, b"", LIMIT);
    let Finished { status, stdout, stderr } = &finished;
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    finished
}

#[test]
fn a_client_made_from_the_specified_service_calls_all_of_it() {
    let environment = Environment::found();
    let scratch = Scratch::new("gateway-python");
    let out = scratch.path().to_str().unwrap();
    let mut protoc = environment.command("python");
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(tests());
    protoc.arg(format!("--python_out={out}")).arg(format!("--grpc_python_out={out}"));
    succeeds(protoc.arg(tests().join("mission.proto")));

    let start = Instant::now();
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    let mut script = environment.command("python");
    script.arg(tests().join("mission.py")).args([out, &server.grpc().to_string()]);
    let got: Value = serde_json::from_str(&succeeds(&mut script).stdout).unwrap();
    let id = got["id"].as_u64().unwrap();
    let ids: Vec<_> = got["ids"].as_array().unwrap().iter().map(|id| id.as_u64()).collect();
    assert!(ids.len() == 100 && ids[0] > Some(id) && ids.is_sorted_by(|a, b| a < b), "{got}");
    let rest = get(&server, &format!("/api/v1/parse?id={id}")).json();
    assert_eq!(got["timestamp_ms"], rest["timestamp_ms"]);
    for (name, value) in [
        ("datacenter_id", json!(3)),
        ("worker_id", json!(7)),
        ("sequence", json!(id & 0xfff)),
        ("status", json!("healthy")),
        ("health_datacenter_id", json!(3)),
        ("health_worker_id", json!(7)),
        ("ids_generated", json!(101)),
        ("refused", json!("INVALID_ARGUMENT")),
    ] {
        assert_eq!(got[name], value, "{name} in {got}");
    }
    assert!(got["uptime_seconds"].as_u64().unwrap() <= start.elapsed().as_secs(), "{got}");
    server.stop().assert_rejects(&[("invalid_count", 1)]);
}

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let environment = Environment::found();
    let scratch = Scratch::new("gateway-schemathesis");
    let server = Server::start(&[]);
    let document = format!("http://{}/api/v1/openapi.json", server.http());
    let mut schemathesis = environment.command("schemathesis");
    // It leaves what it has learned where it runs, which must not steer the next run.
    schemathesis.current_dir(scratch.path()).env("HOME", scratch.path());
    scratch.file("schemathesis.toml", 0o600, SCHEMATHESIS.as_bytes());
    schemathesis.args(["run", &document, "--checks", "all", "--max-examples", "20"]);
    schemathesis.args(["--seed", "1", "--generation-database", "none", "--no-color"]);
    let finished = succeeds(&mut schemathesis);
    let summary: Vec<_> = finished.stdout.lines().rev().take(12).collect();
    println!("{}", summary.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert_serves(&server);
    server.stop();
}
