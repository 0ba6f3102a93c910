//! Where the load goes: the address, and a link to it over one of the transports that have sockets
//! of this program's own. See `grpc` for the other.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use coreflake_protocol::{Count, ErrorReply, Info, Kind};

use crate::clock::Clock;
use crate::ledger::{Flight, Ledger};
use crate::rest::HttpLink;
use crate::tcp::TcpLink;
use crate::udp::{self, UdpLink};

/// How long a connection may take from its first packet to the answer who the server is.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections made for each one kept, at most, when only those of one lane are wanted: with 64
/// lanes the chance to miss the lane that often is one in ten million.
const CONNECTS_PER_KEPT_MAX: u32 = 1_024;

/// A door of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Udp,
    Http,
    Grpc,
}

/// A server's address as given: `tcp://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    authority: String,
}

/// What is the same on every link of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkSettings {
    /// The kind of ID.
    pub(crate) kind: Kind,
    /// IDs per request.
    pub(crate) count: Count,
    /// Requests in flight at most.
    pub(crate) pipeline: usize,
}

/// A link and what the server said of itself on it, where there is INFO.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) link: Link,
    pub(crate) info: Option<Info>,
}

/// A connection or socket.
#[derive(Debug)]
pub(crate) enum Link {
    Tcp(TcpLink),
    Udp(UdpLink),
    Http(HttpLink),
}

impl Scheme {
    /// Whether a connection stays on one lane of the server and is told which.
    pub(crate) const fn has_lanes(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    /// Whether the token travels in a header, where not every byte is allowed.
    pub(crate) const fn has_headers(self) -> bool {
        matches!(self, Self::Http | Self::Grpc)
    }
}

impl LinkSettings {
    /// Whether one ID is asked for: the doors have a method of its own for that.
    pub(crate) fn is_single(&self) -> bool {
        self.count == Count::ONE
    }
}

impl Target {
    /// Makes `count` links, all to one lane of the server if `lane` names it. The message of an
    /// error names the target.
    pub(crate) fn connect(
        &self,
        count: u32,
        lane: Option<u16>,
        settings: LinkSettings,
        token: Option<&[u8]>,
    ) -> Result<Vec<Connected>, String> {
        let (address, first) =
            self.reach(|address| self.connect_one(address, settings, token, CONNECT_TIMEOUT))?;
        std::iter::once(Ok(first))
            .chain(std::iter::repeat_with(|| {
                self.connect_one(address, settings, token, CONNECT_TIMEOUT)
            }))
            .take(usize::try_from(count.saturating_mul(CONNECTS_PER_KEPT_MAX)).unwrap_or(0))
            // The kernel chooses the lane. Those of another one are closed here, at once.
            .filter(|connected| match (connected, lane) {
                (Ok(Connected { info: Some(info), .. }), Some(lane)) => info.lane == lane,
                _ => true,
            })
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .collect::<io::Result<Vec<_>>>()
            .and_then(|links| all_of(links, count, lane))
            .map_err(|error| self.unreachable(&error))
    }

    /// The first address of the name that `connect` gets through to, and what it made of it. The
    /// message of an error names the target.
    pub(crate) fn reach<T>(
        &self,
        mut connect: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> Result<(SocketAddr, T), String> {
        let addresses = self.authority.to_socket_addrs();
        let mut last = io::Error::other("the name has no address");
        for address in addresses.map_err(|error| self.unreachable(&error))? {
            match connect(address) {
                Ok(first) => return Ok((address, first)),
                Err(error) => last = error,
            }
        }
        Err(self.unreachable(&last))
    }

    pub(crate) fn unreachable(&self, error: &io::Error) -> String {
        format!("cannot reach {self}: {error}")
    }

    /// Host and port as given.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Makes a link to one of the addresses.
    pub(crate) fn connect_one(
        &self,
        address: SocketAddr,
        settings: LinkSettings,
        token: Option<&[u8]>,
        timeout: Duration,
    ) -> io::Result<Connected> {
        Ok(match self.scheme {
            Scheme::Tcp => {
                let (link, info) = TcpLink::connect(address, settings, token, timeout)?;
                Connected { link: Link::Tcp(link), info: Some(info) }
            }
            Scheme::Udp => {
                let (link, info) = UdpLink::connect(address, settings, timeout)?;
                Connected { link: Link::Udp(link), info: Some(info) }
            }
            Scheme::Http => {
                let authority = &self.authority;
                let link = HttpLink::connect(address, authority, settings, token, timeout)?;
                Connected { link: Link::Http(link), info: None }
            }
            Scheme::Grpc => return Err(io::Error::other("gRPC has no link of this kind")),
        })
    }
}

fn all_of(links: Vec<Connected>, count: u32, lane: Option<u16>) -> io::Result<Vec<Connected>> {
    match lane {
        Some(lane) if links.len() as u64 != u64::from(count) => {
            Err(io::Error::other(format!("no connection came to lane {lane}: is there one?")))
        }
        _ => Ok(links),
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "tcp://, udp://, http:// or grpc:// and HOST:PORT is expected";
        let (scheme, authority) = text.split_once("://").ok_or(form)?;
        let scheme = match scheme {
            "tcp" => Scheme::Tcp,
            "udp" => Scheme::Udp,
            "http" => Scheme::Http,
            "grpc" => Scheme::Grpc,
            other => return Err(format!("`{other}://` is not supported: {form}")),
        };
        let (host, port) = authority.rsplit_once(':').ok_or(form)?;
        let has_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !has_port {
            return Err(form.to_owned());
        }
        Ok(Self { scheme, authority: authority.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Tcp => "tcp",
            Scheme::Udp => "udp",
            Scheme::Http => "http",
            Scheme::Grpc => "grpc",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl Link {
    pub(crate) fn in_flight(&self) -> usize {
        match self {
            Self::Tcp(link) => link.in_flight(),
            Self::Udp(link) => link.in_flight(),
            Self::Http(link) => link.in_flight(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Tcp(link) => link.has_room(),
            Self::Udp(link) => link.has_room(),
            Self::Http(link) => link.has_room(),
        }
    }

    /// Sends or queues a request. Returns false when the socket has no room for it now.
    pub(crate) fn send(&mut self, flight: Flight) -> io::Result<bool> {
        match self {
            Self::Tcp(link) => {
                link.send(flight);
                Ok(true)
            }
            Self::Udp(link) => link.send(flight),
            Self::Http(link) => {
                link.send(flight);
                Ok(true)
            }
        }
    }

    /// Writes what is queued. Returns whether all of it went out.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(link) => link.flush(),
            Self::Udp(_) => Ok(true),
            Self::Http(link) => link.flush(),
        }
    }

    /// Takes the replies that have come.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        ledger: &mut Ledger,
        clock: &Clock,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(link) => link.receive(scratch, ledger, clock),
            Self::Udp(link) => link.receive(scratch, ledger, clock),
            Self::Http(link) => link.receive(scratch, ledger, clock),
        }
    }

    /// When a request sent now would be lost; `None` where the transport delivers or breaks.
    pub(crate) const fn deadline_ns(&self, flight: Flight) -> Option<u64> {
        match self {
            Self::Tcp(_) | Self::Http(_) => None,
            Self::Udp(_) => Some(udp::deadline_ns(flight)),
        }
    }

    /// Gives up on requests that are out too long. Returns when the next one will be.
    pub(crate) fn expire(&mut self, now_ns: u64, ledger: &mut Ledger) -> Option<u64> {
        match self {
            Self::Tcp(_) | Self::Http(_) => None,
            Self::Udp(link) => link.expire(now_ns, ledger),
        }
    }

    /// Gives up on every request in flight.
    pub(crate) fn abandon(&mut self, ledger: &mut Ledger) {
        match self {
            Self::Tcp(link) => link.abandon(ledger),
            Self::Udp(link) => link.abandon(ledger),
            Self::Http(link) => link.abandon(ledger),
        }
    }

    /// Asks who the server is once more, when nothing is measured any longer. Returns its INFO, if
    /// there is such a thing.
    pub(crate) fn close(
        &mut self,
        deadline: Instant,
        ledger: &mut Ledger,
    ) -> io::Result<Option<Info>> {
        match self {
            Self::Tcp(link) => link.closing_info(deadline, ledger).map(Some),
            Self::Udp(link) => link.closing_info(deadline, ledger).map(Some),
            Self::Http(link) => link.close(deadline, ledger).map(|()| None),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(link) => link.as_fd(),
            Self::Udp(link) => link.as_fd(),
            Self::Http(link) => link.as_fd(),
        }
    }
}

/// An ERROR reply where none can be counted against a request.
pub(crate) fn refusal(error: &ErrorReply<'_>) -> io::Error {
    let name = error.known_code().map_or("an unknown code", |code| code.name());
    let text = String::from_utf8_lossy(error.text);
    io::Error::other(format!("the server answered {name} ({:#06x}): {text}", error.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for text in [
            "tcp://127.0.0.1:4096",
            "udp://[::1]:1",
            "http://127.0.0.1:8080",
            "grpc://ids.example:65535",
        ] {
            assert_eq!(
                text.parse::<Target>().map(|target| target.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in
            ["127.0.0.1:4096", "tcp://h", "tcp://:1", "tcp://h:0", "tcp://h:70000", "https://h:1"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
