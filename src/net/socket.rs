//! Sockets of the shards: one per shard and door, all on the same address.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix;
use std::os::unix::net::UnixDatagram;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{
    CLAIM_ATTEMPTS_MAX, CLAIM_PAUSE, FREE_PORT_ATTEMPTS_MAX, LISTEN_BACKLOG, UDP_BUFFER_SIZE,
};

/// The sockets of one shard.
#[derive(Debug)]
pub(crate) struct ShardSockets {
    pub(crate) tcp: TcpListener,
    pub(crate) udp: Option<UdpSocket>,
}

/// Binds the sockets of `shards` shards to `listen`; port 0 takes a port that is free for both
/// doors. Nothing listens before everything is bound.
///
/// # Errors
///
/// When the address is taken or not of this machine.
pub(crate) fn bind(listen: SocketAddr, shards: u16, udp: bool) -> io::Result<Vec<ShardSockets>> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    let attempts = if listen.port() == 0 { FREE_PORT_ATTEMPTS_MAX } else { 1 };
    for _ in 0..attempts {
        result = bind_once(listen, shards, udp);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => break,
        }
    }
    result
}

fn bind_once(listen: SocketAddr, shards: u16, udp: bool) -> io::Result<Vec<ShardSockets>> {
    let mut address = listen;
    // All sockets of the server share the port, and so could those of a second server: the kernel
    // would divide the peers between the two. Who binds alone first finds out whether the port is
    // free; the claim keeps two servers from finding so at the same moment.
    let alone = socket(address, Type::STREAM, Share::Alone)?;
    if let Some(bound) = alone.local_addr()?.as_socket() {
        address.set_port(bound.port());
    }
    let _claim = claim(address.port())?;
    drop(alone);
    drop(socket(address, Type::STREAM, Share::Alone)?);
    if udp {
        drop(socket(address, Type::DGRAM, Share::Alone)?);
    }
    let mut streams = Vec::new();
    let mut datagrams = Vec::new();
    for _ in 0..shards {
        streams.push(socket(address, Type::STREAM, Share::Shards)?);
        datagrams.push(if udp { Some(socket(address, Type::DGRAM, Share::Shards)?) } else { None });
    }
    streams
        .into_iter()
        .zip(datagrams)
        .map(|(stream, datagrams)| {
            stream.listen(LISTEN_BACKLOG)?;
            Ok(ShardSockets { tcp: stream.into(), udp: datagrams.map(UdpSocket::from) })
        })
        .collect()
}

/// A name that one process of the network namespace can have at a time, and that goes with it: held
/// while a port is tried and taken, which is soon over.
fn claim(port: u16) -> io::Result<UnixDatagram> {
    let name = unix::net::SocketAddr::from_abstract_name(format!("coreflake-bind-{port}"))?;
    for _ in 1..CLAIM_ATTEMPTS_MAX {
        match UnixDatagram::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::park_timeout(CLAIM_PAUSE);
            }
            result => return result,
        }
    }
    UnixDatagram::bind_addr(&name)
}

/// With whom a socket shares its port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Alone,
    Shards,
}

fn socket(address: SocketAddr, kind: Type, share: Share) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // Connections of an earlier server that linger in TIME_WAIT do not keep the port.
        socket.set_reuse_address(true)?;
    }
    if share == Share::Shards {
        socket.set_reuse_port(true)?;
        if kind == Type::DGRAM {
            // The kernel gives what it allows.
            socket.set_recv_buffer_size(UDP_BUFFER_SIZE)?;
            socket.set_send_buffer_size(UDP_BUFFER_SIZE)?;
        }
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_share_one_port_on_both_doors_and_nobody_else_does() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, true).unwrap();
        let address = sockets[0].tcp.local_addr().unwrap();
        for shard in &sockets {
            assert_eq!(shard.tcp.local_addr().unwrap(), address);
            assert_eq!(shard.udp.as_ref().unwrap().local_addr().unwrap(), address);
        }
        let error = bind(address, 1, true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
