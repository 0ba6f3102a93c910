//! Reads what `strace` has written and compares every reply with what was durable when it was sent.
//!
//! A bound counts when the flush behind its write has returned, for both copies; a reply counts
//! when the call that sends it begins. A thread stands still while `strace` writes down that it
//! enters or leaves a call, so the order of the lines is the order of the events.

use std::collections::BTreeMap;

use coreflake_protocol::frame::{self, HEADER_SIZE, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{Layout, Response};

/// What a trace shows.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// GENERATE replies sent.
    pub(crate) replies: u64,
    /// Calls that sent them.
    pub(crate) sends: u64,
    /// How often the durable bound has changed.
    pub(crate) bounds: u64,
    /// How far the durable bound was ahead of a reply at least, in milliseconds.
    pub(crate) margin_ms: Option<u64>,
    pub(crate) violations: Vec<Violation>,
    /// Writes and flushes of the record that were begun after the first one that failed.
    pub(crate) after_failure: BTreeMap<String, u64>,
    /// Writes and flushes of the record that failed.
    pub(crate) failures: u64,
}

/// A reply with a time that was not durable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) line: usize,
    pub(crate) stamp_ms: u64,
    pub(crate) bound_ms: u64,
}

/// A call as it was entered.
#[derive(Clone, Debug, Default)]
struct Call {
    name: String,
    fd: u32,
    bytes: Vec<u8>,
    /// The last argument.
    offset: u64,
    /// What was written when a flush began.
    written: Copies,
}

/// The bounds in the copies of the record.
type Copies = BTreeMap<u64, u64>;

#[derive(Default)]
struct Reader {
    findings: Findings,
    pending: BTreeMap<u32, Call>,
    written: Copies,
    durable: Copies,
    /// Bytes of a reply that a connection has not got yet.
    begun: BTreeMap<u32, usize>,
}

const COPY_SIZE: u64 = 4_096;
const COPIES: usize = 2;
const BOUND_AT: usize = 32;

/// Reads a whole trace.
#[track_caller]
pub(crate) fn read(text: &str) -> Findings {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line);
    }
    reader.findings
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let mut parts = line.splitn(2, ' ');
        let pid = parts.next().and_then(|pid| pid.parse().ok()).expect("a process id");
        let rest = parts.next().unwrap().trim_start();
        let (_, rest) = rest.split_once(' ').expect("a time");
        if rest.starts_with("+++") || rest.starts_with("---") {
            return;
        }
        if rest.starts_with("<... ") {
            // What `strace` did not see the beginning of, it does not know.
            let Some(call) = self.pending.remove(&pid) else { return };
            self.leave(&call, result_of(rest));
        } else if let Some(rest) = rest.strip_suffix("<unfinished ...>") {
            let call = self.enter(number, rest);
            self.pending.insert(pid, call);
        } else {
            let call = self.enter(number, rest.rsplit_once(" = ").expect("a result").0);
            self.leave(&call, result_of(rest));
        }
    }

    fn enter(&mut self, number: usize, text: &str) -> Call {
        let mut call = Call::parse(text);
        if call.is_for_record() && self.findings.failures > 0 {
            *self.findings.after_failure.entry(call.name.clone()).or_default() += 1;
        }
        if call.name == "fdatasync" {
            call.written = self.written.clone();
        } else if let Some(skip) = self.rest_of(&call) {
            let bound_ms = self.bound_ms();
            for (_, stamp_ms) in frames(&call.bytes, skip) {
                let Some(stamp_ms) = stamp_ms else { continue };
                if stamp_ms > bound_ms {
                    self.findings.violations.push(Violation { line: number, stamp_ms, bound_ms });
                } else {
                    let margin_ms = self.findings.margin_ms.unwrap_or(u64::MAX);
                    self.findings.margin_ms = Some(margin_ms.min(bound_ms - stamp_ms));
                }
            }
        }
        call
    }

    fn leave(&mut self, call: &Call, result: Option<usize>) {
        if call.is_for_record() && result.is_none() {
            self.findings.failures += 1;
        } else if call.name == "pwrite64" && call.is_for_record() {
            assert_eq!(result, Some(call.bytes.len()), "a whole block: {call:?}");
            let bound_ms = call.bytes[BOUND_AT..BOUND_AT + 8].try_into().unwrap();
            self.written.insert(call.offset / COPY_SIZE, u64::from_be_bytes(bound_ms));
        } else if call.name == "fdatasync" {
            let before = self.bound_ms();
            self.durable.extend(&call.written);
            self.findings.bounds += u64::from(self.bound_ms() != before);
        } else if let Some(skip) = self.rest_of(call) {
            let sent = result.unwrap_or(0);
            let all = frames(&call.bytes, skip);
            let whole = all.iter().filter(|(end, stamp)| *end <= sent && stamp.is_some()).count();
            self.findings.replies += whole as u64;
            self.findings.sends += u64::from(whole > 0);
            let ends = [skip].into_iter().chain(all.iter().map(|(end, _)| *end));
            let end = ends.into_iter().find(|end| *end >= sent).expect("the end of a frame");
            self.begun.insert(call.fd, end - sent);
        }
    }

    /// How much of a call finishes a reply that began before. `None` when the call has nothing for
    /// a peer: it goes to the log, or wakes another thread up with less than the shortest reply.
    fn rest_of(&self, call: &Call) -> Option<usize> {
        let sends = ["sendto", "sendmsg", "writev", "write"].contains(&call.name.as_str());
        let rest = self.begun.get(&call.fd).copied().unwrap_or(0);
        let replies = rest > 0 || call.bytes.len() >= HEADER_SIZE;
        (sends && call.fd > 2 && replies).then_some(rest)
    }

    /// What both copies say.
    fn bound_ms(&self) -> u64 {
        if self.durable.len() < COPIES { 0 } else { self.durable.values().copied().min().unwrap() }
    }
}

impl Call {
    fn parse(text: &str) -> Self {
        let (name, args) = text.split_once('(').expect("a call");
        let fd = args.split([',', ')', ' ']).next().and_then(|fd| fd.parse().ok()).expect("a file");
        assert!(!args.contains("\"..."), "cut off: raise the string limit");
        // Of the buffers of a message, not of its address.
        let marker = if args.contains("iov_base=") { "iov_base=\"" } else { "\"" };
        let mut bytes = Vec::new();
        let mut rest = args;
        while let Some((_, after)) = rest.split_once(marker) {
            let (string, after) = after.split_once('"').expect("the end of a string");
            let byte = |hex| u8::from_str_radix(hex, 16).expect("a byte in hexadecimal");
            bytes.extend(string.split("\\x").filter(|hex| !hex.is_empty()).map(byte));
            rest = after;
        }
        let last = args.trim_end().trim_end_matches(')').rsplit(", ").next().unwrap_or_default();
        let offset = last.parse().unwrap_or(0);
        Self { name: name.to_owned(), fd, bytes, offset, written: Copies::new() }
    }

    fn is_for_record(&self) -> bool {
        self.name == "fdatasync" || (self.name == "pwrite64" && self.bytes.starts_with(b"CFREC"))
    }
}

/// What a call returned, unless it failed.
fn result_of(text: &str) -> Option<usize> {
    let (_, result) = text.rsplit_once("= ").expect("a result");
    result.split(' ').next().and_then(|number| number.parse().ok())
}

/// The replies that end in `bytes`: where, and the last time in them if they hold IDs. The first
/// `skip` bytes are the rest of one that began before.
fn frames(bytes: &[u8], skip: usize) -> Vec<(usize, Option<u64>)> {
    let mut found = Vec::new();
    let mut at = skip;
    while at < bytes.len() {
        match frame::split(&bytes[at..], RESPONSE_SIZE_MAX) {
            Ok(Split::Complete { frame, consumed }) => {
                at += consumed;
                let stamp_ms = match Response::decode(&frame) {
                    Ok(Response::Generate(ids)) => {
                        let runs = ids.runs().expect("runs");
                        runs.iter().map(|run| Layout::SNOWFLAKE.parse(run.last()).unix_ms).max()
                    }
                    Ok(_) => None,
                    Err(error) => panic!("no reply: {error}"),
                };
                found.push((at, stamp_ms));
            }
            other => panic!("not a whole reply at {at} of {}: {other:?}", bytes.len()),
        }
    }
    found
}
