//! The caller's side of a call: hand it over, wait for the outcome, decide whether to try again.

use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::{Count, Kind as IdKind, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::batch::COUNT_MAX;
use crate::builder::Config;
use crate::call::{Answer, Call, Failure, Outcome};
use crate::datagram;
use crate::endpoint::Transport;
use crate::error::{Error, Kind};
use crate::link::{Link, State};

/// Datagrams of one batch on their way at a time. Their replies fit into the buffer that Linux
/// gives a socket (212,992 bytes, of which each takes 2,304), also while other calls are under way.
const DATAGRAMS_MAX: usize = 32;

/// Requests of the largest batch, all on their way at the same time.
const REQUESTS_MAX: usize = COUNT_MAX.div_ceil(Count::MAX) as usize;

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
    /// part, is asked for in the next. Each round brings an ID or is a failure, so that `count` and
    /// the attempts bound them, if the deadline does not.
    pub(crate) async fn generate(&self, kind: IdKind, count: u32) -> Result<Vec<Answer>, Error> {
        self.check_process()?;
        let mut retry = Retry::new(&self.config, Instant::now());
        let (requests_max, piece_max) = match self.config.endpoint.transport() {
            Transport::Tcp => (REQUESTS_MAX, Count::MAX),
            Transport::Udp => (DATAGRAMS_MAX, datagram::count_max(kind)),
        };
        let mut piece = piece_max;
        let mut answers = Vec::new();
        let mut missing = count;
        loop {
            let mut waiting = Vec::new();
            for count in pieces(missing, piece).take(requests_max) {
                waiting.push(self.submit(Request::Generate { kind, count }, retry.deadline).await?);
            }
            let mut failed = None;
            let mut largest = 0;
            for outcome in waiting {
                match self.outcome(outcome, retry.deadline).await? {
                    Ok(answer) => {
                        largest = largest.max(answer.id_count());
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
            // A server that has short ticks, say, answers datagrams with little each: then more of
            // them ask for less.
            if requests_max == DATAGRAMS_MAX && largest > 0 {
                piece = largest.saturating_mul(2).min(piece_max);
            }
        }
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

/// Cuts `count` into requests of `piece`, 1 to [`Count::MAX`].
fn pieces(count: u32, piece: u32) -> impl Iterator<Item = Count> {
    let starts = (0..count).step_by(piece as usize);
    starts.filter_map(move |start| Count::new((count - start).min(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn pieces_add_up() {
        let sizes = |count| pieces(count, Count::MAX).map(Count::get).collect::<Vec<_>>();
        assert_eq!(sizes(0), []);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(4096), [4096]);
        assert_eq!(sizes(10_000), [4096, 4096, 1808]);
        assert_eq!(sizes(COUNT_MAX).len(), REQUESTS_MAX);
        assert_eq!(pieces(150, 74).map(Count::get).collect::<Vec<_>>(), [74, 74, 2]);
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
