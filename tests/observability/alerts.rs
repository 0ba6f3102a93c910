//! The alerts, fired by what they are for. One Prometheus watches all servers at the same time,
//! because most alerts look at a whole minute.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{Server, free_port, pause, until};
use crate::fake::{Fake, Manner};
use crate::faked::{Place, health};
use crate::greed::Greed;
use crate::prometheus::{Firing, Prometheus};

/// How long all of this may take: the minute of the alerts, twice.
const PATIENCE: Duration = Duration::from_secs(150);

/// A server whose clock is compared with a time server that lies.
struct Compared {
    time: Fake,
    server: Server,
}

impl Compared {
    fn start(offset_ms: i64) -> Self {
        let time = Fake::ahead_ms(offset_ms);
        let server = Server::start(&["--ntp-server", &time.name(), "--ntp-interval-ms", "200"]);
        Self { time, server }
    }
}

/// A server on an HTTP port that it can have again.
fn start_at(http: SocketAddr) -> Server {
    let mut command = Server::command(&[]);
    command.env("COREFLAKE_HTTP", http.to_string());
    Server::launch(command).unwrap_or_else(|ended| panic!("not ready: {ended:?}"))
}

/// What fires, seen from the beginning.
struct Watch {
    prometheus: Prometheus,
    start: Instant,
    /// Everything that ever fired.
    seen: BTreeSet<Firing>,
}

impl Watch {
    /// Looks every 200 ms, until it is so with what fires.
    #[track_caller]
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&BTreeSet<Firing>) -> bool) {
        loop {
            let firing = self.prometheus.firing();
            for alert in firing.difference(&self.seen) {
                println!("{:5.1} s: {alert:?}", self.start.elapsed().as_secs_f64());
            }
            self.seen.extend(firing.iter().cloned());
            if is_so(&firing) {
                println!("{:5.1} s: {what}", self.start.elapsed().as_secs_f64());
                return;
            }
            assert!(self.start.elapsed() < PATIENCE, "{what}: not in time; there is {firing:?}");
            pause(Duration::from_millis(200));
        }
    }
}

/// How often a server finds that its clock has gone back: more often than the alert stands for.
const REGRESSIONS: u64 = 14;
/// How often and how far the clock goes back. A step is longer than what is waited out, and over
/// before the next; on a busy machine it may be over before a lane has looked.
const STEPS_MAX: i64 = 100;
const STEP_MS: i64 = 20;

/// Sets the clock back until the server has found it so often enough; gives the number of steps.
#[track_caller]
fn regress(place: &Place, server: &Server) -> u64 {
    let _load = Greed::start(server.tcp, 1, 1, Duration::from_millis(2));
    for step in 0..STEPS_MAX {
        place.set_ms(-step * STEP_MS);
        pause(Duration::from_millis(200));
        if health(server).clock_regressions >= REGRESSIONS {
            return step.unsigned_abs();
        }
    }
    panic!("{STEPS_MAX} steps and not so many regressions");
}

#[test]
fn alerts_fire_when_their_condition_is_real_and_end_with_it() {
    let quiet = Server::start(&[]);
    let drifting = Compared::start(300);
    let refusing = Compared::start(5_000);
    let place = Place::new("alerts");
    let regressing = place.start(&[]);
    let overflowing = Server::start(&[]);
    let slow = Server::start(&[]);
    let stopped_http = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let stopped = start_at(stopped_http);

    let servers = [&quiet, &drifting.server, &refusing.server, &regressing, &overflowing, &slow];
    let https = servers.map(Server::http);
    let targets: Vec<_> = https.into_iter().chain([stopped_http]).collect();
    let alert = |name: &str, http: SocketAddr| (name.to_owned(), http);
    let at_once = BTreeSet::from([
        alert("HighClockDrift", drifting.server.http()),
        alert("HighClockDrift", refusing.server.http()),
        alert("ClockRegression", regressing.http()),
        alert("SequenceOverflow", overflowing.http()),
        alert("SequenceOverflow", slow.http()),
        alert("HighLatency", slow.http()),
    ]);
    let not_ready = BTreeSet::from([
        alert("NotReady", refusing.server.http()),
        alert("NotReady", stopped_http),
    ]);

    let prometheus = Prometheus::start("alerts", &targets);
    until("all servers are scraped", || (prometheus.query("sum(up)") == [7.0]).then_some(()));
    let mut watch = Watch { prometheus, start: Instant::now(), seen: BTreeSet::new() };
    stopped.stop();
    // One connection uses up every tick; forty wait for each other.
    let whole = Greed::start(overflowing.tcp, 1, 4_096, Duration::ZERO);
    let crowd = Greed::start(slow.tcp, 40, 4_096, Duration::ZERO);
    let steps = regress(&place, &regressing);
    watch.until("what needs no time fires", |firing| at_once.is_subset(firing));
    drop((whole, crowd));
    drifting.time.set(Manner::default());

    watch.until("what needs time fires", |firing| not_ready.is_subset(firing));
    refusing.time.set(Manner::default());
    let restarted = start_at(stopped_http);
    watch.until("nothing fires any more", BTreeSet::is_empty);

    let expected: BTreeSet<_> = at_once.union(&not_ready).cloned().collect();
    // On a busy machine one connection may wait as well.
    for busy in [&overflowing, &regressing] {
        watch.seen.remove(&alert("HighLatency", busy.http()));
    }
    assert_eq!(watch.seen, expected, "nothing else has fired");
    for server in [quiet, drifting.server, refusing.server, overflowing, slow, restarted] {
        server.stop();
    }
    let counted = regressing.stop().get("clock_regressions");
    let once = REGRESSIONS..=steps;
    assert!(once.contains(&counted), "{counted} of {steps}: each step counts once");
}
