//! The monitor of clock drift against time servers that are right, wrong, hostile and silent, and
//! against a real one.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "ntp/chronyd.rs"]
mod chronyd;
#[path = "ntp/fake.rs"]
mod fake;
#[path = "integration/common/port.rs"]
mod port;

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem::{Discriminant, discriminant};
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

/// How far a measured offset may be from the one that was set. On a busy machine a round may bring
/// a worse one, or none: tests wait for a good one, and say what must not come before.
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
        let (start, mut last) = (Instant::now(), None);
        while start.elapsed() < PATIENCE {
            let round = self.next();
            if is_so(&round) {
                return round;
            }
            last = Some(round);
        }
        panic!("{what}: not within {PATIENCE:?}: {last:?}");
    }

    /// The next round in which each server has given its time.
    fn full(&self) -> Round {
        self.until("a time from each", |round| round.servers.iter().all(|(_, it)| it.is_ok()))
    }
}

/// The answer of the only server.
fn only(round: &Round) -> &Result<i64, NoAnswer> {
    assert_eq!(round.servers.len(), 1);
    &round.servers[0].1
}

fn is_good(round: &Round) -> bool {
    round.state.name() == "good"
}

/// Whether a round shows this offset.
fn shows(round: &Round, offset_ms: i64) -> bool {
    let offset_us = round.state.offset_us();
    offset_us.is_some_and(|us| (us - offset_ms * 1_000).abs() < TOLERANCE_US)
}

#[test]
fn offsets_of_50_and_400_ms_are_good_and_an_alert() {
    for sign in [1, -1] {
        let fakes = [50, 50, 50].map(|ms| Fake::ahead_ms(sign * ms));
        let watch = Watch::of(&fakes.each_ref());
        let round = watch.until("50 ms", |round| shows(round, sign * 50));
        assert!(matches!(round.state, DriftState::Good { .. }), "{round:?}");
        assert_eq!(round.confirms_clock(), Some(true));

        for fake in &fakes {
            fake.set(Manner { offset_ms: sign * 400, ..Manner::default() });
        }
        for _ in 0..5 {
            let round = watch.until("400 ms", |round| {
                assert!(!round.state.refuses(), "{round:?}");
                shows(round, sign * 400)
            });
            assert_eq!(round.state.name(), "alert", "{round:?}");
        }
    }
}

#[test]
fn three_rounds_beyond_a_second_refuse_and_one_within_ends_it() {
    let fakes = [1_500, 1_500, 1_500].map(Fake::ahead_ms);
    let watch = Watch::of(&fakes.each_ref());
    let mut beyond = 0;
    watch.until("a refusal", |round| {
        // Too few answers, and it begins anew.
        beyond = if round.offsets_us().len() < 2 { 0 } else { beyond + 1 };
        assert_eq!(round.state.refuses(), beyond >= 3, "{beyond} in a row: {round:?}");
        assert!(round.state.alerts(), "{round:?}");
        round.state.refuses()
    });
    watch.until("the clock is denied", |round| {
        round.state.refuses() && shows(round, 1_500) && round.confirms_clock() == Some(false)
    });

    for fake in &fakes {
        fake.set(Manner { offset_ms: 700, ..Manner::default() });
    }
    let round = watch.until("700 ms", |round| {
        let offsets_us = round.offsets_us();
        let within = offsets_us.len() >= 2 && offsets_us.iter().all(|us| *us < 1_000_000);
        assert!(!(within && round.state.refuses()), "{round:?}");
        within && shows(round, 700)
    });
    assert_eq!(round.state.name(), "alert");

    for fake in &fakes {
        fake.set(Manner::default());
    }
    watch.until("a good clock", is_good);
}

#[test]
fn one_liar_of_three_is_ignored() {
    let day_ms = 86_400_000;
    for lie in [day_ms, -day_ms] {
        let fakes = [10, lie, -10].map(Fake::ahead_ms);
        let watch = Watch::of(&fakes.each_ref());
        for _ in 0..5 {
            let round = watch.full();
            // Answers that took longer than half a second do not count.
            let offset_us = round.state.offset_us().unwrap();
            assert!(offset_us.abs() < 10_000 + 250_000 + TOLERANCE_US, "{round:?}");
            assert_eq!(round.confirms_clock(), Some(true));
            assert_eq!(is_good(&round), offset_us.abs() <= 100_000, "{round:?}");
        }
        watch.until("a good clock", |round| is_good(round) && round.offsets_us().len() == 3);
    }
}

#[test]
fn one_liar_of_two_alerts_and_does_not_refuse() {
    let fakes = [0, 5_000].map(Fake::ahead_ms);
    let watch = Watch::of(&fakes.each_ref());
    assert_eq!([(); 5].map(|()| watch.full().state.name()), ["alert"; 5]);
}

#[test]
fn the_only_server_decides_alone_and_of_three_one_is_not_enough() {
    let fake = Fake::ahead_ms(0);
    Watch::of(&[&fake]).until("a good clock", is_good);
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
    let silence = |round: &Round| {
        assert_eq!(round.state, DriftState::Unknown);
        assert!(round.state.alerts() && !round.state.refuses());
        assert_eq!(round.confirms_clock(), None);
        round.servers.iter().all(|(_, answer)| *answer == Err(NoAnswer::Silent))
    };
    let began = [(); 3].map(|()| watch.until("silence", silence).started);
    // All at once: not three timeouts of a second.
    let took = began.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(took < Some(Duration::from_millis(2_500)), "{took:?}");
}

#[test]
fn silence_keeps_a_refusal_for_three_rounds() {
    let fake = Fake::ahead_ms(1_500);
    let watch = Watch::of(&[&fake]);
    let mut known_us = watch.until("a refusal", |round| round.state.refuses()).state.offset_us();
    fake.vanish();
    let mut silent = 0;
    watch.until("five rounds of silence", |round| {
        match round.offsets_us().first() {
            Some(offset_us) => (silent, known_us) = (0, Some(*offset_us)),
            None => silent += 1,
        }
        assert_eq!(round.state.refuses(), silent <= 3, "{silent} rounds of silence: {round:?}");
        assert_eq!(round.state.offset_us(), known_us.filter(|_| silent <= 3));
        silent == 5
    });
}

#[test]
fn nobody_there_and_no_such_name_are_told() {
    let closed = Closed::new();
    let unreachable = |round: &Round| matches!(only(round), Err(NoAnswer::Unreachable(_)));
    Watch::new(&[closed.name()]).until("nobody", unreachable);
    // The name is reserved for not existing.
    let unresolved = |round: &Round| matches!(only(round), Err(NoAnswer::Unresolved(_)));
    Watch::new(&["time.invalid".to_owned()]).until("no such name", unresolved);
    // Names are looked up, addresses are not the only way.
    let fake = Fake::ahead_ms(0);
    let port = fake.name().split_once(':').unwrap().1.to_owned();
    let round = Watch::new(&[format!("localhost:{port}")]).full();
    assert_eq!(round.servers[0].0.to_string(), format!("localhost:{port}"));
}

#[test]
fn a_kiss_of_death_is_obeyed() {
    let kiss = Manner { stratum: 0, leap: 3, reference: *b"RATE", ..Manner::default() };
    let fakes = [Fake::new(kiss), Fake::ahead_ms(0), Fake::ahead_ms(0)];
    let watch = Watch::of(&fakes.each_ref());
    let kissed = Err(NoAnswer::Kiss("RATE".to_owned()));
    watch.until("a kiss", |round| round.servers[0].1 == kissed);
    let asked = fakes[0].requests();
    for _ in 0..10 {
        assert_eq!(watch.next().servers[0].1, Err(NoAnswer::Resting));
    }
    watch.until("a good clock", is_good);
    assert_eq!(fakes[0].requests(), asked);
    watch.until("ten rounds and more", |_| fakes[1].requests() >= 11);
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
            watch.until(&format!("an answer behind {before:x?}"), is_good);
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
        watch.until(&format!("{reason} from {manner:?}"), |round| {
            assert_eq!(round.state, DriftState::Unknown, "{manner:?}");
            only(round).as_ref() == Err(reason)
        });
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
        Watch::of(&[&fake]).until(&format!("too far: {manner:?}"), |round| {
            assert!(only(round).is_err(), "{manner:?}: {round:?}");
            matches!(only(round), Err(NoAnswer::TooFar { .. }))
        });
    }
    let fake = Fake::new(Manner { root_ms: [600, 150], leap: 1, stratum: 15, version: 3, ..ok() });
    Watch::of(&[&fake]).full();
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
    let mut before = None;
    // So many at least, up to one that is so.
    let mut rounds = |count: u32, is_so: &dyn Fn(&Round) -> bool| {
        let (start, mut changes) = (Instant::now(), 0);
        for number in 1.. {
            let round = runtime.block_on(monitor.round());
            changes += changes_since(before.as_ref(), &round);
            let enough = number >= count && is_so(&round);
            before = Some(round);
            if enough {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{before:?}");
        }
        let said = Lines::take();
        assert_eq!(said.len(), changes, "a line for each change: {said:#?}");
        said
    };
    let line = |said: &[String], words: [&str; 2]| {
        let found = said.iter().find(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("{words:?} is not said: {said:#?}")).clone()
    };

    let said = rounds(5, &is_good);
    line(&said, ["WARN", &names[2]]);
    let good = line(&said, ["INFO the clock is good", "offset_us="]);
    assert!(names.iter().all(|name| good.contains(name)), "{said:#?}");

    for fake in &fakes {
        fake.set(Manner { offset_ms: -2_000, ..Manner::default() });
    }
    let said = rounds(5, &|round: &Round| round.state.refuses());
    line(&said, ["WARN", "smear"]);
    line(&said, ["ERROR", "offset_us=-"]);

    for fake in &fakes {
        fake.set(Manner { size: 47, ..Manner::default() });
    }
    let too_short = NoAnswer::NotOurs("packet too short");
    let said = rounds(1, &|round: &Round| {
        round.servers[..2].iter().all(|(_, answer)| answer.as_ref() == Err(&too_short))
    });
    names[..2].iter().for_each(|name| drop(line(&said, [name, "packet too short"])));
}

/// How much of what is logged has changed from one round to the next, or from none to the first.
fn changes_since(before: Option<&Round>, round: &Round) -> usize {
    let kind = |answer: &Result<i64, NoAnswer>| -> Result<(), Discriminant<NoAnswer>> {
        answer.as_ref().map(|_| ()).map_err(discriminant)
    };
    let Some(before) = before else { return round.servers.len() + 1 };
    let servers = before.servers.iter().zip(&round.servers);
    let servers = servers.filter(|((_, was), (_, is))| kind(was) != kind(is)).count();
    let state = |round: &Round| (round.state.name(), round.kernel.name());
    servers + usize::from(state(before) != state(round))
}

#[test]
fn a_real_chronyd_agrees_with_the_clock() {
    let chronyd = Chronyd::start();
    let watch = Watch::new(&[chronyd.name()]);
    let start = Instant::now();
    let round = loop {
        let round = watch.next();
        if round.offsets_us().first().is_some_and(|us| us.abs() < 50_000) {
            break round;
        }
        assert!(start.elapsed() < PATIENCE, "{round:?}\n{}", chronyd.log());
    };
    assert!(matches!(round.state, DriftState::Good { .. }), "{round:?}");
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
