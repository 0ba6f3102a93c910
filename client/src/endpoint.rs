//! Where a server is and how it is spoken to.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};

/// The most addresses of one host name that are tried; name servers decide how many there are.
const ADDRESSES_MAX: usize = 16;

/// A transport, a host and a port, as in `tcp://127.0.0.1:4096`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    transport: Transport,
    host: Box<str>,
    port: u16,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Endpoint {
    /// Reads `tcp://HOST:PORT`, `udp://HOST:PORT` or `HOST:PORT`, which is TCP.
    ///
    /// # Errors
    ///
    /// Says what is allowed in the place that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (transport, address) = match text.split_once("://") {
            None => (Transport::Tcp, text),
            Some(("tcp", address)) => (Transport::Tcp, address),
            Some(("udp", address)) => (Transport::Udp, address),
            Some(_) => return Err("the scheme is tcp:// or udp://"),
        };
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err("a port is needed, as in tcp://127.0.0.1:4096");
        };
        // `parse` alone would take "+1".
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        match port.and_then(|port| port.parse().ok()) {
            None | Some(0) => Err("the port is a number from 1 to 65535"),
            Some(port) => Ok(Self { transport, host: parse_host(host)?.into(), port }),
        }
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    /// The addresses behind the host, at least one. Asked anew for each connection, because the
    /// answer moves when a server does.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((&*self.host, self.port)).await?;
        let addresses: Vec<_> = found.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

fn parse_host(host: &str) -> Result<&str, &'static str> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(_) => Ok(inner),
            Err(_) => Err("brackets hold an IPv6 address, as in tcp://[::1]:4096"),
        };
    }
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.contains(':') {
        Err("an IPv6 address stands in brackets, as in tcp://[::1]:4096")
    } else if host.is_empty() || !host.bytes().all(name) {
        Err("the host is a name or an IP address and nothing else stands beside it and the port")
    } else {
        Ok(host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back_with_its_scheme() {
        for (text, written) in [
            ("127.0.0.1:4096", "tcp://127.0.0.1:4096"),
            ("tcp://127.0.0.1:4096", "tcp://127.0.0.1:4096"),
            ("udp://ids.example.com:1", "udp://ids.example.com:1"),
            ("udp://[::1]:65535", "udp://[::1]:65535"),
            ("[fe80::1]:7", "tcp://[fe80::1]:7"),
            ("localhost:4096", "tcp://localhost:4096"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), written);
            assert_eq!(Endpoint::parse(written), Ok(endpoint));
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for (text, reason) in [
            ("http://127.0.0.1:4096", "scheme"),
            ("TCP://127.0.0.1:4096", "scheme"),
            ("127.0.0.1", "a port is needed"),
            ("", "a port is needed"),
            ("127.0.0.1:", "the port"),
            ("127.0.0.1:0", "the port"),
            ("127.0.0.1:+1", "the port"),
            ("127.0.0.1:65536", "the port"),
            ("tcp://127.0.0.1:4096/", "the port"),
            (":4096", "the host"),
            ("tcp://user@host:4096", "the host"),
            ("a b:4096", "the host"),
            ("::1:4096", "IPv6 address stands in brackets"),
            ("[::1:4096", "IPv6 address stands in brackets"),
            ("[localhost]:4096", "brackets hold"),
        ] {
            let allowed = Endpoint::parse(text).unwrap_err();
            assert!(allowed.contains(reason), "{text:?}: {allowed}");
        }
    }

    #[tokio::test]
    async fn an_address_resolves_to_itself() {
        let endpoint = Endpoint::parse("[::1]:4096").unwrap();
        assert_eq!(endpoint.resolve().await.unwrap(), ["[::1]:4096".parse().unwrap()]);
    }
}
