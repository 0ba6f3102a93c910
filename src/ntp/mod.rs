//! Asks time servers how far the clock is off, round after round.
//!
//! ```text
//!  name -> server -> query       coreflake_engine::drift judges the offsets
//! ```
//!
//! All servers of a round are asked at once, and a round ends within a second whatever they do. The
//! monitor measures and judges; what follows from its verdict is up to whoever reads the [`Round`].

mod name;
mod query;
mod server;

use core::time::Duration;
use std::time::Instant;

use coreflake_engine::drift::{self, DriftJudge, DriftState, SERVERS_MAX};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

pub use self::name::{ServerName, ServerNameError};
pub use self::query::NoAnswer;
use self::server::Server;
use crate::kernel_clock::KernelClock;

/// How often the servers are asked, when nobody says otherwise.
pub const ROUND_INTERVAL: Duration = Duration::from_secs(10);

/// An interval of nothing would be a loop.
const ROUND_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The time servers and what they have said so far.
#[derive(Debug)]
pub struct NtpMonitor {
    servers: Vec<Server>,
    interval: Duration,
    judge: DriftJudge,
    said: Option<(&'static str, &'static str)>,
}

/// Why servers cannot be watched together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServersError {
    /// There are too many.
    #[error("{0} time servers: {SERVERS_MAX} at most")]
    TooMany(usize),
    /// One is there twice and would have two votes.
    #[error("the time server {0} is named twice")]
    Twice(ServerName),
}

/// What one round has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// When the first server was asked.
    pub started: Instant,
    /// The servers in their order: offset in microseconds, server minus clock, or why there is
    /// none.
    pub servers: Vec<(ServerName, Result<i64, NoAnswer>)>,
    /// What follows from this round and those before.
    pub state: DriftState,
    /// What the kernel says.
    pub kernel: KernelClock,
}

impl NtpMonitor {
    /// A monitor that has asked nobody yet. Without servers it knows only what the kernel says.
    ///
    /// # Errors
    ///
    /// When there are more than [`SERVERS_MAX`] servers, or one is there twice.
    pub fn new(names: Vec<ServerName>, interval: Duration) -> Result<Self, ServersError> {
        if names.len() > SERVERS_MAX {
            return Err(ServersError::TooMany(names.len()));
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(ServersError::Twice(name.clone()));
            }
        }
        let judge = DriftJudge::new(names.len());
        let servers = names.into_iter().map(Server::new).collect();
        Ok(Self { servers, interval: interval.max(ROUND_INTERVAL_MIN), judge, said: None })
    }

    /// Asks at once and then at every interval, for ever. Stops when it is dropped.
    pub async fn run(mut self, mut report: impl FnMut(Round)) {
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            report(self.round().await);
        }
    }

    /// Asks once.
    pub async fn round(&mut self) -> Round {
        let started = Instant::now();
        let answers = self.ask_all().await;
        let mut servers = Vec::new();
        for (server, answer) in self.servers.iter_mut().zip(answers.into_iter().flatten()) {
            server.log(&answer);
            servers.push((server.name().clone(), answer));
        }
        let kernel = KernelClock::read();
        let mut round = Round { started, servers, state: DriftState::Unknown, kernel };
        round.state = self.judge.round(&round.offsets_us());
        self.log(&round);
        round
    }

    async fn ask_all(&mut self) -> [Option<Result<i64, NoAnswer>>; SERVERS_MAX] {
        async fn ask(server: Option<&mut Server>) -> Option<Result<i64, NoAnswer>> {
            Some(server?.ask().await)
        }
        let mut servers = self.servers.iter_mut();
        let mut next = || ask(servers.next());
        tokio::join!(next(), next(), next()).into()
    }

    /// Logs what has changed.
    fn log(&mut self, round: &Round) {
        let says = (round.state.name(), round.kernel.name());
        let said = self.said.replace(says).unwrap_or_default();
        let (kernel, offset_us) = (&round.kernel, round.state.offset_us());
        if said.0 != says.0 {
            let servers = round.answers();
            match round.state {
                DriftState::Unknown if self.servers.is_empty() => {
                    warn!(%kernel, "clock drift is not known: no time server is configured");
                }
                DriftState::Unknown => {
                    warn!(%servers, %kernel, "clock drift is not known: too few servers answer");
                }
                DriftState::Good { .. } => info!(offset_us, %servers, %kernel, "the clock is good"),
                DriftState::Alert { .. } => warn!(
                    offset_us, %servers, %kernel,
                    "clock drift: off by more than {} ms (do some servers smear leap seconds?)",
                    drift::DRIFT_ALERT_MS
                ),
                DriftState::Refuse { .. } => error!(
                    offset_us, %servers, %kernel,
                    "clock drift: off by more than {} ms for {} rounds, no IDs are issued",
                    drift::DRIFT_REFUSE_MS, drift::ROUNDS_BEFORE_REFUSAL
                ),
            }
        } else if said.1 != says.1 {
            info!(%kernel, "the kernel's clock has changed its state");
        }
    }
}

impl Round {
    /// The offsets of the valid answers, in microseconds.
    pub fn offsets_us(&self) -> Vec<i64> {
        self.servers.iter().filter_map(|(_, answer)| answer.as_ref().ok().copied()).collect()
    }

    /// Whether the clock is right, as far as this round alone says so: what a clock that has jumped
    /// forward needs to be believed. A round that started before the jump speaks of the clock as it
    /// was.
    pub fn confirms_clock(&self) -> Option<bool> {
        drift::confirms(self.servers.len(), &self.offsets_us())
    }

    /// Servers and offsets on one line.
    fn answers(&self) -> String {
        let each = self.servers.iter().map(|(name, answer)| match answer {
            Ok(offset_us) => format!("{name}: {offset_us} us"),
            Err(reason) => format!("{name}: {reason}"),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

// `ask_all` counts them.
const _: () = assert!(SERVERS_MAX == 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_vote() {
        let monitor = |names: &[&str]| {
            let names = names.iter().map(|name| name.parse().unwrap()).collect();
            NtpMonitor::new(names, ROUND_INTERVAL).map(|_| ())
        };
        assert_eq!(monitor(&[]), Ok(()));
        assert_eq!(monitor(&["a", "a:124", "b"]), Ok(()));
        assert_eq!(monitor(&["a", "b", "c", "d"]), Err(ServersError::TooMany(4)));
        assert_eq!(monitor(&["a", "b", "A:123"]), Err(ServersError::Twice("a".parse().unwrap())));
    }
}
