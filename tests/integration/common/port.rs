//! Ports for programs that cannot say which one the system gave them.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;

/// The first of all ports given out. All of them are below 32768, where those begin that Linux
/// gives to connections and to port 0 (`ip_local_port_range`): one has to ask for ours.
const FIRST: u16 = 12_000;
/// Ports that a process takes at a time.
const BLOCK_PORTS: u16 = 100;
const BLOCKS: u16 = 200;

/// Ports that are this process's until it ends.
struct Block {
    /// A name that one process of a network namespace can have at a time.
    _name: UnixDatagram,
    ports: core::ops::Range<u16>,
}

impl Block {
    /// The first block after `from` that no process has.
    fn take(from: u16) -> Self {
        for index in (0..BLOCKS).map(|offset| from.wrapping_add(offset) % BLOCKS) {
            let name = SocketAddr::from_abstract_name(format!("coreflake-test-ports-{index}"));
            match UnixDatagram::bind_addr(&name.unwrap()) {
                Ok(name) => {
                    let first = FIRST + index * BLOCK_PORTS;
                    return Self { _name: name, ports: first..first + BLOCK_PORTS };
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
            }
        }
        panic!("all {BLOCKS} blocks of ports are taken");
    }
}

/// A port of 127.0.0.1 that is free for TCP and UDP. No call gives it again, in no process of this
/// network namespace, before this process has ended.
pub(crate) fn free_port() -> u16 {
    static BLOCKS_TAKEN: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    // A test that fails in here must not make all others fail.
    let mut taken = BLOCKS_TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    loop {
        if let Some(block) = taken.last_mut() {
            let is_free = |port: &u16| {
                let address = (Ipv4Addr::LOCALHOST, *port);
                TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
            };
            if let Some(port) = block.ports.by_ref().find(is_free) {
                return port;
            }
        }
        // Not always the same first: what an earlier process left in TIME_WAIT has time to go.
        let from = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
        taken.push(Block::take(from));
    }
}
