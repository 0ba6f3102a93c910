//! Ports for programs that cannot say which one the system gave them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

/// The first of all ports given out. All of them are below 32768, where those begin that Linux
/// gives to connections and to port 0 unless told otherwise (`ip_local_port_range`).
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
    /// The first block from `from` on that no process has.
    fn take(from: u16) -> Self {
        for index in (0..BLOCKS).map(|offset| (from + offset) % BLOCKS) {
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

/// A port that nobody has, for TCP or UDP. No call gives it again, in no process of this network
/// namespace, before this process has ended.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    // A test that fails in here must not make all others fail.
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let in_use = ports_in_use();
    loop {
        if let Some(block) = taken.last_mut()
            && let Some(port) = block.ports.by_ref().find(|port| !in_use.contains(port))
        {
            return port;
        }
        let from = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
        taken.push(Block::take(from));
    }
}

/// The local ports of who listens, is connected, or lingers in `TIME_WAIT`, as proc(5) has them.
///
/// To try a port with a socket of our own would take it from whom it is for: when another thread
/// starts a process at that moment, the child has the socket as well until it executes its program.
fn ports_in_use() -> BTreeSet<u16> {
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|name| format!("/proc/thread-self/net/{name}"));
    // Without IPv6 there are two tables only.
    let tables: Vec<_> = tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    assert!(tables.len() >= 2, "{tables:?}");
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.map(|row| {
        let address = row.split_whitespace().nth(1).unwrap();
        let (_, port) = address.rsplit_once(':').unwrap();
        u16::from_str_radix(port, 16).unwrap()
    })
    .collect()
}
