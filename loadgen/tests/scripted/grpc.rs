//! The gRPC door.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot::Sender;
use tonic::Status;

use crate::grpc_peer::{honest, start};
use crate::peer::{TempFile, loadgen};
use crate::{rest_peer, stall};

#[test]
fn a_clean_run_is_reported_in_full() {
    for (flags, per_request) in [("--count 1", 1.0), ("--count 10 --threads 2", 10.0)] {
        let server = start(None, honest);
        let flags = format!("{flags} --rate 1000 --duration 300ms --connections 4 --verify");
        let outcome = loadgen(&server.target, &flags);
        outcome.assert_code(0);
        let requests = outcome.number("requests");
        assert_eq!(requests + outcome.number("unsent"), 300.0);
        assert_eq!(outcome.number("ids"), requests * per_request);
        assert_eq!(outcome.number("distinct"), requests * per_request);
        for name in ["errors", "duplicates", "order_violations", "foreign_ids", "lost"] {
            assert_eq!(outcome.number(name), 0.0, "{name}");
        }
        assert_eq!(outcome.report["target"], server.target);
        assert_eq!(outcome.report["mode"], "open");
        assert_eq!(outcome.report["lanes"].as_array().unwrap().len(), 0);
        for name in ["latency_us", "latency_uncorrected_us"] {
            assert!(outcome.number(&format!("{name}.p50")) > 0.0);
        }
    }
}

#[test]
fn the_closed_loop_keeps_as_many_out_as_the_server_allows() {
    let server = start(None, honest);
    // One connection: the replies to all that is out at the end have to come soon after it.
    let flags = "--rate max --duration 1s --connections 1 --pipeline 1024 --count 4096 --verify";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(0);
    assert_eq!(outcome.report["mode"], "closed");
    assert!(outcome.number("requests") > 100.0);
    assert_eq!(outcome.number("ids"), outcome.number("requests") * 4096.0);
    assert_eq!(outcome.number("errors"), 0.0);
    assert_eq!(outcome.number("order_violations"), 0.0);
}

#[test]
fn refusals_are_counted_by_code_or_by_status() {
    let server = start(None, |number, count| match number % 5 {
        0 => Err(Status::unavailable("WINDOW_EXHAUSTED: the reserved window is used up")),
        1 => Err(Status::unavailable("try later")),
        2 => Ok(vec![-1; count as usize]),
        3 => honest(number, count + 1),
        _ => honest(number, count),
    });
    // There is room for all 100 at once, so they leave however late the machine is.
    let flags = "--rate 500 --duration 200ms --connections 1 --count 3 --pipeline 100 --verify";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(0);
    for name in ["WINDOW_EXHAUSTED", "grpc_unavailable", "invalid_reply", "wrong_count"] {
        assert_eq!(outcome.number(&format!("errors_by_code.{name}")), 20.0, "{name}");
    }
    assert_eq!(outcome.number("requests"), 20.0);
    assert_eq!(outcome.number("distinct"), 20.0 * 3.0 + 20.0 * 4.0);
}

#[test]
fn nothing_but_refusals_fails() {
    let server = start(None, |_, _| Err(Status::unavailable("STARTING: no window yet")));
    let outcome = loadgen(&server.target, "--rate 100 --duration 100ms --connections 1");
    outcome.assert_code(1);
    assert_eq!(outcome.number("errors_by_code.STARTING"), 10.0);
}

#[test]
fn every_duplicate_is_counted() {
    let server = start(None, |number, count| match number {
        100..105 => honest(number - 50, count),
        _ => honest(number, count),
    });
    // As above: 75 requests on each connection.
    let flags = "--rate 1000 --duration 300ms --connections 4 --count 2 --pipeline 75 --verify";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("duplicates"), 10.0);
}

#[test]
fn order_is_broken_only_where_there_is_one() {
    // Pairs of requests are answered with the IDs the other way round. One by one, that breaks the
    // order of every pair.
    let swapped = |number: u64, count| honest(number ^ 1, count);
    let server = start(None, swapped);
    let flags = "--rate 200 --duration 2s --connections 1 --pipeline 1";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(1);
    // The last one may be the first of a pair.
    let violations = (outcome.number("requests") / 2.0).floor();
    assert_eq!(outcome.number("order_violations"), violations);

    // Two that are out together have no order: both leave at once, and nothing comes back before
    // the time is over. When the machine is late, two others follow.
    let server = start(None, move |number, count| {
        if number == 0 {
            stall(Duration::from_millis(200));
        }
        swapped(number, count)
    });
    let flags = "--rate 100000000 --duration 1ms --connections 1 --pipeline 2";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(0);
    assert!(outcome.number("requests") >= 2.0);
    assert_eq!(outcome.number("order_violations"), 0.0);
}

#[test]
fn ids_inside_a_reply_must_ascend() {
    let server = start(None, |number, count| {
        let mut ids = honest(number, count)?;
        if number == 5 {
            ids.swap(0, 2);
        }
        Ok(ids)
    });
    let flags = "--rate 100 --duration 100ms --connections 1 --count 3 --pipeline 8";
    let outcome = loadgen(&server.target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("order_violations"), 2.0);
}

#[test]
fn a_server_that_goes_away_ends_the_run() {
    let stop = Arc::new(Mutex::new(None::<Sender<()>>));
    let inner = Arc::clone(&stop);
    let server = start(None, move |number, count| {
        if number == 50
            && let Some(stop) = inner.lock().unwrap().take()
        {
            stop.send(()).unwrap();
        }
        honest(number, count)
    });
    *stop.lock().unwrap() = Some(server.stop);
    let outcome = loadgen(&server.target, "--rate 1000 --duration 30s --connections 2");
    outcome.assert_code(1);
    assert!(outcome.number("seconds") < 20.0);
    assert_eq!(outcome.number("errors_by_code.connection_closed"), 2.0);
    let answered = outcome.number("requests") + outcome.number("lost");
    assert_eq!(answered, outcome.number("attempted"));
}

#[test]
fn what_speaks_no_grpc_is_unreachable() {
    // A server that speaks HTTP/1.1, and one that closes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("grpc://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let bytes = rest_peer::reply(400, "what?");
            std::io::Write::write_all(&mut stream.unwrap(), &bytes).unwrap();
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closing = format!("grpc://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().for_each(drop));
    for target in [http, closing] {
        let outcome = loadgen(&target, "--duration 100ms");
        outcome.assert_code(69);
        assert!(outcome.stderr.contains(&target), "{}", outcome.stderr);
    }
}

#[test]
fn the_token_travels_with_every_request() {
    let file = TempFile::new("loadgen-grpc-token");
    let path = file.path().display();
    let flags = format!("--rate 100 --duration 100ms --connections 1 --token-file {path}");
    for (token, code) in [("sesame", 0), ("wrong", 69)] {
        file.write(token);
        let server = start(Some("sesame"), honest);
        let outcome = loadgen(&server.target, &flags);
        outcome.assert_code(code);
        assert_eq!(outcome.stderr.contains("UNAUTHENTICATED"), code != 0, "{}", outcome.stderr);
    }
}
