//! The settings of a client: collected as given, checked once.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::Request;
use tokio::runtime::Handle;

use crate::client::Client;
use crate::endpoint::{Endpoint, Transport};
use crate::error::{Error, Kind};

const ENDPOINT: &str = "tcp://127.0.0.1:4096";

const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// With the intervals above: sent at 0, 50, 150 and 350 ms, all well within the default deadline.
const ATTEMPTS_MAX: u32 = 4;
/// At a round trip of 100 us, ten million calls a second: more than a connection carries.
const IN_FLIGHT_MAX: usize = 1024;

/// A timer ticks in milliseconds; an hour is longer than any caller of a microsecond service waits.
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(60 * 60);
/// Beyond 16, doubled intervals are longer than any deadline.
const ATTEMPTS_RANGE: RangeInclusive<u32> = 1..=16;
/// Bounds the memory of a client: a few dozen bytes for each.
const IN_FLIGHT_RANGE: RangeInclusive<usize> = 1..=65_536;

/// Collects the settings of a [`Client`]. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: String,
    token: Option<Token>,
    call_timeout: Duration,
    connect_timeout: Duration,
    retry_interval: Duration,
    attempts_max: u32,
    in_flight_max: usize,
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) endpoint: Endpoint,
    /// The endpoint as errors name it.
    pub(crate) endpoint_name: Arc<str>,
    pub(crate) token: Option<Token>,
    pub(crate) call_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) retry_interval: Duration,
    pub(crate) attempts_max: u32,
    pub(crate) in_flight_max: usize,
}

/// A secret: never shown, not even by `Debug`.
#[derive(Clone)]
pub(crate) struct Token(Box<[u8]>);

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            endpoint: ENDPOINT.into(),
            token: None,
            call_timeout: CALL_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            retry_interval: RETRY_INTERVAL,
            attempts_max: ATTEMPTS_MAX,
            in_flight_max: IN_FLIGHT_MAX,
        }
    }

    /// The server: `tcp://HOST:PORT`, `udp://HOST:PORT`, or `HOST:PORT`, which means TCP. `HOST` is
    /// an IPv4 address, an IPv6 address in brackets, or a name, which is resolved anew for each
    /// connection. Default: `tcp://127.0.0.1:4096`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The token shown first on each connection, 1 to 512 bytes. TCP only: a datagram has no
    /// connection that a token could open. Default: none.
    #[must_use]
    pub fn token(mut self, token: impl AsRef<[u8]>) -> Self {
        self.token = Some(Token(token.as_ref().into()));
        self
    }

    /// The deadline of one call, connecting and retries included: 1 ms to 1 hour. A connection on
    /// which calls wait and nothing is answered for this long counts as dead. Default: 1 second.
    #[must_use]
    pub const fn call_timeout(mut self, call_timeout: Duration) -> Self {
        self.call_timeout = call_timeout;
        self
    }

    /// The limit for resolving a name, and for connecting to each of its addresses (the reply to
    /// the token included): 1 ms to 1 hour. Default: 500 ms.
    #[must_use]
    pub const fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// How long an unanswered datagram is waited for before it is sent again: 1 ms to 1 hour,
    /// doubled with each attempt. UDP only. Default: 50 ms.
    #[must_use]
    pub const fn retry_interval(mut self, retry_interval: Duration) -> Self {
        self.retry_interval = retry_interval;
        self
    }

    /// How often a call is tried at most: 1 to 16. An attempt ends when its connection is lost or
    /// the server refuses for a reason that passes; waiting for a connection is none. Over UDP also
    /// the number of datagrams sent for one attempt. Default: 4.
    #[must_use]
    pub const fn attempts_max(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// How many requests are on their way at most: 1 to 65,536. As many again wait in line; calls
    /// beyond that wait for a place, up to their deadline. Default: 1,024.
    #[must_use]
    pub const fn in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = in_flight_max;
        self
    }

    /// Builds the client and starts its background task on the current tokio runtime. Nothing is
    /// sent and no name resolved before the first call, so it succeeds while the server is down.
    ///
    /// # Errors
    ///
    /// When a setting is outside its range (the text names it, its value and what is allowed), when
    /// a token is given for UDP, or outside a tokio runtime.
    pub fn build(self) -> Result<Client, Error> {
        let config = self.check()?;
        let runtime = Handle::try_current().map_err(|_| Error::new(Kind::NoRuntime))?;
        Ok(Client::start(config, &runtime))
    }

    fn check(self) -> Result<Config, Error> {
        let endpoint = Endpoint::parse(&self.endpoint).map_err(|allowed| {
            Error::setting("endpoint", format!("{:?}", self.endpoint), allowed)
        })?;
        if let Some(Token(token)) = &self.token {
            let size_max = Request::TOKEN_SIZE_MAX;
            if endpoint.transport() == Transport::Udp {
                return Err(Error::setting(
                    "token",
                    "(set)",
                    "only allowed with a tcp:// endpoint",
                ));
            }
            if !(1..=size_max).contains(&token.len()) {
                let value = format!("({} bytes)", token.len());
                return Err(Error::setting("token", value, format!("1 to {size_max} bytes")));
            }
        }
        within("call_timeout", self.call_timeout, &TIMEOUT_RANGE)?;
        within("connect_timeout", self.connect_timeout, &TIMEOUT_RANGE)?;
        within("retry_interval", self.retry_interval, &TIMEOUT_RANGE)?;
        within("attempts_max", self.attempts_max, &ATTEMPTS_RANGE)?;
        within("in_flight_max", self.in_flight_max, &IN_FLIGHT_RANGE)?;
        Ok(Config {
            endpoint_name: endpoint.to_string().into(),
            endpoint,
            token: self.token,
            call_timeout: self.call_timeout,
            connect_timeout: self.connect_timeout,
            retry_interval: self.retry_interval,
            attempts_max: self.attempts_max,
            in_flight_max: self.in_flight_max,
        })
    }
}

fn within<T: PartialOrd + fmt::Debug>(
    field: &'static str,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    let allowed = format!("{:?} to {:?} is allowed", range.start(), range.end());
    Err(Error::setting(field, format!("{value:?}"), allowed))
}

impl Token {
    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: ClientBuilder) -> String {
        builder.check().unwrap_err().to_string()
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_its_value_and_rule() {
        let new = ClientBuilder::new;
        assert_eq!(
            refused(new().endpoint("ftp://a:1")),
            "endpoint = \"ftp://a:1\": the scheme is tcp:// or udp://"
        );
        assert_eq!(
            refused(new().call_timeout(Duration::ZERO)),
            "call_timeout = 0ns: 1ms to 3600s is allowed"
        );
        assert!(refused(new().connect_timeout(Duration::MAX)).starts_with("connect_timeout = "));
        assert!(refused(new().retry_interval(Duration::ZERO)).starts_with("retry_interval = 0ns"));
        assert_eq!(refused(new().attempts_max(17)), "attempts_max = 17: 1 to 16 is allowed");
        assert_eq!(refused(new().in_flight_max(0)), "in_flight_max = 0: 1 to 65536 is allowed");
        assert_eq!(refused(new().token("")), "token = (0 bytes): 1 to 512 bytes");
        assert!(refused(new().endpoint("udp://a:1").token("x")).starts_with("token = (set): only"));
        assert!(new().check().is_ok());
    }

    #[test]
    fn a_token_is_never_shown() {
        let builder = ClientBuilder::new().token("secret");
        assert!(!format!("{builder:?}").contains("secret"));
        assert!(!format!("{builder:?}").contains(&format!("{:?}", b"secret")));
    }

    #[test]
    fn a_client_needs_a_runtime() {
        let error = ClientBuilder::new().build().unwrap_err();
        assert_eq!(error.to_string(), "a client must be built inside a tokio runtime");
    }
}
