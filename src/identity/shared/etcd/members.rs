//! All endpoints: which of them is asked, and what is made of those that do not answer.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::member::{Line, Member, User};
use super::reason;
use crate::identity::StoreError;
use crate::identity::shared::{StoreSettings, Trouble};

/// Whether a call may be made again when it is not known whether it has been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may: a read, or what does no harm twice.
    Repeatable,
    /// It may not: a write. Another endpoint gets it only if it has not left this process.
    Once,
}

#[derive(Debug)]
pub(super) struct Members {
    /// At least one.
    members: Vec<Member>,
    /// The one that has answered last; the one after it, if it has failed since.
    current: AtomicUsize,
    user: Option<User>,
    timeout: Duration,
}

/// Why one endpoint gave no answer.
#[derive(Debug)]
struct Failure {
    trouble: Trouble,
    /// Whether the call may have been made.
    sent: bool,
}

impl Members {
    pub(super) fn new(settings: &StoreSettings) -> Result<Self, StoreError> {
        if settings.endpoints.is_empty() {
            return Err(StoreError("etcd needs an address".to_owned()));
        }
        let user = User::new(&settings.credentials)?;
        let of = |endpoint| Member::new(endpoint, &settings.tls);
        let members = settings.endpoints.iter().map(of).collect::<Result<_, _>>()?;
        Ok(Self { members, current: AtomicUsize::new(0), user, timeout: settings.timeout })
    }

    /// When a call that begins now has to be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Makes a call, each endpoint at most once, before the `deadline`.
    pub(super) async fn call<T, F, R>(
        &self,
        kind: Kind,
        deadline: Instant,
        rpc: F,
    ) -> Result<T, Trouble>
    where
        F: Fn(Arc<Line>) -> R,
        R: Future<Output = Result<T, Status>>,
    {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.members.len());
        let mut failures = Vec::new();
        for turn in 0..count {
            let index = (first + turn) % count;
            let until = share(Instant::now(), deadline, count - turn);
            let failure = match self.ask(&self.members[index], kind, until, deadline, &rpc).await {
                Ok(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let Trouble::Away(text) = failure.trouble else { return Err(failure.trouble) };
            // Whatever comes next begins with another.
            self.current.store((index + 1) % count, Ordering::Relaxed);
            failures.push(text);
            if (failure.sent && kind == Kind::Once) || Instant::now() >= deadline {
                break;
            }
        }
        Err(Trouble::Away(failures.join("; ")))
    }

    /// Makes a call to one endpoint. The connection has to stand by `until`, so that there is time
    /// for another one; so has the answer, if another one may be asked for it.
    async fn ask<T, F, R>(
        &self,
        member: &Member,
        kind: Kind,
        until: Instant,
        deadline: Instant,
        rpc: &F,
    ) -> Result<T, Failure>
    where
        F: Fn(Arc<Line>) -> R,
        R: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let silent = |sent| {
            let after_ms = begun.elapsed().as_millis();
            let text = format!("etcd at {}: no answer for {after_ms} ms", member.name());
            Failure { trouble: Trouble::Away(text), sent }
        };
        let unsent = |trouble| Failure { trouble, sent: false };
        let user = self.user.as_ref();
        let Ok(line) = timeout_at(until, member.line(user)).await else {
            return Err(silent(false));
        };
        let line = line.map_err(unsent)?;
        let until = if kind == Kind::Once { deadline } else { until };
        let answer = timeout_at(until, rpc(line.clone())).await;
        let (line, answer) = match answer {
            Ok(Err(status)) if user.is_some() && reason::is_stale_token(&status) => {
                let Ok(fresh) = timeout_at(until, member.renew(&line, user)).await else {
                    member.hang_up(&line);
                    return Err(silent(false));
                };
                let fresh = fresh.map_err(unsent)?;
                (fresh.clone(), timeout_at(until, rpc(fresh)).await)
            }
            answer => (line, answer),
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => {
                let trouble = reason::trouble(member.name(), &status);
                if matches!(trouble, Trouble::Away(_)) {
                    member.hang_up(&line);
                }
                Err(Failure { trouble, sent: !reason::is_unsent(&status) })
            }
            Err(_) => {
                member.hang_up(&line);
                Err(silent(true))
            }
        }
    }
}

/// Until when one endpoint is waited for, when `left` of them, with this one, share the time.
fn share(now: Instant, deadline: Instant, left: usize) -> Instant {
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_a_share_of_what_is_left() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(3);
        assert_eq!(share(now, deadline, 3), now + Duration::from_secs(1));
        assert_eq!(share(now, deadline, 1), deadline);
        assert_eq!(share(deadline, now, 2), deadline, "no time is left");
    }
}
