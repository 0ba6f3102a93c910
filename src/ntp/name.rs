//! The name of a time server.

use core::fmt;
use core::str::FromStr;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// A time server as an operator writes it: `host` or `host:port`, an IPv6 address with a port in
/// brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    host: String,
    port: u16,
}

/// Why a text names no time server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time server: it takes host or host:port")]
pub struct ServerNameError(String);

impl ServerName {
    /// Looks the name up. May wait for other machines.
    pub(super) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let wrong = || ServerNameError(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
                (host, "") => (host, None),
                (host, port) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            },
            // An IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) || port == 0 {
            return Err(wrong());
        }
        // Names of hosts have no case: what means the same is the same.
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

const PORT: u16 = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_a_port() {
        for (text, name) in [
            ("ntp1.example.com", "ntp1.example.com:123"),
            ("NTP1.example.com:1123", "ntp1.example.com:1123"),
            ("192.0.2.1", "192.0.2.1:123"),
            ("2001:db8::1", "[2001:db8::1]:123"),
            ("[2001:db8::1]", "[2001:db8::1]:123"),
            ("[2001:db8::1]:1123", "[2001:db8::1]:1123"),
        ] {
            assert_eq!(text.parse::<ServerName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_is_no_name() {
        for text in
            ["", ":123", "host:", "host:0", "host:65536", "host:x", "a b", "[::1", "[::1]1", "a/b"]
        {
            assert_eq!(text.parse::<ServerName>(), Err(ServerNameError(text.to_owned())));
        }
    }
}
