//! The alerts, fired by what they are for. One Prometheus watches all servers at the same time,
//! because most alerts look at a whole minute.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{Server, free_port, pause, until};
use crate::fake::{Fake, Manner};
use crate::faked::Place;
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

/// How often the clock of a server goes back, and how far. A step is longer than what is waited
/// out, and over before the next.
const STEPS: i64 = 14;
const STEP_MS: i64 = 20;

/// Sets the clock back again and again.
fn regress(place: &Place, server: &Server) {
    let _load = Greed::start(server.tcp, 1, 1, Duration::from_millis(2));
    for step in 1..=STEPS {
        pause(Duration::from_millis(200));
        place.set_ms(-step * STEP_MS);
    }
    pause(Duration::from_millis(200));
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
    regress(&place, &regressing);
    watch.until("what needs no time fires", |firing| at_once.is_subset(firing));
    drop((whole, crowd));
    drifting.time.set(Manner::default());

    watch.until("what needs time fires", |firing| not_ready.is_subset(firing));
    refusing.time.set(Manner::default());
    let restarted = start_at(stopped_http);
    watch.until("nothing fires any more", BTreeSet::is_empty);

    // On a busy machine one connection may wait as well.
    let busy = alert("HighLatency", overflowing.http());
    let expected: BTreeSet<_> = at_once.union(&not_ready).cloned().collect();
    watch.seen.remove(&busy);
    assert_eq!(watch.seen, expected, "nothing else has fired");
    for server in [quiet, drifting.server, refusing.server, overflowing, slow, restarted] {
        server.stop();
    }
    let counted = regressing.stop().get("clock_regressions");
    assert!((11..=STEPS.unsigned_abs()).contains(&counted), "{counted}: each step counts once");
}
