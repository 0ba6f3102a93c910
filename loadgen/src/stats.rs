//! What a run counts, per thread and then added up.

use std::collections::HashMap;

use coreflake_protocol::{AnyId, ErrorCode};
use hdrhistogram::Histogram;

/// Latencies above this count as this: a fixed range means that recording never allocates.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// Values within a thousandth of each other share a bucket.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Why a request brought no ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The server answered with this error code.
    Refused(u16),
    /// It answered with this HTTP status and no code that is known.
    Http(u16),
    /// It answered with this gRPC status and no code that is known.
    Grpc(tonic::Code),
    /// No answer came in time.
    Lost,
    /// The reply broke the protocol.
    InvalidReply,
    /// The reply held another number of IDs than it may.
    WrongCount,
    /// The connection broke or was closed; what was in flight on it counts as lost besides.
    ConnectionClosed,
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// Counts of the measured part of a run: of requests whose intended send time lies in it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Requests sent.
    pub(crate) attempted: u64,
    /// Requests answered with IDs.
    pub(crate) requests: u64,
    pub(crate) ids: u64,
    pub(crate) failures: HashMap<Failure, u64>,
    /// Replies to a request that was given up, or never made.
    pub(crate) unmatched: u64,
    /// Requests whose time came while their connection had no room, and then the run was over.
    /// Known when all threads have ended.
    pub(crate) unsent: u64,
    /// From the intended send time.
    pub(crate) corrected: Latencies,
    /// From the actual send time.
    pub(crate) uncorrected: Latencies,
    pub(crate) whole_run: WholeRun,
}

/// Counts that include the warmup.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WholeRun {
    pub(crate) attempted: u64,
    pub(crate) requests: u64,
    /// IDs received, those of late replies too.
    pub(crate) ids: u64,
    pub(crate) errors: u64,
    /// Runs of IDs that did not begin above those that had come on their connection before; over
    /// gRPC, before their request left.
    pub(crate) order_violations: u64,
    /// IDs of another slot than the one the server named.
    pub(crate) foreign_ids: u64,
    /// How often a thread had to wait for the verifier.
    pub(crate) verifier_stalls: u64,
    /// Of the IDs that are verified.
    pub(crate) extent: Extent,
}

/// The smallest and the largest of some IDs, in the order of their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent(pub(crate) Option<(AnyId, AnyId)>);

impl Extent {
    /// Two IDs of one kind, or twice the same.
    pub(crate) fn include(&mut self, smaller: AnyId, larger: AnyId) {
        let (first, last) = self.0.get_or_insert((smaller, larger));
        if smaller.rank() < first.rank() {
            *first = smaller;
        }
        if larger.rank() > last.rank() {
            *last = larger;
        }
    }
}

impl Failure {
    /// The refusal whose code has this name.
    pub(crate) fn refused(name: &str) -> Option<Self> {
        let code = ErrorCode::ALL.into_iter().find(|code| code.name() == name)?;
        Some(Self::Refused(code.wire()))
    }

    /// The server's name for its codes in capitals, ours in small letters.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Refused(number) => match ErrorCode::from_wire(number) {
                Some(code) => code.name().to_owned(),
                None => format!("{number:#06x}"),
            },
            Self::Http(status) => format!("http_{status}"),
            Self::Grpc(code) => grpc_name(code),
            Self::Lost => "lost".to_owned(),
            Self::InvalidReply => "invalid_reply".to_owned(),
            Self::WrongCount => "wrong_count".to_owned(),
            Self::ConnectionClosed => "connection_closed".to_owned(),
        }
    }
}

/// `ResourceExhausted` as `grpc_resource_exhausted`.
fn grpc_name(code: tonic::Code) -> String {
    let mut name = "grpc".to_owned();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are constants"))
    }

    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn quantile_ns(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub(crate) fn max_ns(&self) -> u64 {
        self.0.max()
    }

    pub(crate) fn mean_ns(&self) -> f64 {
        self.0.mean()
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            attempted: 0,
            requests: 0,
            ids: 0,
            failures: HashMap::new(),
            unmatched: 0,
            unsent: 0,
            corrected: Latencies::new(),
            uncorrected: Latencies::new(),
            whole_run: WholeRun::default(),
        }
    }

    pub(crate) fn errors(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.failures.get(&Failure::Lost).copied().unwrap_or(0)
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.attempted += other.attempted;
        self.requests += other.requests;
        self.ids += other.ids;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        self.unmatched += other.unmatched;
        self.corrected.add(&other.corrected);
        self.uncorrected.add(&other.uncorrected);
        let (sum, part) = (&mut self.whole_run, &other.whole_run);
        sum.attempted += part.attempted;
        sum.requests += part.requests;
        sum.ids += part.ids;
        sum.errors += part.errors;
        sum.order_violations += part.order_violations;
        sum.foreign_ids += part.foreign_ids;
        sum.verifier_stalls += part.verifier_stalls;
        if let Extent(Some((first, last))) = part.extent {
            sum.extent.include(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_saturate_and_merge() {
        let (mut left, mut right) = (Latencies::new(), Latencies::new());
        left.record(1000);
        right.record(u64::MAX);
        right.record(0);
        left.add(&right);
        assert_eq!(left.quantile_ns(0.5), 1000);
        let max = left.max_ns() as f64 / LATENCY_MAX_NS as f64;
        assert!((1.0..1.001).contains(&max), "{max}");
    }

    #[test]
    fn failures_have_the_names_of_the_protocol() {
        assert_eq!(Failure::Refused(ErrorCode::Overloaded.wire()).name(), "OVERLOADED");
        assert_eq!(Failure::Refused(0x0999).name(), "0x0999");
        assert_eq!(Failure::Lost.name(), "lost");
        assert_eq!(Failure::Http(404).name(), "http_404");
        assert_eq!(Failure::Grpc(tonic::Code::Unavailable).name(), "grpc_unavailable");
        assert_eq!(Failure::Grpc(tonic::Code::DeadlineExceeded).name(), "grpc_deadline_exceeded");
    }

    #[test]
    fn a_code_comes_back_from_its_name() {
        for code in ErrorCode::ALL {
            assert_eq!(Failure::refused(code.name()), Some(Failure::Refused(code.wire())));
        }
        assert_eq!(Failure::refused("overloaded"), None);
    }

    #[test]
    fn tallies_add_up() {
        let mut one = Tally::new();
        one.failures.insert(Failure::Lost, 2);
        one.failures.insert(Failure::Refused(0x0100), 1);
        one.whole_run.order_violations = 1;
        let mut sum = Tally::new();
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.errors(), sum.lost(), sum.whole_run.order_violations), (6, 4, 2));
    }
}
