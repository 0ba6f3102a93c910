//! One time server over the rounds: its name, its wish to be left alone, what was said about it.

use core::mem;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::name::ServerName;
use super::query::{self, NoAnswer};

/// From asking for the address to the answer of the server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server that asks to be left alone is left alone the first time. It doubles with each
/// time until it has answered.
const KISS_REST_MIN: Duration = Duration::from_secs(64);

/// It stays there: an operator may have changed the server's mind.
const KISS_REST_MAX: Duration = Duration::from_secs(1_024);

#[derive(Debug)]
pub(super) struct Server {
    name: ServerName,
    lookup: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
    rest: Rest,
    said: Option<Result<(), mem::Discriminant<NoAnswer>>>,
}

impl Server {
    pub(super) fn new(name: ServerName) -> Self {
        Self { name, lookup: None, rest: Rest::default(), said: None }
    }

    pub(super) fn name(&self) -> &ServerName {
        &self.name
    }

    /// The offset in microseconds, within [`ANSWER_TIMEOUT`].
    pub(super) async fn ask(&mut self) -> Result<i64, NoAnswer> {
        let now = Instant::now();
        if self.rest.lasts(now) {
            return Err(NoAnswer::Resting);
        }
        let deadline = now + ANSWER_TIMEOUT;
        let addresses = self.resolve(deadline).await?;
        let answer = query::ask(&addresses, deadline).await;
        match &answer {
            Ok(_) => self.rest = Rest::default(),
            Err(NoAnswer::Kiss(_)) => self.rest.begin(now),
            Err(_) => {}
        }
        answer
    }

    /// Addresses may change while the server runs, so each round asks for them. The system's
    /// resolver blocks and cannot be called off: it has a thread, and one question at a time.
    async fn resolve(&mut self, deadline: Instant) -> Result<Vec<SocketAddr>, NoAnswer> {
        let lookup = self.lookup.get_or_insert_with(|| {
            let name = self.name.clone();
            spawn_blocking(move || name.resolve())
        });
        let Ok(found) = timeout_at(deadline, lookup).await else {
            return Err(NoAnswer::Unresolved("the resolver takes too long".to_owned()));
        };
        self.lookup = None;
        let found = found.map_err(|error| NoAnswer::Unresolved(error.to_string()))?;
        found.map_err(|error| NoAnswer::Unresolved(error.to_string()))
    }

    /// Logs an answer if it is of another kind than the last one.
    pub(super) fn log(&mut self, answer: &Result<i64, NoAnswer>) {
        let says = answer.as_ref().map(|_| ()).map_err(mem::discriminant);
        // That it is left alone follows from what was said before.
        if self.said == Some(says) || matches!(answer, Err(NoAnswer::Resting)) {
            return;
        }
        self.said = Some(says);
        let server = &self.name;
        match answer {
            Ok(offset_us) => info!(%server, offset_us, "a time server answers"),
            Err(reason) => warn!(%server, %reason, "a time server gives no time"),
        }
    }
}

/// How long a server is left alone.
#[derive(Debug, Default)]
struct Rest {
    length: Duration,
    until: Option<Instant>,
}

impl Rest {
    fn begin(&mut self, now: Instant) {
        self.length = (self.length * 2).clamp(KISS_REST_MIN, KISS_REST_MAX);
        self.until = Some(now + self.length);
    }

    fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_left_alone_longer_each_time_it_asks() {
        let mut rest = Rest::default();
        let mut now = Instant::now();
        assert!(!rest.lasts(now));
        for seconds in [64, 128, 256, 512, 1_024, 1_024] {
            rest.begin(now);
            now += Duration::from_secs(seconds);
            assert!(rest.lasts(now - Duration::from_millis(1)), "{seconds}");
            assert!(!rest.lasts(now), "{seconds}");
        }
    }
}
