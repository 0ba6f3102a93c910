//! Starts with a clock that is wrong.

use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response, ServingState};

use crate::common::frames::{self, HEALTH, generate};
use crate::common::{Peer, Server, feed, free_port, pause, until};
use crate::faked::{Place, TEN_YEARS_MS, assert_steps, health, kill, log_of, ms, true_ms};
use crate::load::{BATCHES, Load};

/// How long a server may wait that has to wait for four seconds: less than for half a minute.
const WAIT_MAX: Duration = Duration::from_secs(12);

/// Answers that show how it goes.
const ANSWERS: u64 = 50;

/// A server is killed under load while its clock goes back, and started again. `meanwhile` is done
/// when it is seen to wait; soon after that it has to serve. `steps_ms` are those that the second
/// server has to notice.
fn killed_while_the_clock_goes_back(
    name: &str,
    back_ms: i64,
    steps_ms: &[i64],
    meanwhile: impl FnOnce(&Place),
) {
    let place = Place::new(name);
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let args = ["--listen", listen.as_str()];
    // The slot was made a while ago: a clock before that is refused at once.
    place.set_ms(-600_000);
    log_of(place.start(&args));
    place.set_ms(0);
    let server = place.start(&args);
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(1_500));
    load.wait_for_answers(ANSWERS);
    place.set_ms(-back_ms);
    kill(server);
    let mut runs = load.finish().runs;
    assert!(frames::id_count(&runs) > 10_000);

    let command = place.command(&args);
    let starting = thread::spawn(move || Server::launch(command));
    let mut peer = connect(port);
    peer.ask(&generate(5, 1)).assert_error(ErrorCode::Starting, 5);
    let reply = peer.ask(&generate(6, 1));
    assert!(reply.error().unwrap().retry_after_ms > 0, "{reply:?}");
    let health_now = peer.ask(&frames::frame(HEALTH, 7, &[]));
    let Response::Health(waiting) = health_now.response() else { panic!("{health_now:?}") };
    assert_eq!(waiting.state, ServingState::Refusing(ErrorCode::Starting.wire()));
    meanwhile(&place);
    let start = Instant::now();
    let server = starting.join().expect("it serves at last").expect("it does not end");
    println!("back by {back_ms} ms: it served after {:?}", start.elapsed());
    assert!(start.elapsed() < WAIT_MAX, "{:?}", start.elapsed());
    let load = Load::start(server.tcp, BATCHES);
    pause(ms(500));
    load.wait_for_answers(ANSWERS);
    let second = load.finish();
    second.assert_no_refusals();
    runs.extend(second.runs);
    frames::assert_disjoint(runs);
    let steps = steps_ms.len() as u64;
    let served = until("the steps are seen", || {
        let health = health(&server);
        (health.clock_steps >= steps).then_some(health)
    });
    assert_eq!(served.state, ServingState::Serving);
    let log = log_of(server);
    assert_steps(&log, steps_ms);
    assert_eq!(served.clock_steps, steps);
}

/// Connects as soon as somebody listens.
fn connect(port: u16) -> Peer {
    until("somebody listens", || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(Peer::over(stream))
    })
}

#[test]
fn six_seconds_back_and_killed_waits_until_they_have_passed() {
    killed_while_the_clock_goes_back("killed-6", 6_000, &[], |_| {});
}

#[test]
fn half_a_minute_back_and_killed_waits_until_the_clock_is_right() {
    killed_while_the_clock_goes_back("killed-30", 30_000, &[30_000], |place| place.set_ms(0));
}

/// Checks that a start at this time is refused, with a text that says so.
#[track_caller]
fn assert_refused(place: &Place, ahead_ms: i64, word: &str) {
    place.set_ms(ahead_ms);
    let finished = feed(&mut place.command(&[]), b"");
    finished.assert_code(78).assert_says(&[word, "clock"]);
    assert!(finished.stdout.is_empty(), "{finished:?}");
    println!("{}", finished.stderr.trim());
}

const YEAR_2060_MS: i64 = 2_840_140_800_000;

#[test]
fn a_clock_that_cannot_be_right_is_refused_and_says_why() {
    let place = Place::new("implausible");
    // The slot is in use, and its clock was right so far.
    log_of(place.start(&[]));
    let bound_ms = place.bound_ms();
    assert_refused(&place, -true_ms() + 1_000, "the clock says");
    assert_refused(&place, -TEN_YEARS_MS, "the clock says");
    assert_refused(&place, -TEN_YEARS_MS / 5, "before this release");
    assert_refused(&place, YEAR_2060_MS - true_ms(), "20 years after");
    assert_refused(&place, 40 * 24 * 3_600_000, "--accept-clock");
    assert_eq!(place.bound_ms(), bound_ms, "who is refused writes nothing");
    place.set_ms(0);
    let server = place.start(&[]);
    Peer::connect(server.tcp).generate(1);
    log_of(server);
}

/// The very first start of a slot with such a clock must not make a record that is of no use when
/// the clock is right.
#[test]
fn a_first_start_in_2060_does_not_spoil_the_slot() {
    let place = Place::new("first-start");
    assert_refused(&place, YEAR_2060_MS - true_ms(), "20 years after");
    place.set_ms(0);
    let server = place.start(&[]);
    Peer::connect(server.tcp).generate(1);
    log_of(server);
}
