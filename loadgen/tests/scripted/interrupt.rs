//! Ctrl-C: the report comes all the same.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::peer::{self, Answer, honest};
use crate::{grpc_peer, rest_peer};

/// Longer than any test waits.
const FLAGS: &str = "--rate 500 --warmup 0 --duration 10m --connections 2 --verify --json -";

fn start(target: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["--target", target]).args(FLAGS.split(' '));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

/// Interrupts a run against `target` when `reached` says so, and checks what it prints.
fn check(target: &str, reached: &Receiver<()>) {
    let begin = Instant::now();
    let child = start(target);
    reached.recv().unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(output.status.code(), Some(0), "{target}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| report[name].as_u64().unwrap();
    assert!(number("requests") >= 50, "{report:#}");
    assert_eq!((number("duplicates"), number("errors")), (0, 0), "{report:#}");
    assert_eq!(number("distinct"), number("ids"));
    assert!(report["seconds"].as_f64().unwrap() < 60.0);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("interrupted"), "{warnings}");
}

#[test]
fn an_interrupted_run_ends_with_its_report() {
    let (reach, reached) = channel();
    let tcp = peer::tcp(Box::new(move |number, count| {
        (number == 50).then(|| reach.send(()).unwrap());
        honest(number, count)
    }));
    check(&format!("tcp://{tcp}"), &reached);

    let (reach, reached) = channel();
    let http = rest_peer::start(move |asked| {
        if let rest_peer::What::Ids(50, _) = asked.what {
            reach.send(()).unwrap();
        }
        rest_peer::Step::Send(rest_peer::honest(asked.what))
    });
    check(&http, &reached);

    let (reach, reached) = channel();
    let grpc = grpc_peer::start(None, move |number, count| {
        (number == 50).then(|| reach.send(()).unwrap());
        grpc_peer::honest(number, count)
    });
    check(&grpc.target, &reached);
}

#[test]
fn the_second_interrupt_ends_the_process() {
    // The first request is never answered, so the end of the run would take a second or more.
    let (reach, reached) = channel();
    let tcp = peer::tcp(Box::new(move |number, _| {
        (number == 0).then(|| reach.send(()).unwrap());
        Answer::Silence
    }));
    let mut child = start(&format!("tcp://{tcp}"));
    reached.recv().unwrap();
    interrupt(&child);
    // Two signals of one number that are both waiting are one, so it is sent until it is seen.
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        std::thread::park_timeout(Duration::from_millis(10));
        interrupt(&child);
    };
    assert_eq!(code, Some(130));
}
