//! The load generator against peers that do as a script says: its counts must be exactly what was
//! done.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod grpc;
mod grpc_peer;
mod interrupt;
mod kinds;
mod peer;
mod rest;
mod rest_peer;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Id, Run};
use peer::{Answer, TempFile, honest, loadgen, run};
use serde_json::Value;

fn tcp(script: impl FnMut(u64, u32) -> Answer + Send + 'static) -> String {
    format!("tcp://{}", peer::tcp(Box::new(script)))
}

fn udp(script: impl FnMut(u64, u32) -> Answer + Send + 'static) -> String {
    format!("udp://{}", peer::udp(Box::new(script)))
}

/// Blocks the peer, and with it all its connections.
fn stall(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

#[test]
fn a_clean_run_is_reported_in_full() {
    let target = tcp(honest);
    let outcome =
        loadgen(&target, "--rate 1000 --duration 500ms --connections 4 --count 10 --verify");
    outcome.assert_code(0);
    let requests = outcome.number("requests");
    assert_eq!(requests + outcome.number("unsent"), 500.0);
    assert_eq!(outcome.number("ids"), requests * 10.0);
    assert_eq!(outcome.number("distinct"), requests * 10.0);
    assert_eq!(outcome.number("intervals"), requests);
    assert_eq!(outcome.number("seconds"), 0.5);
    assert_eq!(outcome.number("requests_per_second"), requests * 2.0);
    assert_eq!(outcome.number("ids_per_second"), requests * 20.0);
    for name in ["errors", "duplicates", "order_violations", "foreign_ids", "lost", "unmatched"] {
        assert_eq!(outcome.number(name), 0.0, "{name}");
    }
    for name in ["latency_us", "latency_uncorrected_us"] {
        let names = ["p50", "p90", "p99", "p99_9", "max"];
        let values = names.map(|quantile| outcome.number(&format!("{name}.{quantile}")));
        assert!(values.is_sorted() && values[0] > 0.0, "{values:?}");
        assert!((0.0..=values[4]).contains(&outcome.number(&format!("{name}.mean"))));
    }
    let report = &outcome.report;
    assert_eq!(report["target"], target);
    assert_eq!(report["mode"], "open");
    assert_eq!(report["verified"], true);
    assert_eq!(report["connections"], 4);
    assert_eq!(report["pipeline"], 32);
    assert_eq!(report["count"], 10);
    assert_eq!(report["smallest_id"], run(0, 1).first().to_string());
    let lanes = report["lanes"].as_array().unwrap();
    assert_eq!(lanes.len(), 2, "{lanes:?}");
    let mut ids = 0;
    for lane in lanes {
        let lane_ids = lane["ids"].as_u64().unwrap();
        assert!(lane_ids > 0);
        assert_eq!(lane["connections"], 2);
        assert_eq!(lane["waits"], lane_ids * 2);
        assert_eq!(lane["pool_claims"], lane_ids * 3);
        ids += lane_ids;
    }
    assert_eq!(report["ids"], ids);
}

#[test]
fn a_clean_udp_run_is_reported_too() {
    // Fewer IDs than asked are all right over UDP.
    let target = udp(|number, count| honest(number, count - 1));
    let outcome =
        loadgen(&target, "--rate 1000 --duration 500ms --connections 2 --count 200 --verify");
    outcome.assert_code(0);
    let (attempted, requests) = (outcome.number("attempted"), outcome.number("requests"));
    assert_eq!(outcome.number("ids"), requests * 199.0);
    // On a machine with too much to do, a reply may take longer than 200 ms. It comes all the same.
    assert_eq!(outcome.number("errors"), outcome.number("lost"));
    assert!(outcome.number("lost") < attempted / 4.0);
    assert_eq!(requests + outcome.number("lost"), attempted);
    assert_eq!(outcome.number("distinct"), attempted * 199.0);
    assert_eq!(outcome.number("order_violations"), 0.0);
}

#[test]
fn warmup_is_verified_but_not_counted() {
    let target = tcp(|number, count| honest(if number == 3 { 2 } else { number }, count));
    let outcome =
        loadgen(&target, "--rate 200 --warmup 2s --duration 250ms --connections 1 --verify");
    outcome.assert_code(1);
    let (requests, distinct) = (outcome.number("requests"), outcome.number("distinct"));
    assert!(requests <= 50.0 && distinct > requests, "{distinct} IDs of {requests} requests");
    assert_eq!(outcome.number("whole_run.ids"), distinct + 1.0);
    assert_eq!(outcome.number("duplicates"), 1.0);
}

#[test]
fn every_duplicate_is_counted() {
    // Requests 100 to 104 bring the IDs of 50 to 54 again, and 5 new ones behind each. There is
    // room for all requests at once, so they leave however late the machine is.
    let target = tcp(|number, count| match number {
        100..105 => Answer::Runs(vec![run((number - 50) * 1000 + 5, count)]),
        _ => honest(number, count),
    });
    let flags = "--rate 1000 --duration 300ms --count 10 --connections 1 --pipeline 1024 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("duplicates"), 25.0);
    assert_eq!(outcome.number("distinct"), outcome.number("ids") - 25.0);
    assert_eq!(outcome.report["duplicate_examples"].as_array().unwrap().len(), 5);
}

#[test]
fn duplicates_between_connections_are_found() {
    let target = tcp(|number, count| honest(number / 2, count));
    let outcome = loadgen(
        &target,
        "--rate 1000 --duration 300ms --connections 8 --threads 2 --verify --pipeline 1",
    );
    outcome.assert_code(1);
    let (requests, duplicates) = (outcome.number("requests"), outcome.number("duplicates"));
    assert_eq!(duplicates, (requests / 2.0).floor());
}

#[test]
fn going_backwards_is_counted_without_verify() {
    let target = tcp(|number, count| match number {
        70 | 80 => honest(number - 60, count),
        _ => honest(number, count),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 200ms --connections 1 --pipeline 1024");
    outcome.assert_code(1);
    assert_eq!(outcome.number("order_violations"), 2.0);
    assert!(outcome.report["duplicates"].is_null());
    assert_eq!(outcome.report["verified"], false);
}

#[test]
fn ids_of_another_slot_are_found() {
    let target = tcp(|number, count| match number {
        5 => {
            let id = run(5000, 1).first().get() + (1 << 12);
            Answer::Runs(vec![Run::new(Id::new(id).unwrap(), run(0, count).count()).unwrap()])
        }
        _ => honest(number, count),
    });
    let flags = "--rate 1000 --duration 100ms --connections 1 --count 3 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("foreign_ids"), 3.0);
}

#[test]
fn lost_datagrams_are_counted_and_make_room() {
    let target = udp(|number, count| match number % 10 {
        9 => Answer::Silence,
        _ => honest(number, count),
    });
    // More losses than there is room for in flight: 200 ms later the room must be free again.
    let flags = "--rate 500 --duration 2s --connections 2 --pipeline 16 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    let (attempted, lost) = (outcome.number("attempted"), outcome.number("lost"));
    let silent = (attempted / 10.0).floor();
    assert!(silent > 2.0 * 16.0, "{silent} of {attempted} without an answer");
    // On a machine with too much to do, a reply may take longer than 200 ms, or come when the run
    // is over; none of them is overlooked.
    assert!(lost >= silent && outcome.number("unmatched") <= lost - silent, "{lost} lost");
    assert_eq!(outcome.number("distinct"), attempted - silent);
    assert_eq!(outcome.number("errors_by_code.lost"), lost);
    assert_eq!(outcome.number("requests") + lost, attempted);
    assert!(lost < attempted / 2.0);
}

#[test]
fn late_datagrams_are_verified_but_not_counted() {
    // Eight are out at a time, so the one behind these comes when half of them were given up.
    let target = udp(|number, count| match number {
        20..36 => Answer::Late(vec![run(number * 1000, count)]),
        _ => honest(number, count),
    });
    let flags = "--rate 200 --duration 2s --connections 1 --pipeline 8 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    let (lost, unmatched) = (outcome.number("lost"), outcome.number("unmatched"));
    // What comes when the run is over is late for no request.
    assert!((8.0..=lost).contains(&unmatched), "{lost} lost, {unmatched} late");
    assert_eq!(outcome.number("requests") + lost, outcome.number("attempted"));
    assert_eq!(outcome.number("distinct"), outcome.number("attempted"));
}

#[test]
fn refusals_are_counted_by_code() {
    let target = tcp(|number, count| match number % 4 {
        2 => Answer::Refuse(ErrorCode::Overloaded),
        3 => Answer::Refuse(ErrorCode::Draining),
        _ => honest(number, count),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 200ms --pipeline 1024");
    outcome.assert_code(0);
    assert_eq!(outcome.number("errors_by_code.OVERLOADED"), 50.0);
    assert_eq!(outcome.number("errors_by_code.DRAINING"), 50.0);
    assert_eq!(outcome.number("errors"), 100.0);
    assert_eq!(outcome.number("requests"), 100.0);
}

#[test]
fn nothing_but_refusals_fails() {
    let target = tcp(|_, _| Answer::Refuse(ErrorCode::Starting));
    let outcome = loadgen(&target, "--rate 100 --duration 100ms --connections 1");
    outcome.assert_code(1);
    assert!(outcome.report["latency_us"].is_null());
}

#[test]
fn the_objective_sets_the_exit_code() {
    let target = tcp(honest);
    for (objective, code, met) in [("1ns", 1, false), ("10s", 0, true)] {
        let flags = format!("--rate 1000 --duration 100ms --slo-p99 {objective}");
        let outcome = loadgen(&target, &flags);
        outcome.assert_code(code);
        assert_eq!(outcome.report["slo_p99"]["met"], met);
    }
}

#[test]
fn an_objective_is_missed_when_too_many_get_no_answer() {
    let target = tcp(|number, count| match number % 50 {
        0 => Answer::Refuse(ErrorCode::Overloaded),
        _ => honest(number, count),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 200ms --slo-p99 10s");
    outcome.assert_code(1);
}

/// The reason for the whole program: a stall is felt by all requests that should have been sent
/// during it, not only by the few that the pipeline let out.
#[test]
fn a_stall_is_felt_by_every_request_it_delays() {
    let target = tcp(|number, count| {
        if number == 250 {
            stall(Duration::from_secs(1));
        }
        honest(number, count)
    });
    let flags = "--rate 500 --duration 3s --connections 1 --pipeline 4";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    // 500 of 1500 requests are late, by up to a second, so the 90th percentile sees it: it is at
    // 700 ms. Only 4 were out, so without the correction it is that of a round trip.
    let (corrected, uncorrected) =
        (outcome.number("latency_us.p90"), outcome.number("latency_uncorrected_us.p90"));
    assert!(corrected > 300_000.0 && uncorrected < corrected / 2.0, "{corrected}, {uncorrected}");
    assert!(
        outcome.number("latency_us.mean") > 2.0 * outcome.number("latency_uncorrected_us.mean")
    );
    // Whoever was out during the stall saw all of it either way.
    let difference =
        outcome.number("latency_us.max") - outcome.number("latency_uncorrected_us.max");
    assert!(difference >= 0.0, "{difference}");
    assert!(outcome.number("latency_us.max") > 990_000.0);
}

#[test]
fn the_closed_loop_says_what_it_is() {
    let outcome = loadgen(&tcp(honest), "--rate max --duration 2s --connections 2 --verify");
    outcome.assert_code(0);
    assert_eq!(outcome.report["mode"], "closed");
    let note = "closed loop: latency is measured from the actual send, so it hides queueing";
    assert_eq!(outcome.report["mode_note"], note);
    assert!(outcome.report["latency_uncorrected_us"].is_null());
    assert!(outcome.number("requests") > 100.0);
    assert_eq!(outcome.number("requests"), outcome.number("attempted"));
}

#[test]
fn the_run_goes_on_without_a_broken_connection() {
    let target = tcp(|number, count| match number {
        40 => Answer::Close,
        _ => honest(number, count),
    });
    // So long that what is out on a connection is a small part of its plan.
    let outcome = loadgen(&target, "--rate 1000 --duration 2s --connections 4");
    outcome.assert_code(0);
    assert_eq!(outcome.number("errors_by_code.connection_closed"), 1.0);
    assert!(outcome.number("lost") >= 1.0);
    assert!(outcome.number("requests") > 1_000.0, "the others go on");
    assert!(outcome.number("unsent") > 0.0, "the broken connection still has its part of the plan");
    assert_eq!(outcome.number("requests") + outcome.number("lost"), outcome.number("attempted"));
}

#[test]
fn the_run_ends_when_no_connection_is_left() {
    let start = Instant::now();
    let target = tcp(|_, _| Answer::Close);
    let outcome = loadgen(&target, "--rate 1000 --duration 30s --connections 2");
    outcome.assert_code(69);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(outcome.stderr.contains(&target), "{}", outcome.stderr);
}

#[test]
fn losing_every_connection_fails_a_run_that_went_well_before() {
    let target = tcp(|number, count| match number {
        50.. => Answer::Close,
        _ => honest(number, count),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 30s --connections 2");
    outcome.assert_code(1);
    assert!(outcome.number("seconds") < 20.0);
}

#[test]
fn replies_that_never_come_do_not_hang_the_end() {
    let target = tcp(|number, count| match number {
        30.. => Answer::Silence,
        _ => honest(number, count),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 2s --connections 1 --pipeline 8");
    outcome.assert_code(0);
    assert_eq!(outcome.number("requests"), 30.0);
    assert_eq!(outcome.number("lost"), 8.0);
    assert_eq!(outcome.number("unsent"), 1962.0);
}

#[test]
fn the_text_goes_to_stdout_and_the_json_to_its_file() {
    let target = tcp(honest);
    let file = TempFile::new("loadgen-report");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["--target", &target, "--duration", "100ms", "--verify", "--json"]);
    command.arg(file.path());
    command.args(["--rate", "1000", "--warmup", "0", "--slo-p99", "10s"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        [&target, "open loop", "p99.9", "from intended", "duplicates", "lane", "10000000 us"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let report: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(report["target"], target);
}

#[test]
fn the_token_comes_first() {
    let file = TempFile::new("loadgen-token");
    let path = file.path().display();
    let flags = format!("--rate 100 --duration 100ms --connections 1 --token-file {path}");

    file.write([peer::TOKEN, b"\n"].concat());
    let target = format!("tcp://{}", peer::tcp_with_token(Box::new(honest)));
    loadgen(&target, &flags).assert_code(0);

    file.write("wrong");
    let target = format!("tcp://{}", peer::tcp_with_token(Box::new(honest)));
    let outcome = loadgen(&target, &flags);
    outcome.assert_code(69);
    assert!(outcome.stderr.contains("UNAUTHENTICATED"), "{}", outcome.stderr);
}
