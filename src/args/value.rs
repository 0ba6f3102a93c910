//! Values of settings that more than one layer reads.

use core::net::IpAddr;
use core::str::FromStr;
use std::net::SocketAddr;

use clap::ValueEnum;
use coreflake_engine::PoolShare;
use ipnet::IpNet;

use crate::timestamp;

/// Whose datagrams are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpAllow {
    /// Nobody's: UDP is off.
    None,
    /// Those of these networks.
    Networks(Vec<IpNet>),
}

impl FromStr for UdpAllow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.split(',').map(network).collect::<Result<_, _>>().map(Self::Networks)
    }
}

/// A network, or a host as a network of its own.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let host = text.parse::<IpAddr>().map(IpNet::from);
    host.or_else(|_| text.parse()).map_err(|_| {
        format!("`{text}` is no network such as 10.0.0.0/8 or fd00::/8, and not `none`")
    })
}

/// Which worker part a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorkerMode {
    /// The one it is told
    Static,
    /// A free one
    Dynamic,
}

/// Worker parts of which free ones are taken: from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPool {
    /// The first.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

impl FromStr for WorkerPool {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "a range such as 0-9, or one number, is expected";
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| digits).ok_or(rule)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last { Err(rule) } else { Ok(Self { first, last }) }
    }
}

/// A bound, as an operator names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// So many milliseconds after now.
    FromNow(u64),
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl Floor {
    /// The bound, in milliseconds since the Unix epoch.
    pub const fn unix_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::FromNow(ms) => now_ms.saturating_add(ms),
            Self::At(unix_ms) => unix_ms,
        }
    }
}

impl FromStr for Floor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "now, now+60s, now+500ms, a time such as 2026-11-24T12:00:00Z, or Unix \
                    milliseconds are expected";
        if let Some(rest) = text.strip_prefix("now") {
            if rest.is_empty() {
                return Ok(Self::FromNow(0));
            }
            let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
            let amount = rest.strip_prefix('+').ok_or(rule)?;
            let mut read = units.into_iter().filter_map(|(unit, ms)| {
                amount.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(ms)
            });
            return read.next().map(Self::FromNow).ok_or(rule);
        }
        if let Ok(unix_ms) = text.parse::<u64>() {
            // A smaller number counts seconds, most likely.
            return if unix_ms < 946_684_800_000 { Err(rule) } else { Ok(Self::At(unix_ms)) };
        }
        timestamp::parse(text).map(Self::At).ok_or(rule)
    }
}

/// Where REST or gRPC listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nowhere: it is off.
    None,
    /// At this address.
    At(SocketAddr),
}

impl Listener {
    /// The address, if there is one.
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::At(address) => Some(address),
        }
    }
}

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let wrong = || format!("`{text}` is no address such as 127.0.0.1:8080, and not `none`");
        text.parse().map(Self::At).map_err(|_| wrong())
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// A share of the sequence space, exactly as written.
pub(crate) fn pool_share(text: &str) -> Result<PoolShare, String> {
    let share = || {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() != 1 || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
            return None;
        }
        PoolShare::new(format!("{whole}{decimals:0<3}").parse().ok()?)
    };
    share().ok_or_else(|| format!("`{text}`: {POOL_SHARE_RULE} is expected"))
}

/// What [`pool_share`] takes.
pub(crate) const POOL_SHARE_RULE: &str = "a number from 0 to 0.9 with at most three decimals";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_exactly() {
        for (text, thousandths) in
            [("0", 0), ("0.75", 750), ("0.9", 900), ("0.001", 1), ("0.", 0), ("0.900", 900)]
        {
            assert_eq!(pool_share(text).ok(), PoolShare::new(thousandths), "{text}");
        }
        for text in ["", ".5", "0.901", "1", "-0.1", "0.7501", "0.7 ", "75%", "1e-1", "00.5"] {
            assert!(pool_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_is_an_address_or_none() {
        assert_eq!("none".parse(), Ok(Listener::None));
        let address: SocketAddr = "[::1]:0".parse().unwrap();
        assert_eq!("[::1]:0".parse(), Ok(Listener::At(address)));
        assert_eq!(
            (Listener::At(address).address(), Listener::None.address()),
            (Some(address), None)
        );
        for text in ["", "None", "8080", "localhost:8080", "127.0.0.1:65536"] {
            assert!(text.parse::<Listener>().is_err(), "{text}");
        }
    }
}
