//! The command line: every value is checked before the first socket opens.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};
use coreflake_protocol::{Count, Kind};

use crate::target::{Scheme, Target};

/// More sockets than a single client address has ports for helps nobody.
const CONNECTIONS_MAX: i64 = 10_000;
/// A UDP nonce carries the place in the pending table in its low 10 bits.
pub(crate) const PIPELINE_MAX: i64 = 1024;
/// Each thread is an event loop; more than this many cannot be fed by one process.
const THREADS_MAX: i64 = 1024;
/// Requests per second. Above this the plan's steps are shorter than a clock read.
const RATE_MAX: u32 = 100_000_000;
/// Keeps every time of a run far inside 64 bits of nanoseconds.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
const DURATION_MIN: Duration = Duration::from_millis(1);
/// The largest latency the histograms hold.
const SLO_MAX: Duration = Duration::from_secs(60);

/// Measures a coreflake server: latency from the intended send time, and a proof of uniqueness.
///
/// Exit codes: 0; 1 when the p99 objective was missed, an ID came twice, order broke, or nothing
/// was answered; 2 for a wrong command line; 69 when the target cannot be reached.
///
/// Ctrl-C ends the run early, with its report; a second one ends the process.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub(crate) struct Args {
    /// Where to send requests: tcp://HOST:PORT, udp://HOST:PORT, http://HOST:PORT (REST) or
    /// grpc://HOST:PORT
    ///
    /// The order of IDs is checked on each connection. Replies over gRPC have no order among each
    /// other, so there a reply must begin above those that had come before its request left.
    #[arg(long, value_name = "URL", default_value = "tcp://127.0.0.1:4096")]
    pub(crate) target: Target,

    /// Requests per second of the whole run (open loop), or `max` (closed loop)
    #[arg(long, value_name = "N|max", default_value = "10000", value_parser = rate)]
    pub(crate) rate: Rate,

    /// Connections, or sockets for UDP
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) connections: u32,

    /// Keep only connections that this lane of the server answers (TCP and UDP only)
    #[arg(long, value_name = "N")]
    pub(crate) lane: Option<u16>,

    /// Requests in flight per connection at most; over gRPC, no more than the server allows
    #[arg(long, value_name = "N", default_value_t = 32,
        value_parser = value_parser!(u32).range(1..=PIPELINE_MAX))]
    pub(crate) pipeline: u32,

    /// The kind of ID: snowflake, instagram, uuid1, ulid or uuid7
    #[arg(long, value_name = "KIND", default_value_t = Kind::Snowflake)]
    pub(crate) kind: Kind,

    /// IDs per request
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) count: Count,

    /// Threads [default: the cores at hand, at most one per connection]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u32>,

    /// How long to measure: 500ms, 10s, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = measured)]
    pub(crate) duration: Duration,

    /// How long to run before measuring; its IDs are verified all the same
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = warmup)]
    pub(crate) warmup: Duration,

    /// Prove that no ID came twice, and that those of a connection rise in the order of their kind
    #[arg(long)]
    pub(crate) verify: bool,

    /// Connect anew when a connection breaks (tcp:// and http://), as long as the run lasts
    ///
    /// What was on its way counts as errors, and the order of IDs begins anew. While a target
    /// cannot be reached, each attempt holds up the other connections of its thread for up to 200
    /// ms, and latencies show that. Without it, the run goes on with the connections that are left.
    #[arg(long)]
    pub(crate) reconnect: bool,

    /// Write the report as JSON to this file; `-` prints it instead of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Exit with 1 when the 99th percentile is above this: 1ms, 500us
    #[arg(long, value_name = "TIME", value_parser = objective)]
    pub(crate) slo_p99: Option<Duration>,

    /// File with the token to show: first on every connection over TCP, with every request over
    /// http:// and grpc://; not for UDP
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// When the next request leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// At its time in a plan of this many requests per second, whatever the server does.
    PerSecond(NonZeroU32),
    /// When an earlier one was answered.
    Max,
}

impl Args {
    /// Reads the command line. Ends the process with code 2 when it is wrong, 0 after `--help`.
    pub(crate) fn read() -> Self {
        let args = Self::parse();
        if let Err(message) = args.check() {
            Self::command().error(ErrorKind::ValueValidation, message).exit();
        }
        args
    }

    /// Rules between values, which clap cannot see.
    fn check(&self) -> Result<(), String> {
        if let Some(threads) = self.threads
            && threads > self.connections
        {
            let connections = self.connections;
            return Err(format!(
                "--threads {threads}: at most one per connection, and --connections is {connections}"
            ));
        }
        if self.token_file.is_some() && self.target.scheme == Scheme::Udp {
            return Err("--token-file: a udp:// target takes no token".to_owned());
        }
        if self.reconnect && !matches!(self.target.scheme, Scheme::Tcp | Scheme::Http) {
            let target = &self.target;
            return Err(format!("--reconnect: {target} has no connections to make anew"));
        }
        if self.reconnect && self.lane.is_some() {
            return Err("--lane: a connection that is made anew may be any lane's, so not with \
                        --reconnect"
                .to_owned());
        }
        if self.lane.is_some() && !self.target.scheme.has_lanes() {
            let target = &self.target;
            return Err(format!("--lane: {target} does not say which lane answers a connection"));
        }
        Ok(())
    }

    /// How many threads to run, from the cores at hand when not given.
    pub(crate) fn thread_count(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        self.threads.unwrap_or(cores).min(self.connections)
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let rate = text.parse::<u32>().ok().filter(|rate| *rate <= RATE_MAX).and_then(NonZeroU32::new);
    rate.map(Rate::PerSecond)
        .ok_or_else(|| format!("1 to {RATE_MAX} requests per second or `max` are allowed"))
}

fn count(text: &str) -> Result<Count, String> {
    let count = text.parse().ok().and_then(Count::new);
    count.ok_or_else(|| format!("1 to {} are allowed", Count::MAX))
}

fn measured(text: &str) -> Result<Duration, String> {
    within(duration(text)?, DURATION_MIN, DURATION_MAX)
}

fn warmup(text: &str) -> Result<Duration, String> {
    within(duration(text)?, Duration::ZERO, DURATION_MAX)
}

fn objective(text: &str) -> Result<Duration, String> {
    within(duration(text)?, Duration::from_nanos(1), SLO_MAX)
}

fn within(value: Duration, min: Duration, max: Duration) -> Result<Duration, String> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{min:?} to {max:?} are allowed"))
    }
}

/// A number and a unit, as in `1.5s`. A bare number is refused except 0: its unit would be a guess.
fn duration(text: &str) -> Result<Duration, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit_seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        _ => return Err("a number with a unit of ns, us, ms, s, m or h is expected".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    Duration::try_from_secs_f64(number * unit_seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_take_a_unit() {
        for (text, expected) in [
            ("1ns", Duration::from_nanos(1)),
            ("500us", Duration::from_micros(500)),
            ("500ms", Duration::from_millis(500)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("0", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for text in ["", "10", "s", "1.2.3s", "-1s", "1 s", "1d", "1e3s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_bounded() {
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("1"), Ok(Rate::PerSecond(NonZeroU32::MIN)));
        for text in ["0", "-1", "100000001", "1.5", "fast", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_named() {
        let check = |line: &str| {
            Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?.check()
        };
        assert_eq!(check("loadgen --threads 2 --connections 2"), Ok(()));
        let message = check("loadgen --threads 3 --connections 2").unwrap_err();
        assert!(message.starts_with("--threads 3"), "{message}");
        let message = check("loadgen --target udp://h:1 --token-file t").unwrap_err();
        assert!(message.starts_with("--token-file"), "{message}");
        for target in ["http", "grpc"] {
            assert_eq!(check(&format!("loadgen --target {target}://h:1 --token-file t")), Ok(()));
            let message = check(&format!("loadgen --target {target}://h:1 --lane 0")).unwrap_err();
            assert!(message.starts_with("--lane"), "{message}");
        }
        assert_eq!(check("loadgen --target udp://h:1 --lane 0"), Ok(()));
        for flag in ["--connections", "--pipeline", "--count", "--threads"] {
            let message = check(&format!("loadgen {flag} 0")).unwrap_err();
            assert!(message.contains(flag), "{message}");
        }
    }
}
