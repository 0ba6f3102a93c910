//! No reply holds a time that is not durable: told by the system calls of a real server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coreflake_protocol::{Layout, Sequence, Tick};

use crate::common::{frames, pause};
use crate::faked::{bound_ms, ms};
use crate::load::{Load, Shape};
use crate::strace::Traced;
use crate::trace::{self, Violation};

/// Many replies in many calls.
const SHAPE: Shape = Shape { connections: 4, depth: 24, count: 1 };

const WINDOW_MS: u32 = 300;
const REPLIES_MIN: u64 = 100_000;

/// How long is fetched, and until when it has to be enough on a busy machine.
const TIME_MIN: Duration = Duration::from_secs(5);
const TIME_MAX: Duration = Duration::from_secs(120);

/// Fetches from a server whose bound has to be raised all the time, until there are so many replies
/// and bounds, and reads the trace.
fn traced(name: &str, replies_min: u64, bounds_min: u64, inject: &[&str]) -> trace::Findings {
    let place = Traced::new(name);
    let server = place.start(WINDOW_MS, inject);
    let load = Load::start(server.tcp, SHAPE);
    let (start, mut bounds) = (Instant::now(), BTreeSet::new());
    while start.elapsed() < TIME_MIN
        || load.answered() < replies_min
        // The last one is not durable yet, perhaps.
        || bounds.len() as u64 <= bounds_min
    {
        let so_far = (load.answered(), bounds.len());
        assert!(start.elapsed() < TIME_MAX, "{so_far:?} replies and bounds");
        bounds.insert(bound_ms(&place.state()));
        pause(ms(20));
    }
    let journal = load.finish();
    let answers = journal.answers.len() as u64;
    server.stop();
    let read = Instant::now();
    let findings = trace::read(&place.text());
    println!(
        "{} replies in {} calls, {} bounds, {:?} ms below the bound at least, {} refusals, \
         {} violations; read in {:?}",
        findings.replies,
        findings.sends,
        findings.bounds,
        findings.margin_ms,
        journal.refusals.len(),
        findings.violations.len(),
        read.elapsed()
    );
    assert_eq!(findings.violations, [], "sent before it was durable");
    assert_eq!(findings.replies, answers, "every reply is in the trace");
    assert!(answers >= replies_min && findings.bounds >= bounds_min, "{findings:?}");
    frames::assert_disjoint(journal.runs);
    findings
}

#[test]
fn no_reply_is_ahead_of_what_is_durable() {
    traced("order", REPLIES_MIN, 20, &[]);
}

/// A disk so slow that the bound is reached again and again: what is sent is right below it.
#[test]
fn no_reply_is_ahead_of_what_is_durable_on_a_slow_disk() {
    let slow = ["fdatasync:delay_enter=95000"];
    let findings = traced("order-slow", REPLIES_MIN / 5, 10, &slow);
    assert!(findings.margin_ms.unwrap() < 5, "the bound was not reached: {findings:?}");
}

/// A trace as `strace` writes it, of a server that extends from 1,000 to 2,000 ticks.
struct Script {
    lines: Vec<String>,
}

impl Script {
    fn new() -> Self {
        Self { lines: Vec::new() }
    }

    fn add(&mut self, pid: u32, text: &str) {
        let time = self.lines.len();
        self.lines.push(format!("{pid} 1700000000.{time:06} {text}"));
    }

    fn write_copy(&mut self, copy: u32, tick: u64) {
        let mut block = [0; 212];
        block[..5].copy_from_slice(b"CFREC");
        let bound_ms = Layout::SNOWFLAKE.unix_ms(Tick::new(tick));
        block[32..40].copy_from_slice(&bound_ms.to_be_bytes());
        let (block, offset) = (hex(&block), copy * 4_096);
        self.add(7, &format!("pwrite64(9, \"{block}\", 212, {offset}) = 212"));
    }

    fn make_durable(&mut self, copy: u32, tick: u64) {
        self.write_copy(copy, tick);
        self.add(7, "fdatasync(9)                      = 0");
    }

    fn send(&mut self, ticks: &[u64]) {
        let layout = Layout::SNOWFLAKE;
        let slot = layout.slot(0, 0).unwrap();
        let mut bytes = Vec::new();
        for tick in ticks {
            let id = layout.pack(Tick::new(*tick), slot, sequence(&layout));
            let payload = [&id.get().to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
            bytes.extend(frames::frame(0x81, 5, &payload));
        }
        let (size, bytes) = (bytes.len(), hex(&bytes));
        self.add(8, &format!("sendto(12, \"{bytes}\", {size}, MSG_NOSIGNAL, NULL, 0) = {size}"));
    }

    fn read(&self) -> trace::Findings {
        trace::read(&self.lines.join("\n"))
    }
}

fn sequence(layout: &Layout) -> Sequence {
    layout.sequence(0).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// A server that is open up to tick 1,000, and writes the first copy of the next bound.
fn script() -> Script {
    let mut script = Script::new();
    script.make_durable(0, 1_000);
    script.make_durable(1, 1_000);
    script.send(&[998, 999, 1_000]);
    script.make_durable(0, 2_000);
    script.write_copy(1, 2_000);
    script
}

fn violations(script: &Script) -> Vec<(usize, u64)> {
    let place = |it: &Violation| (it.line, it.stamp_ms - it.bound_ms);
    script.read().violations.iter().map(place).collect()
}

#[test]
fn a_reply_behind_the_flush_is_in_order() {
    let mut script = script();
    script.add(7, "fdatasync(9 <unfinished ...>");
    script.send(&[1_000]);
    script.add(7, "<... fdatasync resumed>)             = 0");
    script.send(&[1_001, 2_000]);
    let findings = script.read();
    assert_eq!(findings.violations, []);
    assert_eq!((findings.replies, findings.sends, findings.bounds), (6, 3, 2));
    assert_eq!(findings.margin_ms, Some(0));
}

#[test]
fn a_reply_ahead_of_the_flush_is_found() {
    let mut script = script();
    // One copy is durable, the other one is on its way.
    script.add(7, "fdatasync(9 <unfinished ...>");
    script.send(&[1_000, 1_001]);
    script.add(7, "<... fdatasync resumed>)             = 0");
    script.send(&[2_003]);
    assert_eq!(violations(&script), [(10, 1), (12, 3)]);
}

#[test]
fn a_flush_that_fails_or_began_before_the_write_makes_nothing_durable() {
    let mut failed = script();
    failed.add(7, "fdatasync(9)      = -1 EIO (Input/output error) (INJECTED)");
    failed.send(&[1_001]);
    failed.make_durable(1, 2_000);
    assert_eq!(violations(&failed), [(10, 1)]);
    let findings = failed.read();
    assert_eq!(findings.failures, 1);
    assert_eq!(findings.after_failure.values().sum::<u64>(), 2, "{findings:?}");

    let mut early = Script::new();
    early.make_durable(0, 1_000);
    early.make_durable(1, 1_000);
    early.add(6, "fdatasync(9 <unfinished ...>");
    early.write_copy(0, 2_000);
    early.write_copy(1, 2_000);
    early.add(6, "<... fdatasync resumed>)             = 0");
    early.send(&[1_001]);
    assert_eq!(violations(&early), [(9, 1)]);
}

/// A reply that does not fit is finished by the next call; both are read as one.
#[test]
fn a_reply_in_two_calls_is_read_once() {
    let mut script = script();
    script.send(&[1_000, 1_000]);
    let whole = script.lines.pop().unwrap();
    script.lines.push(whole.replace("= 56", "= 30"));
    let rest = whole.replace(&whole[whole.find('"').unwrap()..=whole.rfind('"').unwrap()], &{
        let from = whole.find('"').unwrap() + 1 + 30 * 4;
        format!("\"{}", &whole[from..=whole.rfind('"').unwrap()])
    });
    script.lines.push(rest.replace("= 56", "= 26"));
    script.send(&[999]);
    let findings = script.read();
    assert_eq!(findings.violations, []);
    assert_eq!(findings.replies, 3 + 1 + 1, "the one in two calls is seen at its beginning");
}
