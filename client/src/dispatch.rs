//! The caller's side of a call: hand it over, wait for the outcome, decide whether to try again.

use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::{Count, Kind as IdKind, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::builder::Config;
use crate::call::{Answer, Call, Failure, Outcome};
use crate::error::{Error, Kind};
use crate::link::{Link, State};

/// A server may answer with fewer IDs than asked for, at least one each. One that does so this
/// often in a row would rather be left alone.
const ROUNDS_MAX: u32 = 64;

/// Hands calls to the background task and waits for them.
#[derive(Debug)]
pub(crate) struct Dispatch {
    config: Arc<Config>,
    link: Arc<Link>,
    calls: mpsc::Sender<Call>,
    /// The process that owns the sockets and the task.
    process_id: u32,
}

/// The failures of one call so far and the time it has left.
struct Retry<'a> {
    config: &'a Config,
    deadline: Instant,
    failures: u32,
    backoff: Backoff,
}

impl Dispatch {
    pub(crate) fn new(config: Arc<Config>, link: Arc<Link>, calls: mpsc::Sender<Call>) -> Self {
        Self { config, link, calls, process_id: std::process::id() }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The answer to `request`, and how long the attempt that brought it took.
    pub(crate) async fn call(
        &self,
        request: Request<'static>,
    ) -> Result<(Answer, Duration), Error> {
        self.check_process()?;
        let mut started = Instant::now();
        let mut retry = Retry::new(&self.config, started);
        loop {
            let outcome = self.submit(request, retry.deadline).await?;
            match self.outcome(outcome, retry.deadline).await? {
                Ok(answer) => return Ok((answer, started.elapsed())),
                Err(failure) => retry.pause(failure).await?,
            }
            started = Instant::now();
        }
    }

    /// Answers with `count` IDs together. The requests of a round are all on their way before the
    /// first reply is waited for; what they leave missing, because they failed or were answered in
    /// part, is asked for in the next.
    pub(crate) async fn generate(&self, kind: IdKind, count: u32) -> Result<Vec<Answer>, Error> {
        self.check_process()?;
        let mut retry = Retry::new(&self.config, Instant::now());
        let mut answers = Vec::new();
        let mut missing = count;
        for _ in 0..ROUNDS_MAX {
            let mut waiting = Vec::new();
            for count in pieces(missing) {
                waiting.push(self.submit(Request::Generate { kind, count }, retry.deadline).await?);
            }
            let mut failed = None;
            for outcome in waiting {
                match self.outcome(outcome, retry.deadline).await? {
                    Ok(answer) => {
                        missing = missing.saturating_sub(answer.id_count());
                        answers.push(answer);
                    }
                    Err(failure) if failure.is_retryable() => failed = Some(failure),
                    Err(failure) => return Err(self.failure(failure)),
                }
            }
            if missing == 0 {
                return Ok(answers);
            }
            if let Some(failure) = failed {
                retry.pause(failure).await?;
            }
        }
        let endpoint = Arc::clone(&self.config.endpoint_name);
        Err(Error::new(Kind::Short { endpoint, missing, rounds: ROUNDS_MAX }))
    }

    /// Puts a call in line. When the line is full it waits for a place: that is the bound on the
    /// memory that callers can take.
    async fn submit(
        &self,
        request: Request<'static>,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, Error> {
        let (reply, outcome) = oneshot::channel();
        let call = Call { request, deadline, reply };
        match timeout_at(deadline, self.calls.send(call)).await {
            Ok(Ok(())) => Ok(outcome),
            Ok(Err(_)) => Err(self.ended()),
            Err(_) => Err(self.timeout()),
        }
    }

    async fn outcome(
        &self,
        outcome: oneshot::Receiver<Outcome>,
        deadline: Instant,
    ) -> Result<Outcome, Error> {
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(self.ended()),
            Err(_) => Err(self.timeout()),
        }
    }

    /// A child process shares the sockets of its parent and has none of its threads: its calls
    /// would hang, or take replies that belong to the parent.
    fn check_process(&self) -> Result<(), Error> {
        let (built, used) = (self.process_id, std::process::id());
        if built == used { Ok(()) } else { Err(Error::new(Kind::Forked { built, used })) }
    }

    #[cold]
    fn timeout(&self) -> Error {
        let (endpoint, limit) = (Arc::clone(&self.config.endpoint_name), self.config.call_timeout);
        Error::new(match self.link.state() {
            State::Up => Kind::Timeout { endpoint, limit },
            State::Down(last) => Kind::Connect { endpoint, limit, last },
        })
    }

    #[cold]
    fn ended(&self) -> Error {
        Error::new(Kind::Ended { endpoint: Arc::clone(&self.config.endpoint_name) })
    }

    #[cold]
    fn failure(&self, failure: Failure) -> Error {
        Error::failure(&self.config.endpoint_name, failure)
    }
}

impl<'a> Retry<'a> {
    fn new(config: &'a Config, now: Instant) -> Self {
        let deadline = now + config.call_timeout;
        Self { config, deadline, failures: 0, backoff: Backoff::default() }
    }

    /// Waits until it is time to try again. Gives the failure back when that would not help, or
    /// only after the deadline: a caller can do something better with the rest of its time.
    async fn pause(&mut self, failure: Failure) -> Result<(), Error> {
        self.failures += 1;
        let jitter = self.backoff.delay(&mut fastrand::Rng::new());
        let delay = failure.retry_after().unwrap_or(Duration::ZERO) + jitter;
        let in_time = Instant::now() + delay < self.deadline;
        if !failure.is_retryable() || self.failures >= self.config.attempts_max || !in_time {
            return Err(Error::failure(&self.config.endpoint_name, failure));
        }
        sleep(delay).await;
        Ok(())
    }
}

/// Cuts `count` into requests, each as large as one may be.
fn pieces(count: u32) -> impl Iterator<Item = Count> {
    let starts = (0..count).step_by(Count::MAX as usize);
    starts.filter_map(move |start| Count::new((count - start).min(Count::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn pieces_add_up() {
        let sizes = |count| pieces(count).map(Count::get).collect::<Vec<_>>();
        assert_eq!(sizes(0), []);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(4096), [4096]);
        assert_eq!(sizes(10_000), [4096, 4096, 1808]);
    }

    #[tokio::test]
    async fn another_process_is_refused() {
        let client = Client::builder().build().unwrap();
        let Dispatch { config, link, calls, .. } = client.dispatch();
        let (config, link, calls) = (Arc::clone(config), Arc::clone(link), calls.clone());
        let forked = Dispatch { process_id: u32::MAX, config, link, calls };
        let error = forked.call(Request::Ping).await.unwrap_err();
        assert!(error.to_string().contains("does not survive a fork"), "{error}");
        assert!(!error.is_retryable());
        assert!(forked.generate(IdKind::Snowflake, 1).await.is_err());
    }
}
