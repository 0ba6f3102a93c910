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

/// Requests of the largest batch, all on their way at the same time over TCP.
const REQUESTS_MAX: usize = COUNT_MAX.div_ceil(Count::MAX) as usize;

/// Datagrams of one batch on their way at a time, at first and at least: while one is waited for,
/// another one waits for the next tick.
const DATAGRAMS_MIN: usize = 2;

/// Datagrams of one batch on their way at most. Their replies fit into the buffer that Linux gives
/// a socket (212,992 bytes, of which each takes 2,304), also while other calls are under way.
const DATAGRAMS_MAX: usize = 32;

/// IDs that these datagrams ask for at most: half of what a server lets one source wait for.
const DATAGRAM_IDS_MAX: u32 = 32_768;

/// Hands calls to the background task and waits for them.
#[derive(Debug)]
pub(crate) struct Dispatch {
    config: Arc<Config>,
    link: Arc<Link>,
    calls: mpsc::Sender<Call>,
    /// The process that owns the sockets and the task.
    process_id: u32,
}

/// How many requests of one batch are on their way.
#[derive(Debug)]
struct Window {
    size: usize,
    size_min: usize,
    size_max: usize,
}

/// The failures of one call in a row and the time it has left.
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
    /// part, is asked for in the next. A round brings an ID or is one of so many failures in a row,
    /// so that `count` and the attempts bound them, if the deadline does not.
    pub(crate) async fn generate(&self, kind: IdKind, count: u32) -> Result<Vec<Answer>, Error> {
        self.check_process()?;
        let mut retry = Retry::new(&self.config, Instant::now());
        let (mut window, piece) = match self.config.endpoint.transport() {
            Transport::Tcp => (Window::whole(), Count::MAX),
            Transport::Udp => Window::of_datagrams(kind),
        };
        let mut answers = Vec::new();
        let mut missing = count;
        loop {
            let mut waiting = Vec::new();
            for count in pieces(missing, piece).take(window.size) {
                let request = Request::Generate { kind, count };
                waiting.push((count.get(), self.submit(request, retry.deadline).await?));
            }
            let mut failed = None;
            let mut are_whole = true;
            let missed = missing;
            for (count, outcome) in waiting {
                match self.outcome(outcome, retry.deadline).await? {
                    Ok(answer) => {
                        are_whole &= answer.id_count() == count;
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
            if missing < missed {
                retry.progress();
            }
            window.adapt(are_whole && failed.is_none());
            if let Some(failure) = failed {
                retry.pause(failure).await?;
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

impl Window {
    /// All requests at once: a connection brings each answer whole, and in order.
    const fn whole() -> Self {
        Self { size: REQUESTS_MAX, size_min: REQUESTS_MAX, size_max: REQUESTS_MAX }
    }

    /// With what a datagram asks for.
    const fn of_datagrams(kind: IdKind) -> (Self, u32) {
        let piece = datagram::count_max(kind);
        let fit = (DATAGRAM_IDS_MAX / piece) as usize;
        let size_max = if fit < DATAGRAMS_MAX { fit } else { DATAGRAMS_MAX };
        (Self { size: DATAGRAMS_MIN, size_min: DATAGRAMS_MIN, size_max }, piece)
    }

    /// Doubles it while all that is asked for comes. Otherwise requests wait for ticks that they
    /// have to themselves: the more of them wait, the longer, until they seem to be lost.
    fn adapt(&mut self, are_whole: bool) {
        let size = if are_whole { self.size * 2 } else { self.size / 2 };
        self.size = size.clamp(self.size_min, self.size_max);
    }
}

impl<'a> Retry<'a> {
    fn new(config: &'a Config, now: Instant) -> Self {
        let deadline = now + config.call_timeout;
        Self { config, deadline, failures: 0, backoff: Backoff::default() }
    }

    /// Something came, so what failed before did not fail for good.
    const fn progress(&mut self) {
        self.failures = 0;
        self.backoff.reset();
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
