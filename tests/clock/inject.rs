//! The disk fails, or takes its time, under a server that serves.

use std::fs;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, StoreState};

use crate::common::{Server, frames, pause, until};
use crate::faked::{health, ms};
use crate::load::{Journal, Load, SINGLES};
use crate::strace::Traced;
use crate::trace::{self, Findings};

const WINDOW_MS: u32 = 3_000;

/// A store that fails for good. The keeper's first two calls are those of its claim.
fn fails_for_good(name: &str, inject: &str) -> Findings {
    let place = Traced::new(name);
    let server = place.start(WINDOW_MS, &[inject]);
    let start = Instant::now();
    let load = Load::start(server.tcp, SINGLES);
    let broken = until("the store is broken", || {
        let health = health(&server);
        (health.store == StoreState::Broken).then(Instant::now)
    });
    let health = health(&server);
    assert!(health.window_left_ms > 1_000, "it goes on to the end of the window: {health:?}");
    println!("broken {:?} after the start, {} ms left", broken - start, health.window_left_ms);
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
    let first = refused[0].at - broken;
    assert!(first > ms(1_000) && first < ms(2_500), "it served for {first:?} more");

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
    pause(ms(300));
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
    pause(Duration::from_millis(7_500));
    let recovered = health(&server);
    assert_eq!(recovered.store, StoreState::Good, "{recovered:?}");
    let journal = load.finish();
    journal.assert_refused_for(ErrorCode::WindowExhausted);
    let [first, last] = journal.refused_between(start).unwrap();
    println!("refused from {first:?} to {last:?} behind the start");
    assert!(first > ms(2_500) && first < ms(3_300), "{first:?}");
    assert!(last > ms(5_000) && last < ms(7_000), "{last:?}");
    for (what, from, to) in [("before", 200, 900), ("during", 1_300, 2_500)] {
        let share = |share| journal.took(start + ms(from), start + ms(to), share);
        println!(
            "{what}: half below {:?}, 99 % below {:?}, all below {:?}",
            share(0.5),
            { share(0.99) },
            share(1.0)
        );
        assert!(share(1.0) < ms(1_000), "{what}: {:?}", share(1.0));
    }
    assert!(journal.answers.last().unwrap().at > start + ms(7_400), "it serves again");
    frames::assert_disjoint(journal.runs);
    server.stop();
    let findings = trace::read(&place.text());
    println!("{} replies, {} violations", findings.replies, findings.violations.len());
    assert_eq!((findings.violations, findings.failures), (Vec::new(), 0));
}
