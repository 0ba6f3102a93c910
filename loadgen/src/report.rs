//! The result of a run: the numbers, and whether they are good enough.

use std::collections::BTreeMap;

use coreflake_protocol::{AnyId, Info, Kind};
use serde::Serialize;

use crate::args::{Args, Rate};
use crate::clock::nanoseconds;
use crate::intervals::Interval;
use crate::lanes::{self, Lane};
use crate::stats::{Latencies, Tally};
use crate::verify::Proof;

/// Below this part of the rate asked for, the report warns.
const ACHIEVED_MIN: f64 = 0.99;
/// A p99 objective allows this part of the requests to be slow, so it allows as many without an
/// answer.
const UNANSWERED_MAX: f64 = 0.01;

const OPEN_LOOP: &str = "open loop: latency is measured from the intended send time";
const CLOSED_LOOP: &str =
    "closed loop: latency is measured from the actual send, so it hides queueing";

/// Everything that was found out. The field names are those of the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) target: String,
    /// `open` or `closed`.
    pub(crate) mode: &'static str,
    /// What the mode means for the latencies.
    pub(crate) mode_note: &'static str,
    /// Requests per second asked for, in open loop.
    pub(crate) rate: Option<u32>,
    /// The kind of ID.
    pub(crate) kind: &'static str,
    pub(crate) connections: u32,
    pub(crate) pipeline: u32,
    /// IDs per request.
    pub(crate) count: u32,
    pub(crate) threads: u32,
    pub(crate) warmup_seconds: f64,
    /// Length of the measured part.
    pub(crate) seconds: f64,
    /// Requests sent in the measured part.
    pub(crate) attempted: u64,
    /// Requests answered with IDs.
    pub(crate) requests: u64,
    pub(crate) ids: u64,
    pub(crate) errors: u64,
    pub(crate) lost: u64,
    pub(crate) unmatched: u64,
    /// Requests of the plan that never left, because their connection had no room.
    pub(crate) unsent: u64,
    pub(crate) errors_by_code: BTreeMap<String, u64>,
    pub(crate) requests_per_second: f64,
    pub(crate) ids_per_second: f64,
    pub(crate) latency_us: Option<Latency>,
    pub(crate) latency_uncorrected_us: Option<Latency>,
    pub(crate) slo_p99: Option<Objective>,
    /// Whether every ID received was checked against all others.
    pub(crate) verified: bool,
    pub(crate) duplicates: Option<u64>,
    pub(crate) order_violations: u64,
    pub(crate) foreign_ids: Option<u64>,
    pub(crate) distinct: Option<u64>,
    pub(crate) intervals: Option<usize>,
    /// As text: a reader with 53-bit numbers would change it.
    pub(crate) smallest_id: Option<String>,
    pub(crate) largest_id: Option<String>,
    /// Where the first duplicates are, first and last ID.
    pub(crate) duplicate_examples: Vec<String>,
    pub(crate) whole_run: WholeRun,
    /// None over REST and gRPC.
    pub(crate) lanes: Vec<Lane>,
    /// What makes the numbers less than they seem.
    pub(crate) warnings: Vec<String>,
    /// Why the exit code is not 0.
    pub(crate) failures: Vec<String>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

/// The objective for the 99th percentile.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Objective {
    pub(crate) objective_us: f64,
    pub(crate) met: bool,
}

/// Counts that include the warmup, to compare with the proof.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct WholeRun {
    pub(crate) attempted: u64,
    pub(crate) requests: u64,
    pub(crate) ids: u64,
}

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) tally: Tally,
    pub(crate) proof: Option<Proof>,
    /// Length of the measured part.
    pub(crate) measured_ns: u64,
    /// The INFO of the server on each connection, at the start and at the end, where there is one.
    pub(crate) opening: Vec<Info>,
    pub(crate) closing: Vec<Info>,
    /// On how many connections the server answered at the end.
    pub(crate) answering: usize,
    /// Whether Ctrl-C ended the run.
    pub(crate) was_interrupted: bool,
    /// Connections and threads that broke.
    pub(crate) breakages: Vec<String>,
}

impl Report {
    pub(crate) fn new(args: &Args, findings: Findings) -> Self {
        let Findings { tally, proof, measured_ns, opening, closing, breakages, .. } = findings;
        let was_interrupted = findings.was_interrupted;
        let seconds = measured_ns as f64 / 1e9;
        let per_second = |count: u64| if measured_ns == 0 { 0.0 } else { count as f64 / seconds };
        let proof = proof.as_ref();
        let (mode, mode_note, rate) = match args.rate {
            Rate::PerSecond(rate) => ("open", OPEN_LOOP, Some(rate.get())),
            Rate::Max => ("closed", CLOSED_LOOP, None),
        };
        let latency_us = Latency::new(&tally.corrected);
        let by_code = tally.failures.iter().map(|(failure, count)| (failure.name(), *count));
        let whole_run = tally.whole_run;
        let mut report = Self {
            target: args.target.to_string(),
            mode,
            mode_note,
            rate,
            kind: args.kind.name(),
            connections: args.connections,
            pipeline: args.pipeline,
            count: args.count.get(),
            threads: args.thread_count(),
            warmup_seconds: args.warmup.as_secs_f64(),
            seconds,
            attempted: tally.attempted,
            requests: tally.requests,
            ids: tally.ids,
            errors: tally.errors(),
            lost: tally.lost(),
            unmatched: tally.unmatched,
            unsent: tally.unsent,
            errors_by_code: by_code.collect(),
            requests_per_second: per_second(tally.requests),
            ids_per_second: per_second(tally.ids),
            latency_us,
            latency_uncorrected_us: rate.and_then(|_| Latency::new(&tally.uncorrected)),
            slo_p99: None,
            verified: proof.is_some_and(|proof| proof.complete),
            duplicates: proof.map(|proof| proof.duplicates),
            order_violations: whole_run.order_violations,
            foreign_ids: proof.map(|_| whole_run.foreign_ids),
            distinct: proof.map(|proof| proof.distinct),
            intervals: proof.map(|proof| proof.intervals),
            smallest_id: whole_run.extent.0.map(|(smallest, _)| smallest.to_string()),
            largest_id: whole_run.extent.0.map(|(_, largest)| largest.to_string()),
            duplicate_examples: proof.map_or_else(Vec::new, |proof| {
                proof
                    .examples
                    .iter()
                    .map(|&Interval { start, end }| {
                        format!("{}..={}", id(args.kind, start), id(args.kind, end - 1))
                    })
                    .collect()
            }),
            whole_run: WholeRun {
                attempted: whole_run.attempted,
                requests: whole_run.requests,
                ids: whole_run.ids,
            },
            lanes: lanes::table(&opening, &closing),
            warnings: breakages,
            failures: Vec::new(),
        };
        report.slo_p99 = args.slo_p99.map(|objective| {
            let objective_ns = nanoseconds(objective);
            let is_fast =
                !tally.corrected.is_empty() && tally.corrected.quantile_ns(0.99) <= objective_ns;
            let met = is_fast && report.unanswered() <= UNANSWERED_MAX;
            Objective { objective_us: micros(objective_ns as f64), met }
        });
        report.warn(whole_run.verifier_stalls);
        let is_short = measured_ns < nanoseconds(args.duration);
        if is_short && was_interrupted {
            let warning = format!("interrupted: {seconds:.3} s were measured");
            report.warnings.push(warning);
        }
        report.judge(is_short && !was_interrupted, proof);
        report
    }

    /// The part of the planned requests that no IDs came for.
    fn unanswered(&self) -> f64 {
        let planned = self.attempted + self.unsent;
        1.0 - self.requests as f64 / planned.max(1) as f64
    }

    /// The part of the rate asked for that was answered.
    pub(crate) fn achieved(&self) -> Option<f64> {
        let planned = self.attempted + self.unsent;
        self.rate.filter(|_| planned > 0).map(|_| self.requests as f64 / planned as f64)
    }

    fn warn(&mut self, verifier_stalls: u64) {
        if let Some(achieved) = self.achieved()
            && achieved < ACHIEVED_MIN
        {
            self.warnings.push(format!(
                "only {:.1} % of the requests planned were answered ({} unsent, {} errors)",
                achieved * 100.0,
                self.unsent,
                self.errors,
            ));
        }
        if self.ids < self.requests.saturating_mul(self.count.into()) {
            self.warnings.push(format!(
                "a request brought {:.1} IDs on average, not {}: a datagram brings what fits into it, \
                 of what is left of a timestamp",
                self.ids as f64 / self.requests as f64,
                self.count,
            ));
        }
        if verifier_stalls > 0 {
            self.warnings.push(format!(
                "the verifier was too slow {verifier_stalls} times: the latencies include waiting for it"
            ));
        }
    }

    fn judge(&mut self, is_short: bool, proof: Option<&Proof>) {
        let mut fail = |text: String| self.failures.push(text);
        if self.requests == 0 {
            fail("no request was answered".to_owned());
        }
        if is_short {
            fail("the run ended early: no connection was left".to_owned());
        }
        match proof {
            Some(proof) if !proof.complete => fail(
                "THE PROOF IS INCOMPLETE: more intervals than memory was set aside for, so IDs were \
                 left out"
                    .to_owned(),
            ),
            _ => {}
        }
        if let Some(duplicates @ 1..) = self.duplicates {
            let examples = self.duplicate_examples.join(", ");
            fail(format!("{duplicates} IDs came more than once, the first of them: {examples}"));
        }
        if self.order_violations > 0 {
            let violations = self.order_violations;
            fail(format!(
                "{violations} runs did not begin above the IDs that their connection had brought"
            ));
        }
        if let Some(foreign_ids @ 1..) = self.foreign_ids {
            fail(format!("{foreign_ids} IDs are not of the slot that the server names"));
        }
        if let Some(Objective { objective_us, met: false }) = self.slo_p99 {
            fail(format!("the p99 objective of {objective_us} us was missed"));
        }
    }
}

impl Latency {
    fn new(latencies: &Latencies) -> Option<Self> {
        let at = |quantile| micros(latencies.quantile_ns(quantile) as f64);
        (!latencies.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(latencies.max_ns() as f64),
            mean: micros(latencies.mean_ns()),
        })
    }
}

/// The ID of a kind at this place, with zeros where others are random.
fn id(kind: Kind, place: u128) -> String {
    AnyId::of_place(kind, place).map_or_else(|| place.to_string(), |id| id.to_string())
}

/// Nanoseconds as microseconds with three decimals, which is all there is.
fn micros(nanoseconds: f64) -> f64 {
    nanoseconds.round() / 1e3
}
