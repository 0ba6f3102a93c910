//! When each request should leave. Request `k` of the run is due `k / rate` seconds after its start
//! and goes to connection `k mod connections`, so a connection needs one counter to know its next
//! send time, and a backlog of any length costs no memory.

use std::num::NonZeroU32;

const SECOND_NS: u64 = 1_000_000_000;

/// Send times of a whole run, in nanoseconds since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rate: u64,
    connections: u64,
}

/// Walks the part of a plan that belongs to one thread, in the order of time. Connection `c`
/// belongs to thread `c mod threads` and is number `c / threads` there.
#[derive(Debug)]
pub(crate) struct Cursor {
    plan: Plan,
    thread: u64,
    threads: u64,
    round: u64,
    connection: u64,
}

impl Plan {
    /// `rate` requests per second over at least one connection.
    pub(crate) fn new(rate: NonZeroU32, connections: u32) -> Self {
        assert!(connections > 0, "a plan needs a connection");
        Self { rate: rate.get().into(), connections: connections.into() }
    }

    /// When the request number `round` of a connection should leave.
    pub(crate) const fn intended_ns(&self, connection: u64, round: u64) -> u64 {
        let request = round * self.connections + connection;
        let (seconds, rest) = (request / self.rate, request % self.rate);
        seconds * SECOND_NS + rest * SECOND_NS / self.rate
    }

    /// How many requests of a connection should leave before `time_ns`.
    pub(crate) fn rounds_before(&self, connection: u64, time_ns: u64) -> u64 {
        let requests = u128::from(time_ns) * u128::from(self.rate);
        let requests = requests.div_ceil(SECOND_NS.into());
        let requests = u64::try_from(requests).unwrap_or(u64::MAX);
        requests.saturating_sub(connection).div_ceil(self.connections)
    }

    /// How many requests of a connection that passed the first `passed` should have left from
    /// `start_ns` on and before `end_ns`.
    pub(crate) fn unsent(&self, connection: u64, passed: u64, start_ns: u64, end_ns: u64) -> u64 {
        let first = passed.max(self.rounds_before(connection, start_ns));
        self.rounds_before(connection, end_ns).saturating_sub(first)
    }
}

impl Cursor {
    /// Starts at the first request of `thread`, which must own a connection.
    pub(crate) fn new(plan: Plan, thread: u32, threads: u32) -> Self {
        assert!(u64::from(thread) < plan.connections, "a thread without a connection");
        let (thread, threads) = (thread.into(), threads.into());
        Self { plan, thread, threads, round: 0, connection: thread }
    }

    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When the thread's next request should leave.
    pub(crate) const fn due_ns(&self) -> u64 {
        self.plan.intended_ns(self.connection, self.round)
    }

    /// Passes the next request and returns its connection, counted within the thread.
    pub(crate) fn advance(&mut self) -> usize {
        let local = (self.connection - self.thread) / self.threads;
        self.connection += self.threads;
        if self.connection >= self.plan.connections {
            self.connection = self.thread;
            self.round += 1;
        }
        usize::try_from(local).expect("connections are counted in 32 bits")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(rate: u32, connections: u32) -> Plan {
        Plan::new(NonZeroU32::new(rate).unwrap(), connections)
    }

    #[test]
    fn requests_are_spread_evenly_over_time_and_connections() {
        let plan = plan(1000, 4);
        let first: Vec<_> = (0..4).map(|c| plan.intended_ns(c, 0)).collect();
        assert_eq!(first, [0, 1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(plan.intended_ns(1, 2), 9_000_000);
        assert_eq!(plan.intended_ns(0, 250), SECOND_NS);
    }

    #[test]
    fn a_long_run_neither_drifts_nor_overflows() {
        let plan = plan(100_000_000, 1);
        let day = 24 * 3600;
        assert_eq!(plan.intended_ns(0, day * 100_000_000), day * SECOND_NS);
        assert_eq!(plan.rounds_before(0, day * SECOND_NS), day * 100_000_000);
    }

    #[test]
    fn what_was_not_sent_counts_from_the_end_of_the_warmup() {
        let plan = plan(1000, 2);
        let second = |passed| plan.unsent(1, passed, SECOND_NS, 2 * SECOND_NS);
        assert_eq!((second(1000), second(990), second(500), second(3)), (0, 10, 500, 500));
        assert_eq!(plan.unsent(1, 0, SECOND_NS, SECOND_NS / 2), 0, "ended during the warmup");
    }

    proptest! {
        #[test]
        fn rounds_before_counts_what_intended_says(
            rate in 1u32..5000, connections in 1u32..20, connection in 0u64..20,
            time_ns in 0u64..3_000_000_000,
        ) {
            let connection = connection % u64::from(connections);
            let plan = plan(rate, connections);
            let mut round = 0;
            while plan.intended_ns(connection, round) < time_ns {
                round += 1;
            }
            prop_assert_eq!(plan.rounds_before(connection, time_ns), round);
        }

        #[test]
        fn the_cursors_of_all_threads_make_up_the_plan(
            rate in 1u32..100_000, connections in 1u32..20, threads in 1u32..20,
        ) {
            let threads = threads.min(connections);
            let plan = plan(rate, connections);
            let mut seen = Vec::new();
            for thread in 0..threads {
                let mut cursor = Cursor::new(plan, thread, threads);
                let (mut due_ns, mut rounds) = (0, vec![0u64; connections as usize]);
                for _ in 0..100 {
                    prop_assert!(cursor.due_ns() >= due_ns, "time goes forward");
                    due_ns = cursor.due_ns();
                    let connection = thread as usize + cursor.advance() * threads as usize;
                    prop_assert_eq!(plan.intended_ns(connection as u64, rounds[connection]), due_ns);
                    seen.push((connection, rounds[connection]));
                    rounds[connection] += 1;
                }
            }
            let total = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), total, "no request is sent twice");
        }
    }
}
