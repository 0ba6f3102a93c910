//! The clock jumps far ahead while IDs are issued.

use std::time::{Duration, Instant};

use coreflake_protocol::ServingState;

use crate::common::{frames, pause, until};
use crate::faked::{Place, TEN_YEARS_MS, WINDOW_MS, health, log_of, ms, true_ms};
use crate::load::{BATCHES, Load};

/// How long a jump may disturb: the clock is looked at every 50 ms, and a machine is busy.
const MOMENT: Duration = Duration::from_secs(1);

/// Answers that show how it goes.
const ANSWERS: u64 = 50;

/// Ahead by so much for so long, and right again. The bound in the record never gets farther ahead
/// of the true time than it may.
fn jump(name: &str, jump_ms: i64, duration: Duration) {
    let place = Place::new(name);
    let server = place.start(&[]);
    let load = Load::start(server.tcp, BATCHES);
    load.wait_for_answers(ANSWERS);
    place.set_ms(jump_ms);
    let jumped = Instant::now();
    let mut ahead_ms_max = i64::MIN;
    while jumped.elapsed() < duration {
        pause(ms(10));
        let bound_ms = i64::try_from(place.bound_ms()).unwrap();
        ahead_ms_max = ahead_ms_max.max(bound_ms - true_ms());
    }
    println!("+{jump_ms} ms: the bound was {ahead_ms_max} ms ahead of the true time at most");
    assert!(ahead_ms_max <= WINDOW_MS + 1_000, "the bound: {ahead_ms_max} ms ahead");
    let suspect = until("HEALTH says that the clock is suspect", || {
        let health = health(&server);
        health.clock_suspect.then_some(health)
    });
    assert_eq!(suspect.state, ServingState::Serving, "{suspect:?}");

    let back = Instant::now();
    place.set_ms(0);
    let recovered = until("HEALTH says that the clock is back", || {
        let health = health(&server);
        (!health.clock_suspect && health.clock_steps >= 2).then_some(health)
    });
    assert_eq!(recovered.clock_steps, 2, "{recovered:?}");
    pause(MOMENT + ms(200));
    load.wait_for_answers(ANSWERS);
    let journal = load.finish();
    println!("refused: {} times, {:?}", journal.refusals.len(), journal.refused_between(jumped));
    for refused in &journal.refusals {
        assert!(refused.code.is_retryable() && refused.retry_after_ms > 0, "{refused:?}");
        // When it was asked for: how long the answer was on its way is up to the machine.
        let since = |start: Instant| refused.asked.saturating_duration_since(start);
        let moment = since(jumped) < MOMENT || (refused.at > back && since(back) < MOMENT);
        assert!(moment, "{refused:?}: {:?} behind the jump", since(jumped));
    }
    for answer in &journal.answers {
        let ahead_ms = *answer.ahead_ms().start();
        assert!(ahead_ms < 200, "IDs are {ahead_ms} ms ahead: {answer:?}");
    }
    frames::assert_disjoint(journal.runs);
    let log = log_of(server);
    let says = |text: &str| log.iter().any(|line| line["message"].as_str() == Some(text));
    assert!(says("the clock is back"), "{log:#?}");
    let jumped = "the clock jumped ahead; until that is confirmed, time goes on as before";
    let line = log.iter().find(|line| line["message"] == jumped).expect("the jump in the log");
    let by_ms = line["by_us"].as_i64().unwrap() / 1_000;
    assert!((by_ms - jump_ms).abs() < 5, "{by_ms} ms was logged");
}

#[test]
fn ten_years_ahead_for_a_while_leaves_no_trace() {
    jump("jump-years", TEN_YEARS_MS, Duration::from_secs(5));
}

/// A jump that ends within the reserved window, so that nothing stands in the way of IDs with the
/// new time until the clock is looked at.
#[test]
fn two_seconds_ahead_for_a_while_leave_no_trace() {
    jump("jump-seconds", 2_000, Duration::from_secs(3));
}
