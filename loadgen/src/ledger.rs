//! What became of each request of one thread: latency, counts, order, and the IDs for the proof.

use coreflake_protocol::{AnyId, Count, Info, Namespace, WorkerIds};

use crate::span::Span;
use crate::stats::{Failure, Tally};
use crate::verify::Recorder;

/// A request on its way. Times are nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) intended_ns: u64,
    pub(crate) sent_ns: u64,
}

/// Whose IDs a server hands out, by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) namespace: Namespace,
    pub(crate) datacenter_id: u16,
    pub(crate) worker_ids: WorkerIds,
}

/// What a connection expects of its replies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// IDs asked for in each request.
    count: u64,
    /// Whether a reply may hold fewer, as over UDP.
    may_be_fewer: bool,
    namespace: Namespace,
    datacenter_id: u16,
    worker_ids: WorkerIds,
}

/// The order of IDs on one connection: the highest rank so far, which the next one must exceed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    last: Option<u128>,
}

/// The account of one thread.
#[derive(Debug)]
pub(crate) struct Ledger {
    tally: Tally,
    /// Requests intended before this are warmup: their IDs count for the proof, nothing else does.
    warmup_ns: u64,
    recorder: Option<Recorder>,
}

impl Ledger {
    /// With a recorder, IDs are verified.
    pub(crate) fn new(warmup_ns: u64, recorder: Option<Recorder>) -> Self {
        Self { tally: Tally::new(), warmup_ns, recorder }
    }

    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A request was sent.
    pub(crate) const fn sent(&mut self, flight: Flight) {
        self.tally.whole_run.attempted += 1;
        if flight.intended_ns >= self.warmup_ns {
            self.tally.attempted += 1;
        }
    }

    /// Its IDs came at `received_ns`.
    pub(crate) fn answered(
        &mut self,
        flight: Flight,
        spans: impl IntoIterator<Item = Span>,
        expected: &Expectation,
        order: &mut Order,
        received_ns: u64,
    ) {
        let mut ids = 0;
        for span in spans {
            ids += u64::from(span.count());
            if !order.follows(span) {
                self.tally.whole_run.order_violations += 1;
            }
            self.verify(span, expected);
        }
        self.tally.whole_run.ids += ids;
        if !expected.allows(ids) {
            self.failed(flight, Failure::WrongCount);
            return;
        }
        self.tally.whole_run.requests += 1;
        if flight.intended_ns >= self.warmup_ns {
            self.tally.requests += 1;
            self.tally.ids += ids;
            self.tally.corrected.record(received_ns.saturating_sub(flight.intended_ns));
            self.tally.uncorrected.record(received_ns.saturating_sub(flight.sent_ns));
        }
    }

    /// It brought no ID.
    pub(crate) fn failed(&mut self, flight: Flight, failure: Failure) {
        if flight.intended_ns >= self.warmup_ns {
            self.broken(failure);
        }
    }

    /// Something went wrong that belongs to no request in particular.
    pub(crate) fn broken(&mut self, failure: Failure) {
        self.tally.whole_run.errors += 1;
        *self.tally.failures.entry(failure).or_default() += 1;
    }

    /// A reply came that belongs to no request in flight.
    pub(crate) const fn unmatched(&mut self) {
        self.tally.unmatched += 1;
    }

    /// IDs came outside any measurement. They were issued all the same, so they must not come
    /// again.
    pub(crate) fn late(&mut self, spans: impl IntoIterator<Item = Span>, expected: &Expectation) {
        for span in spans {
            self.tally.whole_run.ids += u64::from(span.count());
            self.verify(span, expected);
        }
    }

    /// Hands the last IDs to the verifier.
    pub(crate) fn finish(mut self) -> Tally {
        if let Some(recorder) = self.recorder {
            self.tally.whole_run.verifier_stalls = recorder.finish();
        }
        self.tally
    }

    fn verify(&mut self, span: Span, expected: &Expectation) {
        if let Some(recorder) = &mut self.recorder {
            recorder.push(span);
            self.tally.whole_run.extent.include(span.first(), span.last());
            self.tally.whole_run.foreign_ids += expected.foreign_ids(span);
        }
    }
}

impl Expectation {
    /// Replies of the server that says `identity` of itself, to requests for `count` IDs.
    pub(crate) const fn new(identity: Identity, count: Count, may_be_fewer: bool) -> Self {
        let Identity { namespace, datacenter_id, worker_ids } = identity;
        Self { count: count.get() as u64, may_be_fewer, namespace, datacenter_id, worker_ids }
    }

    fn allows(&self, ids: u64) -> bool {
        ids == self.count || (self.may_be_fewer && (1..self.count).contains(&ids))
    }

    /// The time in an ID of the server's slots; `None` for one of another slot.
    fn ours(&self, id: AnyId) -> Option<u64> {
        let parsed = self.namespace.parse(id).ok()?;
        let slot = parsed.slot?;
        let is_ours = slot.datacenter_id() == self.datacenter_id
            && self.worker_ids.contains(&slot.worker_id());
        is_ours.then_some(parsed.unix_ms)
    }

    fn foreign_ids(&self, span: Span) -> u64 {
        let (first, last) = (self.ours(span.first()), self.ours(span.last()));
        // Between two IDs of one slot in different ticks lie those of all other slots.
        if first.is_some() && first == last {
            return 0;
        }
        // The peer chose the length, so a run longer than any request is not walked.
        if span.count() > Count::MAX {
            return span.count().into();
        }
        span.ids().map(|id| u64::from(self.ours(id).is_none())).sum()
    }
}

/// Worker IDs as a peer has listed them: the first alone, if it lists no more.
pub(crate) fn worker_ids_of(first: impl Iterator<Item = u16>, mut all: Vec<u16>) -> WorkerIds {
    if all.is_empty() {
        all.extend(first);
    }
    all.into_iter().take(WorkerIds::MAX).collect()
}

impl From<&Info> for Identity {
    fn from(info: &Info) -> Self {
        let Info { namespace, datacenter_id, worker_ids, .. } = *info;
        Self { namespace, datacenter_id, worker_ids }
    }
}

impl Order {
    /// Both orders as one, for replies that came without an order between them.
    pub(crate) fn joined(self, other: Self) -> Self {
        Self { last: self.last.max(other.last) }
    }

    /// Whether `span` begins above everything before it.
    fn follows(&mut self, span: Span) -> bool {
        let follows = self.last.is_none_or(|last| span.first().rank() > last);
        self.last = Some(span.last().rank());
        follows
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use coreflake_protocol::{Kind, Layout, Run, Tick};

    use super::*;
    use crate::verify;

    fn expectation(may_be_fewer: bool) -> Expectation {
        let worker_ids = [2].into_iter().collect();
        let identity = Identity { namespace: Namespace::DEFAULT, datacenter_id: 1, worker_ids };
        Expectation::new(identity, Count::new(3).unwrap(), may_be_fewer)
    }

    fn run(tick: u64, sequence: u32, count: u32) -> Span {
        let layout = Layout::SNOWFLAKE;
        let first = layout.pack(
            Tick::new(tick),
            layout.slot(1, 2).unwrap(),
            layout.sequence(sequence).unwrap(),
        );
        let run = Run::new(first, NonZeroU32::new(count).unwrap()).unwrap();
        Span::of_run(Kind::Snowflake, run).unwrap()
    }

    fn answer(ledger: &mut Ledger, order: &mut Order, runs: &[Span], may_be_fewer: bool) {
        let flight = Flight { intended_ns: 100, sent_ns: 300 };
        let expected = expectation(may_be_fewer);
        ledger.answered(flight, runs.iter().copied(), &expected, order, 1000);
    }

    #[test]
    fn latency_counts_from_both_send_times() {
        let mut ledger = Ledger::new(100, None);
        answer(&mut ledger, &mut Order::default(), &[run(1, 0, 3)], false);
        let tally = ledger.finish();
        assert_eq!((tally.requests, tally.ids, tally.errors()), (1, 3, 0));
        assert_eq!((tally.corrected.max_ns(), tally.uncorrected.max_ns()), (900, 700));
    }

    #[test]
    fn warmup_counts_for_order_but_not_for_rates() {
        let mut ledger = Ledger::new(101, None);
        let mut order = Order::default();
        answer(&mut ledger, &mut order, &[run(2, 0, 3)], false);
        answer(&mut ledger, &mut order, &[run(1, 0, 3)], false);
        ledger.failed(Flight { intended_ns: 100, sent_ns: 300 }, Failure::Lost);
        let tally = ledger.finish();
        assert_eq!((tally.requests, tally.ids, tally.errors()), (0, 0, 0));
        assert!(tally.corrected.is_empty());
        assert_eq!(tally.whole_run.order_violations, 1);
    }

    #[test]
    fn without_an_order_between_replies_the_higher_one_counts() {
        let (mut first, mut second) = (Order::default(), Order::default());
        assert!(first.follows(run(2, 0, 3)) && second.follows(run(1, 0, 3)));
        let mut both = Order::default().joined(first).joined(second);
        assert!(!both.follows(run(1, 3, 1)));
        assert!(!first.joined(second).follows(run(2, 2, 1)));
        assert!(first.joined(second).follows(run(2, 3, 1)));
    }

    #[test]
    fn a_reply_holds_as_many_ids_as_it_may() {
        for (may_be_fewer, count, is_right) in
            [(false, 3, true), (false, 2, false), (true, 1, true), (true, 4, false)]
        {
            let mut ledger = Ledger::new(0, None);
            answer(&mut ledger, &mut Order::default(), &[run(1, 0, count)], may_be_fewer);
            assert_eq!(ledger.finish().errors() == 0, is_right, "{count} IDs");
        }
    }

    #[test]
    fn ids_of_another_slot_are_counted() {
        for (run, foreign) in [
            (run(1, 0, 4096), 0),
            // The last of this slot, then two of the next worker.
            (run(1, 4095, 3), 2),
            // Far past this slot: more than a reply can hold.
            (run(1, 0, 1_000_000), 1_000_000),
        ] {
            let (mut recorders, verifier) = verify::start(1).unwrap();
            let mut ledger = Ledger::new(0, recorders.pop());
            ledger.late([run], &expectation(false));
            assert_eq!(ledger.finish().whole_run.foreign_ids, foreign);
            assert_eq!(verifier.join().unwrap().distinct, u64::from(run.count()));
        }
    }
}
