//! The disk fails, or takes its time, under a server that serves.

use std::fs;
use std::time::Instant;

use coreflake_protocol::{ErrorCode, ServingState, StoreState};
use rustix::process::Signal;

use crate::common::{Server, frames, until};
use crate::faked::{first_bound_ms, health, ms};
use crate::load::{Journal, Load, SINGLES};
use crate::strace::Traced;
use crate::trace::{self, Findings};

const WINDOW_MS: u32 = 3_000;

/// How far before its end a window is to be extended: when a third of it is used.
const EXTENSION_MS: i64 = 2_000;

/// Answers that show how it goes.
const ANSWERS: u64 = 20;

/// The last millisecond of the window that a server began with.
fn window_end_ms(log: &[String]) -> i64 {
    first_bound_ms(log).try_into().unwrap()
}

/// A store that fails for good. The keeper's first two calls are those of its claim.
fn fails_for_good(name: &str, inject: &str) -> Findings {
    let place = Traced::new(name);
    let server = place.start(WINDOW_MS, &[inject]);
    let start = Instant::now();
    let load = Load::start(server.tcp, SINGLES);
    until("the store is broken", || (health(&server).store == StoreState::Broken).then_some(()));
    println!("broken {:?} after the start", start.elapsed());
    let ended = server.wait();
    println!("ended {:?} after the start: {}", start.elapsed(), ended.log.last().unwrap());
    ended.assert_no_panic();
    assert_eq!(ended.status.code(), Some(69), "{ended:#?}");
    let says = |text: &str| ended.log.iter().any(|line| line.contains(text));
    assert!(says("no further window can be reserved"), "{ended:#?}");

    let journal = load.finish();
    assert_eq!(journal.closed, SINGLES.connections);
    let exhausted = |it: &&crate::load::Refused| it.code == ErrorCode::WindowExhausted;
    let refused: Vec<_> = journal.refusals.iter().filter(exhausted).collect();
    assert!(!refused.is_empty(), "{:?}", journal.refusals.last());
    assert!(refused.iter().all(|it| it.retry_after_ms > 0));
    let draining = journal.refusals.iter().filter(|it| it.code == ErrorCode::Draining).count();
    assert_eq!(refused.len() + draining, journal.refusals.len(), "{:?}", journal.refusals);
    let end_ms = window_end_ms(&ended.log);
    let early = journal.refusals.iter().find(|it| it.true_ms <= end_ms);
    assert!(early.is_none(), "refused though the window ends at {end_ms}: {early:?}");
    let left_ms = end_ms - journal.last_ms();
    println!("the last ID is {left_ms} ms before the end of the window");
    // The store failed two seconds before.
    assert!((0..EXTENSION_MS - 500).contains(&left_ms), "it goes on to the end of the window");

    let findings = trace::read(&place.text());
    println!("{} replies, {} violations", findings.replies, findings.violations.len());
    assert_eq!(findings.violations, []);
    assert_eq!(findings.failures, 1);
    assert!(findings.after_failure.is_empty(), "tried again: {findings:?}");
    serves_anew(&place, journal);
    findings
}

/// The next start serves, and gives nothing that was given before.
fn serves_anew(place: &Traced, before: Journal) {
    let server = Server::launch(place.command(WINDOW_MS)).expect("a new start is all it takes");
    let load = Load::start(server.tcp, SINGLES);
    load.wait_for_answers(ANSWERS);
    let after = load.finish();
    after.assert_no_refusals();
    let first = after.runs.iter().map(|run| run.first()).min().unwrap();
    let last = before.runs.iter().map(|run| run.last()).max().unwrap();
    assert!(first > last, "{first} comes behind {last}");
    frames::assert_disjoint([before.runs, after.runs].concat());
    server.stop();
    let _ = fs::remove_dir_all(place.state());
}

#[test]
fn a_flush_that_fails_ends_the_server_behind_its_window() {
    fails_for_good("eio", "fdatasync:error=EIO:when=3+");
}

/// Only one flush fails: the next one would succeed, and must not be tried.
#[test]
fn a_flush_that_fails_once_is_not_tried_again() {
    fails_for_good("eio-once", "fdatasync:error=EIO:when=3");
}

/// The second copy: the first one holds the new bound already, which must not be used.
#[test]
fn a_flush_of_the_second_copy_that_fails_ends_the_server_as_well() {
    fails_for_good("eio-second", "fdatasync:error=EIO:when=4");
}

#[test]
fn a_write_without_space_ends_the_server_behind_its_window() {
    fails_for_good("enospc", "pwrite64:error=ENOSPC:when=3+");
}

#[test]
fn a_slow_flush_holds_up_nobody_while_the_window_lasts() {
    let place = Traced::new("slow");
    let server = place.start(WINDOW_MS, &["fdatasync:delay_enter=5000000:when=3"]);
    let start = Instant::now();
    let load = Load::start(server.tcp, SINGLES);
    let exhausted = ServingState::Refusing(ErrorCode::WindowExhausted.wire());
    until("the window is used up", || (health(&server).state == exhausted).then_some(()));
    until("it serves again", || {
        let health = health(&server);
        let serves = health.state == ServingState::Serving && health.store == StoreState::Good;
        serves.then_some(())
    });
    load.wait_for_answers(ANSWERS);
    let journal = load.finish();
    server.signal(Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();

    journal.assert_refused_for(ErrorCode::WindowExhausted);
    let [first, last] = journal.refused_between(start).unwrap();
    println!("refused from {first:?} to {last:?} behind the start");
    let end_ms = window_end_ms(&ended.log);
    let early = journal.refusals.iter().find(|it| it.true_ms <= end_ms);
    assert!(early.is_none(), "refused though the window ends at {end_ms}: {early:?}");
    // The flush begins where the window is to be extended, and takes five seconds.
    let durable_ms = end_ms - EXTENSION_MS + 5_000;
    let mut ahead = journal.answers.iter().filter(|it| it.stamp_ms > end_ms);
    let ahead = ahead.find(|it| it.true_ms < durable_ms - 100);
    assert!(ahead.is_none(), "served before {durable_ms}: {ahead:?}");

    let flush_ms = end_ms - EXTENSION_MS;
    let (before, during) = (0..flush_ms, flush_ms + 100..end_ms);
    for (what, span) in [("before", &before), ("during", &during)] {
        let [half, most, all] =
            [0.5, 0.99, 1.0].map(|share| journal.took(|it| span.contains(&it.true_ms), share));
        println!("{what}: half below {half:?}, 99 % below {most:?}, all below {all:?}");
    }
    // Whoever waited for the flush had no answer until the window was over, three seconds ago.
    let took = |share| journal.took(|it| during.contains(&it.true_ms), share);
    let (half, all) = (took(0.5).expect("answers during the flush"), took(1.0).unwrap());
    assert!(half < ms(1_000) && all < ms(2_500), "{half:?}, {all:?}");
    frames::assert_disjoint(journal.runs);
    let findings = trace::read(&place.text());
    println!("{} replies, {} violations", findings.replies, findings.violations.len());
    assert_eq!((findings.violations, findings.failures), (Vec::new(), 0));
}
