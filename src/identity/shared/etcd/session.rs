//! The session of this process: a lease, made when the first marker needs one.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coreflake_etcd::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::members::{Kind, Members};
use super::reason;
use crate::identity::shared::Trouble;
use crate::limits::ETCD_KEEP_ALIVE_RETRY;

/// A lease is kept alive this many times in its life: two may fail.
const KEPT_PER_LIFE: u32 = 3;

#[derive(Debug)]
pub(super) struct Session {
    /// How long a lease lives that nobody keeps alive, in whole seconds.
    ttl_s: i64,
    state: Mutex<State>,
    /// Held by whoever makes a lease: one is enough.
    granting: tokio::sync::Mutex<()>,
    granted: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    lease: Option<Lease>,
    /// Rises with each session that was lost.
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: i64,
    ttl: Duration,
}

impl Session {
    pub(super) fn new(ttl: Duration) -> Self {
        let ttl_s = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
        Self {
            ttl_s: i64::try_from(ttl_s).unwrap_or(i64::MAX),
            state: Mutex::default(),
            granting: tokio::sync::Mutex::default(),
            granted: Notify::new(),
        }
    }

    /// 0 before the first lease, 1 with it, one more whenever a lease is lost: whoever has made a
    /// marker under another number has it no more.
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.state().number
    }

    /// The lease, as far as is known.
    pub(super) fn lease(&self) -> Option<i64> {
        self.state().lease.map(|lease| lease.id)
    }

    /// The lease, made now if there is none.
    pub(super) async fn lease_or_new(
        &self,
        members: &Members,
        deadline: Instant,
    ) -> Result<i64, Trouble> {
        let _only = self.granting.lock().await;
        if let Some(lease) = self.lease() {
            return Ok(lease);
        }
        let ttl_s = self.ttl_s;
        // One that was made without our knowledge ends by itself.
        let grant = members.call(Kind::Repeatable, deadline, |line| async move {
            let request = line.request(LeaseGrantRequest { ttl: ttl_s });
            let answer = line.lease().lease_grant(request).await?.into_inner();
            match u64::try_from(answer.ttl) {
                Ok(ttl_s @ 1..) if answer.id > 0 && answer.error.is_empty() => {
                    Ok(Lease { id: answer.id, ttl: Duration::from_secs(ttl_s) })
                }
                _ => Err(Status::unavailable(format!("no lease: {}", answer.error))),
            }
        });
        let lease = grant.await?;
        let mut state = self.state();
        state.lease = Some(lease);
        state.number = state.number.max(1);
        drop(state);
        self.granted.notify_one();
        Ok(lease.id)
    }

    /// Forgets a lease that etcd does not have any more.
    pub(super) fn lost(&self, lease: i64) {
        let mut state = self.state();
        if state.lease.is_some_and(|current| current.id == lease) {
            state.lease = None;
            state.number = state.number.saturating_add(1);
            drop(state);
            tracing::warn!("the session with etcd has ended, and the live marker with it");
        }
    }

    /// Keeps the lease alive, whenever there is one, for ever.
    pub(super) async fn tend(&self, members: &Members, timeout: Duration) {
        let mut failing = false;
        loop {
            let lease = self.state().lease;
            let Some(lease) = lease else {
                self.granted.notified().await;
                continue;
            };
            let pause = lease.ttl / KEPT_PER_LIFE;
            let deadline = Instant::now() + timeout.min(pause);
            match keep_alive(lease.id, members, deadline).await {
                Ok(true) => {
                    failing = false;
                    sleep(pause).await;
                }
                Ok(false) => self.lost(lease.id),
                Err(trouble) => {
                    if !core::mem::replace(&mut failing, true) {
                        tracing::warn!(reason = %trouble, "the session cannot be kept alive");
                    }
                    // Only what may pass soon is worth more questions than usual.
                    let soon = matches!(trouble, Trouble::Away(_));
                    sleep(if soon { pause.min(ETCD_KEEP_ALIVE_RETRY) } else { pause }).await;
                }
            }
        }
    }

    /// Ends the lease, if there is one: the marker goes at once.
    pub(super) async fn close(&self, members: &Members, deadline: Instant) -> Result<(), Trouble> {
        let lease = {
            let mut state = self.state();
            let Some(lease) = state.lease.take() else { return Ok(()) };
            state.number = state.number.saturating_add(1);
            lease.id
        };
        let revoke = members.call(Kind::Repeatable, deadline, |line| async move {
            let request = line.request(LeaseRevokeRequest { id: lease });
            match line.lease().lease_revoke(request).await {
                Err(status) if !reason::is_lease_gone(&status) => Err(status),
                _ => Ok(()),
            }
        });
        revoke.await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether etcd still has the lease; if so, its life has begun again.
async fn keep_alive(lease: i64, members: &Members, deadline: Instant) -> Result<bool, Trouble> {
    let call = members.call(Kind::Repeatable, deadline, |line| async move {
        // One question and one answer: a stream that stayed open would notice nothing sooner.
        let question = tokio_stream::once(LeaseKeepAliveRequest { id: lease });
        let mut answers = line.lease().lease_keep_alive(line.request(question)).await?.into_inner();
        match answers.message().await? {
            Some(answer) => Ok(answer.ttl > 0),
            None => Err(Status::unavailable("no answer to a question about a lease")),
        }
    });
    call.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_rounded_up_to_whole_seconds() {
        for (ttl_ms, ttl_s) in [(1, 1), (1_000, 1), (1_001, 2), (10_000, 10)] {
            assert_eq!(Session::new(Duration::from_millis(ttl_ms)).ttl_s, ttl_s);
        }
        assert_eq!(Session::new(Duration::MAX).ttl_s, i64::MAX);
    }
}
