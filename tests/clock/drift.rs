//! What time servers say, and what follows from it.

use std::time::Instant;

use coreflake_protocol::{ClockState, ErrorCode, Health, ServingState};

use crate::common::frames::generate;
use crate::common::{Peer, Server, pause, until};
use crate::fake::{Fake, Manner};
use crate::faked::{health, ms};

/// A server and the three time servers that it asks.
struct Watched {
    server: Server,
    time: [Fake; 3],
}

impl Watched {
    fn start() -> Self {
        let time = [0; 3].map(Fake::ahead_ms);
        let names = time.each_ref().map(Fake::name).join(",");
        let args = ["--ntp-server", names.as_str(), "--ntp-interval-ms", "100"];
        Self { server: Server::start(&args), time }
    }

    fn tell(&self, offsets_ms: [i64; 3]) {
        for (fake, offset_ms) in self.time.iter().zip(offsets_ms) {
            fake.set(Manner { offset_ms, ..Manner::default() });
        }
    }

    #[track_caller]
    fn wait_for(&self, clock: ClockState) -> Health {
        self.wait_until(&format!("{clock:?}"), |health| health.clock == clock)
    }

    /// Waits until HEALTH says so, and draws the consequences, which come a moment later.
    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn(&Health) -> bool) -> Health {
        let start = Instant::now();
        let health = until(what, || {
            let health = health(&self.server);
            let state = match health.clock {
                ClockState::Refusing => ServingState::Refusing(ErrorCode::ClockDrift.wire()),
                _ => ServingState::Serving,
            };
            (is_so(&health) && health.state == state).then_some(health)
        });
        println!("{what} after {:?}, {} us", start.elapsed(), health.clock_offset_us);
        health
    }

    #[track_caller]
    fn assert_serving(&self, health: &Health) {
        assert_eq!(health.state, ServingState::Serving);
        Peer::connect(self.server.tcp).generate(100);
    }

    /// Lets some rounds pass, and looks at HEALTH all the while.
    fn rounds(&self, count: u32, mut look: impl FnMut(&Health)) {
        let asked = self.time[0].requests();
        until("rounds", || {
            look(&health(&self.server));
            (self.time[0].requests() >= asked + count).then_some(())
        });
    }
}

#[test]
fn good_alert_refuse_and_good_again() {
    let watched = Watched::start();
    let health_now = watched.wait_for(ClockState::Good);
    watched.assert_serving(&health_now);

    // Far from both thresholds: who is late by half a second measures a quarter too much.
    watched.tell([400; 3]);
    let alert = watched.wait_until("an alert at 400 ms", |health| {
        health.clock == ClockState::Alert && (health.clock_offset_us - 400_000).abs() < 40_000
    });
    watched.assert_serving(&alert);

    let rounds = watched.time[0].requests();
    watched.tell([1_500; 3]);
    let refusing = watched.wait_for(ClockState::Refusing);
    let rounds = watched.time[0].requests() - rounds;
    assert!(rounds >= 3, "{rounds} rounds");
    assert_eq!(refusing.state, ServingState::Refusing(ErrorCode::ClockDrift.wire()));
    let reply = Peer::connect(watched.server.tcp).ask(&generate(9, 10));
    reply.assert_error(ErrorCode::ClockDrift, 9);
    assert!(reply.error().unwrap().retry_after_ms > 0, "{reply:?}");

    watched.tell([0; 3]);
    let good = watched.wait_for(ClockState::Good);
    watched.assert_serving(&good);
    watched.server.stop();
}

#[test]
fn one_liar_of_three_changes_nothing() {
    let watched = Watched::start();
    watched.wait_for(ClockState::Good);
    for lie_ms in [1_500, -86_400_000] {
        watched.tell([0, lie_ms, 0]);
        watched.rounds(6, |health| assert_ne!(health.clock, ClockState::Refusing, "{health:?}"));
        let health = watched.wait_for(ClockState::Good);
        watched.assert_serving(&health);
    }
    watched.server.stop();
}

#[test]
fn silence_is_unknown_and_no_reason_to_refuse() {
    let watched = Watched::start();
    watched.wait_for(ClockState::Good);
    for fake in &watched.time {
        fake.set(Manner { size: 0, ..Manner::default() });
    }
    let unknown = watched.wait_until("nobody says", |health| {
        health.clock == ClockState::Unknown && health.clock_offset_us == 0
    });
    watched.assert_serving(&unknown);
    // Two that speak again are enough.
    for fake in &watched.time[1..] {
        fake.set(Manner::default());
    }
    watched.wait_for(ClockState::Good);
    pause(ms(100));
    watched.server.stop();
}
