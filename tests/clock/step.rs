//! The clock is set back, or a little ahead, while IDs are issued.
//!
//! What a server did is told by its IDs: by the time in them, and by the true time when they were
//! asked for and when they came. How long anybody had to wait for anything tells of the machine.

use core::ops::RangeInclusive;
use std::time::Instant;

use coreflake_protocol::{ErrorCode, ServingState};

use crate::common::{Peer, Server, frames, pause, until};
use crate::faked::{HOUR_MS, Place, TEN_YEARS_MS, assert_steps, health, log_of, ms, true_ms};
use crate::load::{Answer, BATCHES, Journal, Load, ms_of};

/// How far the time in an ID may be from all that the clock showed while it was made.
const OFF_MS_MAX: i64 = 50;

/// Answers that show how it goes.
const ANSWERS: u64 = 50;

const REFUSING: ServingState = ServingState::Refusing(ErrorCode::ClockRegression.wire());

/// How far the time in an ID that is made now is ahead of the true time, at least and at most.
#[track_caller]
fn ahead_ms(peer: &mut Peer) -> RangeInclusive<i64> {
    let before = true_ms();
    let stamp = ms_of(peer.generate(1)[0]);
    let after = true_ms();
    println!("an ID shows {} ms ahead, read within {} ms", stamp - after, after - before);
    stamp - after..=stamp - before
}

/// Checks that an ID can have been made by a clock that is so far ahead.
#[track_caller]
fn assert_ahead(ahead_ms: &RangeInclusive<i64>, expected_ms: i64) {
    let possible_ms = ahead_ms.start() - OFF_MS_MAX..=ahead_ms.end() + OFF_MS_MAX;
    assert!(possible_ms.contains(&expected_ms), "{ahead_ms:?} ms ahead, not {expected_ms} ms");
}

/// Waits until the server has seen so many steps of its clock: two that it sees at once are one.
#[track_caller]
fn wait_for_steps(server: &Server, steps: u64) {
    until("the step is seen", || (health(server).clock_steps >= steps).then_some(()));
}

/// The moment in which a clock was set.
#[derive(Clone, Copy)]
struct Moment {
    begin: Instant,
    end: Instant,
}

impl Moment {
    /// Sets the clock.
    fn of(place: &Place, to_ms: i64) -> Self {
        let begin = Instant::now();
        place.set_ms(to_ms);
        Self { begin, end: Instant::now() }
    }

    /// The latest time in an ID that was made before.
    fn last_ms(self, journal: &Journal) -> i64 {
        let before = journal.answers.iter().filter(|answer| answer.at < self.begin);
        before.map(|answer| answer.stamp_ms).max().expect("IDs before")
    }

    /// The answers to what was asked behind it.
    fn answers(self, journal: &Journal) -> impl Iterator<Item = &Answer> {
        journal.answers.iter().filter(move |answer| answer.asked > self.end)
    }
}

/// What the other tests stand on: the wall clock of a server moves, its boot clock does not. Had
/// both moved, no step would have been seen.
#[test]
fn only_the_wall_clock_of_a_server_is_set() {
    let place = Place::new("only-wall");
    let server = place.start(&[]);
    let mut peer = Peer::connect(server.tcp);
    for (steps, set_ms) in (0..).zip([0, 400, 0, 250]) {
        place.set_ms(set_ms);
        wait_for_steps(&server, steps);
        // What lies ahead of the clock has to pass first.
        pause(ms(600));
        assert_ahead(&ahead_ms(&mut peer), set_ms);
    }
    assert_eq!(health(&server).clock_steps, 3);
    assert_steps(&log_of(server), &[400, -400, 250]);
}

/// Sets the clock in the midst of requests.
fn set_under_load(place: &Place, server: &Server, to_ms: i64) -> (Moment, Journal) {
    let load = Load::start(server.tcp, BATCHES);
    load.wait_for_answers(ANSWERS);
    let set = Moment::of(place, to_ms);
    pause(ms(400));
    load.wait_for_answers(ANSWERS);
    (set, load.finish())
}

#[test]
fn up_to_4_ms_back_is_waited_out() {
    let place = Place::new("wait-out");
    let server = place.start(&["--shards", "2"]);
    let (mut runs, mut set_ms) = (Vec::new(), 0);
    for step_ms in 1..=4 {
        let steps = health(&server).clock_steps;
        set_ms -= step_ms;
        let (set, journal) = set_under_load(&place, &server, set_ms);
        journal.assert_no_refusals();
        let took = journal.took(|answer| answer.asked > set.end, 1.0);
        println!("-{step_ms} ms: a request took {took:?} at most");
        assert!(took.is_some_and(|took| took < ms(5_000)), "{took:?} for {step_ms} ms");
        // Who waits for the clock gives no ID that is ahead of it.
        for answer in set.answers(&journal) {
            let least_ms = *answer.ahead_ms().start();
            assert!(least_ms <= set_ms + 1, "{least_ms} ms ahead, not {set_ms}: {answer:?}");
        }
        // A step of 1 ms may pass unseen.
        wait_for_steps(&server, steps + u64::from(step_ms > 1));
        runs.extend(journal.runs);
    }
    let health = health(&server);
    println!("{health:?}");
    assert_eq!(health.state, ServingState::Serving);
    frames::assert_disjoint(runs);
    log_of(server);
}

/// A step that passes while a machine looks away is made again, so often at most.
const TRIES_MAX: u32 = 8;

#[test]
fn less_than_a_second_back_goes_on_at_full_rate() {
    let place = Place::new("hold");
    let server = place.start(&[]);
    let (mut runs, mut steps, mut set_ms) = (Vec::new(), Vec::new(), 0);
    for step_ms in [-5_i64, -60, -500, -998] {
        let gone_on = (0..TRIES_MAX).any(|_| {
            set_ms += step_ms;
            steps.push(step_ms);
            let regressions = health(&server).clock_regressions;
            let (set, journal) = set_under_load(&place, &server, set_ms);
            journal.assert_no_refusals();
            // Whoever waits for the clock gives nothing until it shows this time again.
            let last_ms = set.last_ms(&journal);
            let early = set.answers(&journal).filter(|it| it.true_ms + set_ms < last_ms).count();
            let ids = u32::try_from(early).unwrap() * BATCHES.count;
            let took = journal.took(|answer| answer.asked > set.end, 1.0);
            println!("{step_ms} ms: {ids} IDs before the clock was back, longest {took:?}");
            wait_for_steps(&server, steps.len() as u64);
            let counted = health(&server).clock_regressions > regressions;
            runs.extend(journal.runs);
            // The clock gets past what was issued.
            pause(ms(step_ms.unsigned_abs() + 50));
            // The shortest is over before an answer is read. A twentieth of what there is to have.
            counted && (step_ms == -5 || i64::from(ids) > -200 * step_ms)
        });
        assert!(gone_on, "{step_ms} ms: not counted, or no IDs until the clock was back");
    }
    let health = health(&server);
    assert_eq!(health.state, ServingState::Serving);
    assert_eq!(health.clock_steps, steps.len() as u64);
    frames::assert_disjoint(runs);
    assert_steps(&log_of(server), &steps);
}

#[test]
fn six_seconds_back_are_refused_until_all_but_one_have_passed() {
    const BACK_MS: i64 = 6_000;
    let place = Place::new("six-seconds");
    let server = place.start(&[]);
    let load = Load::start(server.tcp, BATCHES);
    load.wait_for_answers(ANSWERS);
    let set = Moment::of(&place, -BACK_MS);
    until("HEALTH says so", || (health(&server).state == REFUSING).then_some(()));
    until("it serves", || (health(&server).state == ServingState::Serving).then_some(()));
    load.wait_for_answers(ANSWERS);
    let journal = load.finish();
    journal.assert_refused_for(ErrorCode::ClockRegression);
    let [first, last] = journal.refused_between(set.begin).unwrap();
    println!("refused from {first:?} to {last:?} behind the step");
    let last_ms = set.last_ms(&journal);
    for answer in set.answers(&journal) {
        let behind_ms = last_ms - (answer.true_ms - BACK_MS);
        assert!(behind_ms < 1_000, "served with the clock {behind_ms} ms behind: {answer:?}");
    }
    // Nothing can have been issued that is later than the moment of the step.
    let near = set.end + ms(5_010);
    let late = journal.refusals.iter().find(|refused| refused.asked > near);
    assert!(late.is_none(), "refused though less than a second was left: {late:?}");
    frames::assert_disjoint(journal.runs);
    wait_for_steps(&server, 1);
    assert_eq!(health(&server).state, ServingState::Serving);
    assert_steps(&log_of(server), &[-BACK_MS]);
}

/// Back by so much, and after a while right again.
fn back_and_right_again(name: &str, back_ms: i64) {
    let place = Place::new(name);
    let server = place.start(&[]);
    let load = Load::start(server.tcp, BATCHES);
    load.wait_for_answers(ANSWERS);
    let set = Moment::of(&place, -back_ms);
    load.wait_for_refusals(ANSWERS);
    pause(ms(400));
    wait_for_steps(&server, 1);
    let refusing = health(&server);
    assert_eq!((refusing.state, refusing.clock_steps), (REFUSING, 1));
    let journal = load.finish();
    journal.assert_refused_for(ErrorCode::ClockRegression);
    let [first, _] = journal.refused_between(set.begin).unwrap();
    println!("-{back_ms} ms: refused {first:?} behind the step: {:?}", journal.refusals[0]);
    let served = set.answers(&journal).next();
    assert!(served.is_none(), "served with the clock {back_ms} ms behind: {served:?}");

    let mut runs = journal.runs;
    place.set_ms(0);
    let right = Instant::now();
    // Until the clock is looked at, everything is believed.
    wait_for_steps(&server, 2);
    // A jump that is doubted is doubted for a minute.
    until("it serves when the clock is right again", || {
        (health(&server).state == ServingState::Serving).then_some(())
    });
    println!("served {:?} after the clock was right", right.elapsed());
    let load = Load::start(server.tcp, BATCHES);
    load.wait_for_answers(ANSWERS);
    let journal = load.finish();
    journal.assert_no_refusals();
    journal.answers.iter().for_each(|answer| assert_ahead(&answer.ahead_ms(), 0));
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
    for (steps, set_ms) in (1..).zip([-900, 0]) {
        place.set_ms(set_ms);
        wait_for_steps(&server, steps);
        // The clock gets past what was issued.
        pause(ms(1_100));
        assert_ahead(&ahead_ms(&mut peer), set_ms);
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
    println!("+400 ms: longest {:?}", journal.took(|answer| answer.asked > set.end, 1.0));
    set.answers(&journal).for_each(|answer| assert_ahead(&answer.ahead_ms(), 400));
    frames::assert_disjoint(journal.runs);
    wait_for_steps(&server, 1);
    let health = health(&server);
    assert!(!health.clock_suspect && health.clock_steps == 1, "{health:?}");
    assert_steps(&log_of(server), &[400]);
}
