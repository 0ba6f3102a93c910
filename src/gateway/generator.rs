//! The application of one gateway thread: its lane, and those who wait for sequence space.
//!
//! The handlers of HTTP and gRPC have to be `Send`, so what a shard keeps in a `RefCell` stands
//! behind a mutex here. Nobody but the one thread ever takes it: it costs two uncontended atomics.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coreflake_engine::{Demand, IdSink, Lane, Outcome, Refusal};
use coreflake_protocol::{AnyId, Count, ErrorCode, Health, Id, Kind, Run, WorkerIds};
use tracing::error;

use crate::clock::WallTime;
use crate::counters::Reject;
use crate::limits::{
    DRAINING_RETRY_MS, GATEWAY_WAIT_TIMEOUT, GATEWAY_WAITING_IDS_MAX, GATEWAY_WAITING_MAX,
    OVERLOADED_RETRY_MS,
};
use crate::service::{Service, refusal_text};
use crate::tenure::Seat;
use crate::timer::Timer;

/// Issues IDs to the requests of one gateway thread.
#[derive(Debug)]
pub(crate) struct Generator {
    service: Mutex<Service>,
    lines: [Line; Kind::ALL.len()],
    /// How many wait, for all kinds together, and for how many IDs.
    waiting: AtomicUsize,
    waiting_ids: AtomicU32,
}

/// Those who wait for numbers of one kind.
#[derive(Debug)]
struct Line {
    /// Held by the first of them; the others wait for it in the order they came.
    timer: tokio::sync::Mutex<Timer>,
    waiting: AtomicUsize,
}

/// Why a request got no IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    /// When to ask again, in milliseconds; 0 when it would not help.
    pub(crate) retry_after_ms: u32,
    pub(crate) text: &'static str,
}

/// A request on its way.
struct Issue {
    kind: Kind,
    demand: Demand,
    ids: Vec<AnyId>,
    /// When the first turn for it began.
    arrived: Option<WallTime>,
}

/// IDs for people: one by one.
struct AnySink<'a> {
    kind: Kind,
    ids: &'a mut Vec<AnyId>,
}

impl IdSink for AnySink<'_> {
    fn room(&self) -> u32 {
        u32::MAX
    }

    fn push(&mut self, run: Run) {
        let any = |id: Id| AnyId::narrow(self.kind, id).expect("a run is of a 64-bit kind");
        self.ids.extend(run.ids().map(any));
    }

    fn push_wide(&mut self, bits: u128) {
        self.ids.push(AnyId::wide(self.kind, bits).expect("the lane makes IDs of this kind"));
    }
}

impl Generator {
    /// To be called inside the runtime that will serve.
    pub(crate) fn new(service: Service) -> io::Result<Self> {
        Ok(Self {
            service: Mutex::new(service),
            lines: [Line::new()?, Line::new()?, Line::new()?, Line::new()?, Line::new()?],
            waiting: AtomicUsize::new(0),
            waiting_ids: AtomicU32::new(0),
        })
    }

    /// Issues `count` IDs of a kind, in the order of the kind. Waits for sequence space when the
    /// tick has no more, behind those who wait already.
    pub(crate) async fn generate(&self, kind: Kind, count: Count) -> Result<Vec<AnyId>, Refused> {
        let demand = Demand::new(count);
        let ids = Vec::with_capacity(count.get() as usize);
        let mut issue = Issue { kind, demand, ids, arrived: None };
        let may_issue = self.line(kind).waiting.load(Ordering::Relaxed) == 0;
        if !may_issue {
            issue.arrived = Some(self.service().turn().begun());
        }
        if !(may_issue && self.advance(&mut issue)?.is_none()) {
            let waited = tokio::time::timeout(GATEWAY_WAIT_TIMEOUT, self.wait(&mut issue));
            waited.await.unwrap_or_else(|_| Err(self.overloaded()))?;
        }
        Ok(issue.ids)
    }

    /// Goes to the end of the line, and issues when it is there.
    async fn wait(&self, issue: &mut Issue) -> Result<(), Refused> {
        let ids = issue.demand.remaining();
        if self.waiting.load(Ordering::Relaxed) == GATEWAY_WAITING_MAX
            || self.waiting_ids.load(Ordering::Relaxed) + ids > GATEWAY_WAITING_IDS_MAX
        {
            return Err(self.overloaded());
        }
        let line = self.line(issue.kind);
        let _place = Place::new(self, line, ids);
        let timer = line.timer.lock().await;
        while let Some(remaining) = self.advance(issue)? {
            let fired = match timer.arm(remaining) {
                Ok(()) => timer.fired().await,
                Err(error) => Err(error),
            };
            if let Err(error) = fired {
                error!(%error, "the timer of the gateway failed");
                return Err(self.overloaded());
            }
        }
        Ok(())
    }

    /// Issues what there is. `Some` when there is more after that time.
    fn advance(&self, issue: &mut Issue) -> Result<Option<Duration>, Refused> {
        let mut service = self.service();
        if service.is_draining() {
            service.counters().reject(Reject::Draining);
            let text = "the server is shutting down";
            let (code, retry_after_ms) = (ErrorCode::Draining, DRAINING_RETRY_MS);
            return Err(Refused { code, retry_after_ms, text });
        }
        let turn = service.turn();
        let arrived = *issue.arrived.get_or_insert_with(|| turn.begun());
        let mut sink = AnySink { kind: issue.kind, ids: &mut issue.ids };
        let outcome = service.generate(&turn, issue.kind, &mut issue.demand, &mut sink);
        let result = match outcome {
            Outcome::Done => {
                service.met(&turn, arrived);
                Ok(None)
            }
            Outcome::Wait { until_ms } => Ok(Some(turn.until(until_ms))),
            Outcome::Refused(refusal) => Err(refusal.into()),
        };
        service.end_turn(&turn);
        result
    }

    pub(crate) fn health(&self) -> Health {
        let service = self.service();
        let turn = service.turn();
        service.health(&turn)
    }

    /// The worker parts of the slots that IDs are issued from, or will be.
    pub(crate) fn worker_ids(&self) -> WorkerIds {
        self.service().worker_ids()
    }

    /// As [`Service::sit`].
    pub(crate) fn sit(&self, seat: Option<Seat>) -> Option<Lane> {
        self.service().sit(seat)
    }

    /// Counts a request that was turned away.
    pub(crate) fn reject(&self, reason: Reject) {
        self.service().counters().reject(reason);
    }

    /// From now on every request for IDs is refused: the server shuts down.
    pub(crate) fn drain(&self) {
        self.service().drain();
    }

    /// Ends the generator: the lane issues nothing more.
    pub(crate) fn into_lane(self) -> Option<Lane> {
        self.service.into_inner().unwrap_or_else(PoisonError::into_inner).into_lane()
    }

    #[cold]
    fn overloaded(&self) -> Refused {
        self.reject(Reject::Overloaded);
        Refused {
            code: ErrorCode::Overloaded,
            retry_after_ms: OVERLOADED_RETRY_MS,
            text: "too many requests wait for sequence space",
        }
    }

    const fn line(&self, kind: Kind) -> &Line {
        &self.lines[kind.index()]
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (code, retry_after_ms) = (refusal.code(), refusal.retry_after_ms());
        Self { code, retry_after_ms, text: refusal_text(refusal) }
    }
}

impl Line {
    fn new() -> io::Result<Self> {
        let timer = tokio::sync::Mutex::new(Timer::new()?);
        Ok(Self { timer, waiting: AtomicUsize::new(0) })
    }
}

/// One among those who wait.
struct Place<'a> {
    generator: &'a Generator,
    line: &'a Line,
    ids: u32,
}

impl<'a> Place<'a> {
    fn new(generator: &'a Generator, line: &'a Line, ids: u32) -> Self {
        generator.waiting.fetch_add(1, Ordering::Relaxed);
        generator.waiting_ids.fetch_add(ids, Ordering::Relaxed);
        line.waiting.fetch_add(1, Ordering::Relaxed);
        Self { generator, line, ids }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.generator.waiting.fetch_sub(1, Ordering::Relaxed);
        self.generator.waiting_ids.fetch_sub(self.ids, Ordering::Relaxed);
        self.line.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
