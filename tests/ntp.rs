//! The monitor of clock drift against time servers that are right, wrong, hostile and silent, and
//! against a real one.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "ntp/chronyd.rs"]
mod chronyd;
#[path = "ntp/fake.rs"]
mod fake;

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chronyd::Chronyd;
use coreflake::kernel_clock::KernelClock;
use coreflake::ntp::{NoAnswer, NtpMonitor, Round};
use coreflake_engine::drift::DriftState;
use fake::{Fake, Manner};

const INTERVAL: Duration = Duration::from_millis(50);

/// How long anything may take that takes no time on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far a measured offset may be from the one that was set.
const TOLERANCE_US: i64 = 40_000;

/// A monitor at work, on a runtime as the server's control plane has it.
struct Watch {
    rounds: mpsc::Receiver<Round>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Watch {
    fn new(servers: &[String]) -> Self {
        let names = servers.iter().map(|name| name.parse().unwrap()).collect();
        let monitor = NtpMonitor::new(names, INTERVAL).unwrap();
        let (sender, rounds) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    () = monitor.run(|round| drop(sender.send(round))) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { rounds, _stop: stop }
    }

    fn of(fakes: &[&Fake]) -> Self {
        Self::new(&fakes.iter().map(|fake| fake.name()).collect::<Vec<_>>())
    }

    fn next(&self) -> Round {
        self.rounds.recv_timeout(PATIENCE).unwrap()
    }

    fn states(&self, rounds: usize) -> Vec<&'static str> {
        (0..rounds).map(|_| self.next().state.name()).collect()
    }

    /// The first round that is so.
    fn until(&self, what: &str, mut is_so: impl FnMut(&Round) -> bool) -> Round {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let round = self.next();
            if is_so(&round) {
                return round;
            }
        }
        panic!("{what}: not within {PATIENCE:?}");
    }
}

/// The answer of the only server in the next round.
fn only(watch: &Watch) -> Result<i64, NoAnswer> {
    let mut servers = watch.next().servers;
    assert_eq!(servers.len(), 1);
    servers.remove(0).1
}

#[track_caller]
fn assert_offset(round: &Round, offset_ms: i64) {
    let offset_us = round.state.offset_us().unwrap();
    assert!((offset_us - offset_ms * 1_000).abs() < TOLERANCE_US, "{round:?}");
}

#[test]
fn offsets_of_50_and_150_ms_are_good_and_an_alert() {
    for sign in [1, -1] {
        let fakes = [50, 50, 50].map(|ms| Fake::ahead_ms(sign * ms));
        let watch = Watch::of(&fakes.each_ref());
        let round = watch.next();
        assert!(matches!(round.state, DriftState::Good { .. }), "{round:?}");
        assert_eq!(round.confirms_clock(), Some(true));
        assert_offset(&round, sign * 50);

        for fake in &fakes {
            fake.set(Manner { offset_ms: sign * 150, ..Manner::default() });
        }
        let round = watch.until("an alert", |round| round.state.name() == "alert");
        assert!(!round.state.refuses() && round.state.alerts());
        watch.until("150 ms", |round| round.offsets_us().iter().all(|us| us.abs() > 110_000));
        for _ in 0..5 {
            let round = watch.next();
            assert_eq!(round.state.name(), "alert", "{round:?}");
            assert_offset(&round, sign * 150);
        }
    }
}

#[test]
fn three_rounds_beyond_a_second_refuse_and_one_within_ends_it() {
    let fakes = [1_500, 1_500, 1_500].map(Fake::ahead_ms);
    let watch = Watch::of(&fakes.each_ref());
    assert_eq!(watch.states(4), ["alert", "alert", "refuse", "refuse"]);
    let round = watch.next();
    assert_offset(&round, 1_500);
    assert_eq!(round.confirms_clock(), Some(false));

    for fake in &fakes {
        fake.set(Manner { offset_ms: 700, ..Manner::default() });
    }
    let round = watch.until("700 ms", |round| round.offsets_us().iter().all(|us| *us < 1_000_000));
    assert_eq!(round.state.name(), "alert");

    for fake in &fakes {
        fake.set(Manner::default());
    }
    watch.until("a good clock", |round| round.state.name() == "good");
}

#[test]
fn one_liar_of_three_is_ignored() {
    let day_ms = 86_400_000;
    for lie in [day_ms, -day_ms] {
        let fakes = [10, lie, -10].map(Fake::ahead_ms);
        let watch = Watch::of(&fakes.each_ref());
        for _ in 0..5 {
            let round = watch.next();
            assert_eq!(round.state.name(), "good", "{round:?}");
            assert_eq!(round.offsets_us().len(), 3);
            assert_eq!(round.confirms_clock(), Some(true));
        }
    }
}

#[test]
fn one_liar_of_two_alerts_and_does_not_refuse() {
    let fakes = [0, 5_000].map(Fake::ahead_ms);
    assert_eq!(Watch::of(&fakes.each_ref()).states(5), ["alert"; 5]);
}

#[test]
fn the_only_server_decides_alone_and_of_three_one_is_not_enough() {
    let fake = Fake::ahead_ms(0);
    assert_eq!(Watch::of(&[&fake]).states(2), ["good"; 2]);
    let away = [Closed::new(), Closed::new()];
    let fake = Fake::ahead_ms(5_000);
    let watch = Watch::new(&[fake.name(), away[0].name(), away[1].name()]);
    assert_eq!(watch.states(5), ["unknown"; 5]);
}

#[test]
fn no_answer_is_unknown_and_never_a_refusal() {
    let silent = Manner { size: 0, ..Manner::default() };
    let fakes = [(); 3].map(|()| Fake::new(silent.clone()));
    let watch = Watch::of(&fakes.each_ref());
    for _ in 0..2 {
        let start = Instant::now();
        let round = watch.next();
        assert_eq!(round.state, DriftState::Unknown);
        assert!(round.state.alerts() && !round.state.refuses());
        assert_eq!(round.confirms_clock(), None);
        assert!(round.servers.iter().all(|(_, answer)| *answer == Err(NoAnswer::Silent)));
        // All at once: not three timeouts.
        assert!(start.elapsed() < Duration::from_millis(2_500), "{:?}", start.elapsed());
    }
}

#[test]
fn silence_keeps_a_refusal_for_three_rounds() {
    let fake = Fake::ahead_ms(1_500);
    let name = fake.name();
    let watch = Watch::new(&[name]);
    watch.until("a refusal", |round| round.state.refuses());
    drop(fake);
    let silent = watch.until("silence", |round| round.offsets_us().is_empty());
    assert!(silent.state.refuses());
    assert_offset(&silent, 1_500);
    assert_eq!(watch.states(4), ["refuse", "refuse", "unknown", "unknown"]);
}

#[test]
fn nobody_there_and_no_such_name_are_told() {
    let closed = Closed::new();
    let answer = only(&Watch::new(&[closed.name()]));
    assert!(matches!(answer, Err(NoAnswer::Unreachable(_))), "{answer:?}");
    // The name is reserved for not existing.
    let answer = only(&Watch::new(&["time.invalid".to_owned()]));
    assert!(matches!(answer, Err(NoAnswer::Unresolved(_))), "{answer:?}");
    // Names are looked up, addresses are not the only way.
    let fake = Fake::ahead_ms(0);
    let port = fake.name().split_once(':').unwrap().1.to_owned();
    let round = Watch::new(&[format!("localhost:{port}")]).next();
    let (name, answer) = &round.servers[0];
    assert_eq!(name.to_string(), format!("localhost:{port}"));
    assert!(answer.is_ok(), "{answer:?}");
}

#[test]
fn a_kiss_of_death_is_obeyed() {
    let kiss = Manner { stratum: 0, leap: 3, reference: *b"RATE", ..Manner::default() };
    let fakes = [Fake::new(kiss), Fake::ahead_ms(0), Fake::ahead_ms(0)];
    let watch = Watch::of(&fakes.each_ref());
    let round = watch.next();
    assert_eq!(round.servers[0].1, Err(NoAnswer::Kiss("RATE".to_owned())));
    assert_eq!(round.state.name(), "good");
    for _ in 0..10 {
        let round = watch.next();
        assert_eq!(round.servers[0].1, Err(NoAnswer::Resting));
        assert_eq!(round.state.name(), "good");
    }
    assert_eq!(fakes[0].requests(), 1);
    assert!(fakes[1].requests() >= 11);
}

#[test]
fn what_does_not_answer_the_question_is_dropped_and_the_answer_still_heard() {
    let forged_kiss = {
        let mut forged = vec![0; 48];
        forged[0] = 0xe4;
        forged[12..16].copy_from_slice(b"DENY");
        forged
    };
    for before in [forged_kiss, vec![0xff; 48], vec![0x24; 47], vec![1], vec![0x55; 500]] {
        let fake = Fake::new(Manner { before: Some(before.clone()), ..Manner::default() });
        let watch = Watch::of(&[&fake]);
        for _ in 0..3 {
            let round = watch.next();
            assert_eq!(round.state.name(), "good", "{before:x?}: {round:?}");
        }
    }
}

#[test]
fn what_is_no_valid_answer_is_not_used() {
    let ok = Manner::default;
    let invalid = NoAnswer::Invalid;
    let kiss = |code: &str| NoAnswer::Kiss(code.to_owned());
    let cases = [
        (Manner { wrong_origin: true, ..ok() }, NoAnswer::NotOurs("wrong origin timestamp")),
        (Manner { size: 47, ..ok() }, NoAnswer::NotOurs("packet too short")),
        (Manner { size: 1, ..ok() }, NoAnswer::NotOurs("packet too short")),
        (Manner { stratum: 0, reference: *b"DENY", ..ok() }, kiss("DENY")),
        (Manner { stratum: 0, reference: *b"\x1b[2\n", ..ok() }, kiss("[2")),
        (Manner { stratum: 16, ..ok() }, invalid("stratum above 15")),
        (Manner { stratum: 255, ..ok() }, invalid("stratum above 15")),
        (Manner { leap: 3, ..ok() }, invalid("its clock is not synchronised")),
        (Manner { mode: 3, ..ok() }, invalid("wrong mode")),
        (Manner { mode: 5, ..ok() }, invalid("wrong mode")),
        (Manner { version: 0, ..ok() }, invalid("wrong version")),
        (Manner { version: 5, ..ok() }, invalid("wrong version")),
        (Manner { no_transmit_time: true, ..ok() }, invalid("no transmit timestamp")),
    ];
    // Each takes a second at most: side by side.
    let watches: Vec<_> = cases
        .into_iter()
        .map(|(manner, reason)| {
            let fake = Fake::new(manner.clone());
            (Watch::of(&[&fake]), fake, manner, reason)
        })
        .collect();
    for (watch, _fake, manner, reason) in &watches {
        let round = watch.next();
        assert_eq!(round.state, DriftState::Unknown, "{manner:?}");
        assert_eq!(round.servers[0].1.as_ref(), Err(reason), "{manner:?}");
    }
}

#[test]
fn a_server_that_is_too_far_away_is_not_used() {
    let ok = Manner::default;
    let slow = Duration::from_millis(600);
    for manner in [
        Manner { delay: slow, ..ok() },
        Manner { root_ms: [1_100, 0], ..ok() },
        Manner { root_ms: [0, 600], ..ok() },
    ] {
        let fake = Fake::new(manner.clone());
        let answer = only(&Watch::of(&[&fake]));
        assert!(matches!(answer, Err(NoAnswer::TooFar { .. })), "{manner:?}: {answer:?}");
    }
    let fake = Fake::new(Manner { root_ms: [600, 150], leap: 1, stratum: 15, version: 3, ..ok() });
    assert!(only(&Watch::of(&[&fake])).is_ok());
}

#[test]
fn without_servers_only_the_kernel_speaks() {
    let round = Watch::new(&[]).next();
    assert_eq!((round.state, round.servers.len()), (DriftState::Unknown, 0));
    assert_eq!(round.kernel.name(), KernelClock::read().name());
}

#[test]
fn changes_are_logged_once_and_name_server_and_offset() {
    // For all threads and once: what is said to a subscriber of one thread depends on what the
    // tests beside this one did before.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_target(false);
    subscriber.with_writer(|| Lines).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (fakes, closed) = ([0, 0].map(Fake::ahead_ms), Closed::new());
    let names = [fakes[0].name(), fakes[1].name(), closed.name()];
    let parsed = names.iter().map(|name| name.parse().unwrap()).collect();
    let mut monitor = NtpMonitor::new(parsed, INTERVAL).unwrap();
    let mut rounds = |count| {
        for _ in 0..count {
            runtime.block_on(monitor.round());
        }
        Lines::take()
    };

    let said = rounds(5);
    assert_eq!(said.len(), 4, "a line per server and one for the state: {said:#?}");
    assert!(said.iter().any(|line| line.contains("WARN") && line.contains(&names[2])));
    assert!(said[3].contains("INFO the clock is good") && said[3].contains("offset_us="));
    assert!(names.iter().all(|name| said[3].contains(name)), "{said:#?}");

    for fake in &fakes {
        fake.set(Manner { offset_ms: -2_000, ..Manner::default() });
    }
    let said = rounds(5);
    assert_eq!(said.len(), 2, "alert and refusal: {said:#?}");
    assert!(said[0].contains("WARN") && said[0].contains("smear"), "{said:#?}");
    assert!(said[1].contains("ERROR") && said[1].contains("offset_us=-"), "{said:#?}");

    for fake in &fakes {
        fake.set(Manner { size: 47, ..Manner::default() });
    }
    let said = rounds(1);
    assert_eq!(said.len(), 2, "a line per server, the state is kept: {said:#?}");
    assert!(said.iter().all(|line| line.contains("packet too short")), "{said:#?}");
}

#[test]
fn a_real_chronyd_agrees_with_the_clock() {
    let chronyd = Chronyd::start();
    let watch = Watch::new(&[chronyd.name()]);
    let start = Instant::now();
    let round = loop {
        let round = watch.next();
        if !round.offsets_us().is_empty() {
            break round;
        }
        assert!(start.elapsed() < PATIENCE, "{round:?}\n{}", chronyd.log());
    };
    assert!(matches!(round.state, DriftState::Good { .. }), "{round:?}");
    assert!(round.offsets_us()[0].abs() < 50_000, "{round:?}");
}

/// A port of this machine that stays taken and where nobody listens: the socket hears only itself.
struct Closed(UdpSocket);

impl Closed {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        Self(socket)
    }

    fn name(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

/// Log lines as text: those of the thread that asks.
struct Lines;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Lines {
    fn take() -> Vec<String> {
        let bytes = LINES.take();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
