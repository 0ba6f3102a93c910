//! Opening the way to a server: names, addresses, sockets, and the token that comes first.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use coreflake_protocol::frame::{self, Split};
use coreflake_protocol::{Request, Response};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::builder::Config;
use crate::call::Refusal;

/// An idle connection that something on the path forgot is found after 15 + 3 * 5 seconds, most
/// likely before a call needs it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// The kernel's default holds some 270 small datagrams, fewer than may be in flight by default.
const RECEIVE_BUFFER_SIZE: usize = 1 << 20;

/// The longest reply to AUTH in bytes: room for any ERROR text and for fields of later versions.
const AUTH_REPLY_SIZE_MAX: usize = 1024;

/// AUTH is alone on its connection until it is answered, so any number tells it apart.
const AUTH_REQUEST_ID: u64 = 0;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("resolving the host: {0}")]
    Resolve(io::Error),
    #[error("resolving the host took longer than {0:?}")]
    ResolveTimeout(Duration),
    #[error("connecting to {address}: {source}")]
    Io { address: SocketAddr, source: io::Error },
    #[error("connecting to {address} took longer than {limit:?}")]
    Timeout { address: SocketAddr, limit: Duration },
    #[error("{address} refuses the token: {refusal}")]
    Refused { address: SocketAddr, refusal: Refusal },
    #[error("{address} answers the token with something that is no reply to it")]
    Garbled { address: SocketAddr },
}

impl ConnectError {
    /// The operating system's error, where there is one.
    pub(crate) const fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Resolve(source) | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The server's own word against us, where it will not change its mind.
    pub(crate) fn final_refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal).filter(|it| !it.is_retryable()),
            _ => None,
        }
    }
}

/// Connects to the first address that takes it, each within the connect timeout, and shows the
/// token.
pub(crate) async fn tcp(config: &Config) -> Result<TcpStream, ConnectError> {
    let mut failed = None;
    for address in resolve(config).await? {
        match tcp_address(config, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| ConnectError::Resolve(io::ErrorKind::NotFound.into())))
}

/// A socket that speaks with one address of the host only; `turn` chooses which, so that a caller
/// who comes back with the next number gets round an address that is dead.
pub(crate) async fn udp(
    config: &Config,
    turn: usize,
) -> Result<(UdpSocket, SocketAddr), ConnectError> {
    let addresses = resolve(config).await?;
    let address = addresses[turn % addresses.len()];
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let open = async {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        // The kernel may grant less; then more is lost in a burst and sent again.
        drop(SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_SIZE));
        Ok(socket)
    };
    let socket = open.await.map_err(|source| ConnectError::Io { address, source })?;
    Ok((socket, address))
}

async fn resolve(config: &Config) -> Result<Vec<SocketAddr>, ConnectError> {
    let limit = config.connect_timeout;
    match timeout(limit, config.endpoint.resolve()).await {
        Ok(resolved) => resolved.map_err(ConnectError::Resolve),
        Err(_) => Err(ConnectError::ResolveTimeout(limit)),
    }
}

async fn tcp_address(config: &Config, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let limit = config.connect_timeout;
    let open = async {
        let mut stream = TcpStream::connect(address)
            .await
            .and_then(tuned)
            .map_err(|source| ConnectError::Io { address, source })?;
        if let Some(token) = &config.token {
            authenticate(&mut stream, address, token.bytes()).await?;
        }
        Ok(stream)
    };
    timeout(limit, open).await.unwrap_or(Err(ConnectError::Timeout { address, limit }))
}

fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    // Requests are gathered before they are written, so waiting for more would only add latency.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// Shows the token and waits for the answer, once per connection: calls behind a token that is
/// refused then fail with that reason and not with a connection that closed under them.
async fn authenticate(
    stream: &mut TcpStream,
    address: SocketAddr,
    token: &[u8],
) -> Result<(), ConnectError> {
    let io = |source| ConnectError::Io { address, source };
    let mut request = Vec::new();
    Request::Auth { token }.encode(AUTH_REQUEST_ID, &mut request);
    stream.write_all(&request).await.map_err(io)?;

    let mut reply = Vec::with_capacity(AUTH_REPLY_SIZE_MAX);
    loop {
        let size = stream.read_buf(&mut reply).await.map_err(io)?;
        if size == 0 {
            return Err(io(io::ErrorKind::UnexpectedEof.into()));
        }
        let garbled = ConnectError::Garbled { address };
        match frame::split(&reply, AUTH_REPLY_SIZE_MAX) {
            Ok(Split::Incomplete) => {}
            Ok(Split::Complete { frame, consumed })
                if consumed == reply.len() && frame.header.request_id == AUTH_REQUEST_ID =>
            {
                return match Response::decode(&frame) {
                    Ok(Response::Auth) => Ok(()),
                    Ok(Response::Error(error)) => {
                        Err(ConnectError::Refused { address, refusal: Refusal::new(&error) })
                    }
                    _ => Err(garbled),
                };
            }
            _ => return Err(garbled),
        }
    }
}
