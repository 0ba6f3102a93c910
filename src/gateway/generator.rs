//! The application of one gateway thread: its lane, and those who wait for sequence space.
//!
//! The handlers of HTTP and gRPC have to be `Send`, so what a shard keeps in a `RefCell` stands
//! behind a mutex here. Nobody but the one thread ever takes it: it costs two uncontended atomics.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coreflake_engine::{Demand, Lane, Outcome, Refusal};
use coreflake_protocol::{Count, ErrorCode, Health, Id, Parts, Run, WorkerIds};
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
    /// Held by the first of those who wait for sequence space; the others wait for it in the order
    /// they came.
    timer: tokio::sync::Mutex<Timer>,
    waiting: AtomicUsize,
    /// How many IDs they wait for.
    waiting_ids: AtomicU32,
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
    demand: Demand,
    runs: Vec<Run>,
    /// When the first turn for it began.
    arrived: Option<WallTime>,
}

impl Generator {
    /// To be called inside the runtime that will serve.
    pub(crate) fn new(service: Service) -> io::Result<Self> {
        Ok(Self {
            service: Mutex::new(service),
            timer: tokio::sync::Mutex::new(Timer::new()?),
            waiting: AtomicUsize::new(0),
            waiting_ids: AtomicU32::new(0),
        })
    }

    /// Issues `count` IDs, in ascending runs. Waits for sequence space when the tick has no more,
    /// behind those who wait already.
    pub(crate) async fn generate(&self, count: Count) -> Result<Vec<Run>, Refused> {
        let demand = Demand::new(count);
        let mut issue = Issue { demand, runs: Vec::with_capacity(1), arrived: None };
        let may_issue = self.waiting.load(Ordering::Relaxed) == 0;
        if !may_issue {
            issue.arrived = Some(self.service().turn().begun());
        }
        if !(may_issue && self.advance(&mut issue)?.is_none()) {
            let waited = tokio::time::timeout(GATEWAY_WAIT_TIMEOUT, self.wait(&mut issue));
            waited.await.unwrap_or_else(|_| Err(self.overloaded()))?;
        }
        Ok(issue.runs)
    }

    /// Goes to the end of the line, and issues when it is there.
    async fn wait(&self, issue: &mut Issue) -> Result<(), Refused> {
        let ids = issue.demand.remaining();
        if self.waiting.load(Ordering::Relaxed) == GATEWAY_WAITING_MAX
            || self.waiting_ids.load(Ordering::Relaxed) + ids > GATEWAY_WAITING_IDS_MAX
        {
            return Err(self.overloaded());
        }
        let _place = Place::new(self, ids);
        let timer = self.timer.lock().await;
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
        let outcome = service.generate(&turn, &mut issue.demand, &mut issue.runs);
        let result = match outcome {
            Outcome::Done => {
                service.met(&turn, arrived);
                Ok(None)
            }
            Outcome::Wait { until } => Ok(Some(service.until(&turn, until))),
            Outcome::Refused(refusal) => Err(refusal.into()),
        };
        service.end_turn(&turn);
        result
    }

    pub(crate) fn parse(&self, id: Id) -> Parts {
        self.service().parse(id)
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

/// One among those who wait.
struct Place<'a> {
    generator: &'a Generator,
    ids: u32,
}

impl<'a> Place<'a> {
    fn new(generator: &'a Generator, ids: u32) -> Self {
        generator.waiting.fetch_add(1, Ordering::Relaxed);
        generator.waiting_ids.fetch_add(ids, Ordering::Relaxed);
        Self { generator, ids }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.generator.waiting.fetch_sub(1, Ordering::Relaxed);
        self.generator.waiting_ids.fetch_sub(self.ids, Ordering::Relaxed);
    }
}
