//! How long requests for IDs took, as a histogram that one thread writes and others read.

use core::time::Duration;

use crate::counters::Counter;

/// Upper bounds of the buckets in microseconds. The objective, 1 ms, and the alert, 10 ms, are
/// among them; below lie the latencies of a lane that has sequence space, above those of one that
/// has not.
pub(crate) const BOUNDS_US: [u64; 16] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// No request is said to have taken longer: both ends are read from the wall clock, which may have
/// been set in between.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Latencies of one lane's requests.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// One more than there are bounds: the last one has none.
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_ns: Counter,
}

/// Latencies of several lanes together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatencySum {
    /// Requests per bucket, each counted in one bucket only.
    pub(crate) buckets: [u64; BOUNDS_US.len() + 1],
    pub(crate) sum_ns: u64,
}

impl Latencies {
    /// Notes that `requests` took this long each.
    pub(crate) fn record(&self, latency: Duration, requests: u32) {
        let latency = latency.min(LATENCY_MAX);
        let bucket = BOUNDS_US.iter().position(|bound| latency <= Duration::from_micros(*bound));
        self.buckets[bucket.unwrap_or(BOUNDS_US.len())].add(requests.into());
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.add(latency_ns.saturating_mul(requests.into()));
    }
}

impl LatencySum {
    /// Adds those of another lane.
    pub(crate) fn add(&mut self, lane: &Latencies) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&lane.buckets) {
            *sum += bucket.get();
        }
        self.sum_ns = self.sum_ns.wrapping_add(lane.sum_ns.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_last_bucket_has_none() {
        let latencies = Latencies::default();
        latencies.record(Duration::ZERO, 3);
        latencies.record(Duration::from_micros(1), 1);
        latencies.record(Duration::from_nanos(1_001), 1);
        latencies.record(Duration::from_millis(10), 1);
        latencies.record(Duration::from_secs(1_000_000), 2);
        let mut sum = LatencySum::default();
        sum.add(&latencies);
        sum.add(&Latencies::default());
        let tenth = BOUNDS_US.iter().position(|bound| *bound == 10_000).unwrap();
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[tenth]), (4, 1, 1));
        assert_eq!(sum.buckets[BOUNDS_US.len()], 2);
        assert_eq!(sum.buckets.iter().sum::<u64>(), 8);
        assert_eq!(sum.sum_ns, 1_000 + 1_001 + 10_000_000 + 120_000_000_000);
    }
}
