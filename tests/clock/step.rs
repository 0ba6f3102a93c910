//! The clock is set back, or a little ahead, while IDs are issued.

use std::time::Instant;

use coreflake_protocol::{ErrorCode, ServingState};

use crate::common::{Peer, frames, pause, until};
use crate::faked::{HOUR_MS, Place, TEN_YEARS_MS, assert_steps, health, log_of, ms, true_ms};
use crate::load::{BATCHES, Journal, Load, ms_of};

/// The time in an ID that is made now, compared with the true time.
#[track_caller]
fn ahead_ms(peer: &mut Peer) -> i64 {
    let before = true_ms();
    let stamp = ms_of(peer.generate(1)[0]);
    let after = true_ms();
    let middle = before.midpoint(after);
    println!("an ID shows {} ms ahead, read within {} ms", stamp - middle, after - before);
    stamp - middle
}

/// What the other tests stand on: the wall clock of a server moves, its boot clock does not. Had
/// both moved, no step would have been seen.
#[test]
fn only_the_wall_clock_of_a_server_is_set() {
    let place = Place::new("only-wall");
    let server = place.start(&[]);
    let mut peer = Peer::connect(server.tcp);
    for set_ms in [0, 400, 0, 250] {
        place.set_ms(set_ms);
        // What lies ahead of the clock has to pass first.
        pause(ms(600));
        let ahead_ms = ahead_ms(&mut peer);
        assert!((ahead_ms - set_ms).abs() < 100, "{ahead_ms} ms ahead, not {set_ms} ms");
    }
    assert_eq!(health(&server).clock_steps, 3);
    assert_steps(&log_of(server), &[400, -400, 250]);
}

/// Sets the clock in the midst of requests.
fn set_under_load(place: &Place, server: &crate::common::Server, to_ms: i64) -> (Instant, Journal) {
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(200));
    let set = Instant::now();
    place.set_ms(to_ms);
    pause(ms(400));
    (set, load.finish())
}

#[test]
fn up_to_4_ms_back_is_waited_out() {
    let place = Place::new("wait-out");
    let server = place.start(&["--shards", "2"]);
    let (mut runs, mut set_ms) = (Vec::new(), 0);
    for step_ms in 1..=4 {
        set_ms -= step_ms;
        let (set, journal) = set_under_load(&place, &server, set_ms);
        journal.assert_no_refusals();
        let (before, after) = (journal.took(set - ms(200), set, 1.0), set + ms(400));
        let took = journal.took(set, after, 1.0);
        println!("-{step_ms} ms: a request took {took:?} at most, {before:?} before");
        assert!(took < ms(1_000), "{took:?}");
        runs.extend(journal.runs);
    }
    let health = health(&server);
    println!("{health:?}");
    assert_eq!(health.state, ServingState::Serving);
    assert!(health.clock_steps >= 3, "a step of 1 ms may pass unseen: {health:?}");
    frames::assert_disjoint(runs);
    log_of(server);
}

#[test]
fn less_than_a_second_back_goes_on_at_full_rate() {
    let place = Place::new("hold");
    let server = place.start(&[]);
    let (mut runs, mut set_ms) = (Vec::new(), 0);
    let steps = [-5, -60, -500, -998];
    for step_ms in steps {
        set_ms += step_ms;
        let regressions = health(&server).clock_regressions;
        let (set, journal) = set_under_load(&place, &server, set_ms);
        journal.assert_no_refusals();
        let behind = journal.answers.iter().filter(|answer| answer.at > set).count();
        let ids = u32::try_from(behind).unwrap() * BATCHES.count;
        println!("{step_ms} ms: {ids} IDs in 400 ms, longest {:?}", {
            journal.took(set, set + ms(400), 1.0)
        });
        assert!(ids > 40_000, "{ids} IDs in 400 ms");
        assert!(health(&server).clock_regressions > regressions, "{step_ms} ms was not counted");
        runs.extend(journal.runs);
        // The clock gets past what was issued.
        pause(ms(step_ms.unsigned_abs() + 50));
    }
    let health = health(&server);
    assert_eq!(health.state, ServingState::Serving);
    assert_eq!(health.clock_steps, steps.len() as u64);
    frames::assert_disjoint(runs);
    assert_steps(&log_of(server), &steps);
}

#[test]
fn a_second_and_a_half_back_is_refused_until_it_has_passed() {
    let place = Place::new("one-and-a-half");
    let server = place.start(&[]);
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(200));
    let set = Instant::now();
    place.set_ms(-1_500);
    pause(ms(200));
    let refusing = health(&server);
    assert_eq!(refusing.state, ServingState::Refusing(ErrorCode::ClockRegression.wire()));
    pause(ms(1_500));
    let journal = load.finish();
    journal.assert_refused_for(ErrorCode::ClockRegression);
    let [first, last] = journal.refused_between(set).unwrap();
    println!("refused from {first:?} to {last:?} behind the step");
    assert!(first < ms(50) && last > ms(400) && last < ms(1_000), "{first:?} to {last:?}");
    assert!(journal.answers.last().unwrap().at > set + ms(1_500), "it serves again");
    frames::assert_disjoint(journal.runs);
    assert_eq!(health(&server).state, ServingState::Serving);
    assert_steps(&log_of(server), &[-1_500]);
}

/// Back by so much, and after a second right again.
fn back_and_right_again(name: &str, back_ms: i64) {
    let place = Place::new(name);
    let server = place.start(&[]);
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(200));
    let set = Instant::now();
    place.set_ms(-back_ms);
    pause(ms(600));
    let refusing = health(&server);
    assert_eq!(refusing.state, ServingState::Refusing(ErrorCode::ClockRegression.wire()));
    assert_eq!(refusing.clock_steps, 1);
    let journal = load.finish();
    journal.assert_refused_for(ErrorCode::ClockRegression);
    let [first, _] = journal.refused_between(set).unwrap();
    println!("-{back_ms} ms: refused {first:?} behind the step: {:?}", journal.refusals[0]);
    assert!(first < ms(50), "{first:?}");

    let mut runs = journal.runs;
    place.set_ms(0);
    let right = Instant::now();
    // Until the clock is looked at, everything is believed.
    pause(ms(200));
    until("it serves when the clock is right again", || {
        (health(&server).state == ServingState::Serving).then_some(())
    });
    println!("served {:?} after the clock was right", right.elapsed());
    assert!(right.elapsed() < ms(1_000), "{:?}", right.elapsed());
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(300));
    let journal = load.finish();
    journal.assert_no_refusals();
    let wrong_ms = journal.last_ms() - true_ms();
    assert!(wrong_ms.abs() < 200, "IDs show the time {wrong_ms} ms off");
    runs.extend(journal.runs);
    frames::assert_disjoint(runs);
    let health = health(&server);
    assert!(!health.clock_suspect, "a clock that is right again: {health:?}");
    let log = log_of(server);
    assert_steps(&log, &[-back_ms, back_ms]);
}

#[test]
fn an_hour_back_is_refused_until_the_clock_is_right() {
    back_and_right_again("hour", HOUR_MS);
}

#[test]
fn ten_years_back_is_refused_until_the_clock_is_right() {
    back_and_right_again("ten-years", TEN_YEARS_MS);
}

/// The same below the second that is refused: what counts is that IDs show the right time again.
#[test]
fn after_less_than_a_second_back_the_right_time_is_believed() {
    let place = Place::new("back-and-forth");
    let server = place.start(&[]);
    let mut peer = Peer::connect(server.tcp);
    peer.generate(1);
    for set_ms in [-900, 0] {
        place.set_ms(set_ms);
        pause(ms(1_100));
        let ahead_ms = ahead_ms(&mut peer);
        assert!((ahead_ms - set_ms).abs() < 150, "{ahead_ms} ms ahead, not {set_ms} ms");
    }
    assert!(!health(&server).clock_suspect);
    assert_steps(&log_of(server), &[-900, 900]);
}

#[test]
fn less_than_half_a_second_ahead_is_accepted() {
    let place = Place::new("ahead");
    let server = place.start(&["--shards", "2"]);
    let (set, journal) = set_under_load(&place, &server, 400);
    journal.assert_no_refusals();
    println!("+400 ms: longest {:?}", journal.took(set, set + ms(400), 1.0));
    let ahead_ms = journal.last_ms() - true_ms();
    assert!((250..=410).contains(&ahead_ms), "{ahead_ms} ms ahead");
    frames::assert_disjoint(journal.runs);
    let health = health(&server);
    assert!(!health.clock_suspect && health.clock_steps == 1, "{health:?}");
    assert_steps(&log_of(server), &[400]);
}
