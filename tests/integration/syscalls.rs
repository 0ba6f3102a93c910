//! What requests cost in system calls, as `strace` counts them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::common::frames::{generate, padded};
use crate::common::{Datagrams, Peer, Scratch, Server, pause};

const EXCHANGES: u64 = 300;
/// After each: whatever else wakes the server does so by itself, and not with the next request.
const PAUSE: Duration = Duration::from_millis(2);
/// Requests of one batch.
const BATCH: u64 = 16;

/// The calls of one thread.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    waits: u64,
    reads: u64,
    writes: u64,
}

/// What the thread that reads most asks of the system, while `load` is at work.
#[track_caller]
fn calls_of_a_shard(load: impl FnOnce(&Server)) -> Calls {
    let scratch = Scratch::new("syscalls");
    let file = scratch.path().join("trace");
    let server = Server::command(&[]);
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none"]);
    command
        .args(["-e", "trace=/^(epoll_p?wait2?|recvfrom|recvm?msg|readv|sendto|sendm?msg|writev)$"]);
    command.arg("-o").arg(&file).arg(server.get_program()).args(server.get_args());
    command.env_clear();
    command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let server = Server::launch(command).unwrap_or_else(|ended| panic!("not ready: {ended:?}"));
    load(&server);
    server.stop().assert_rejects(&[]);

    let mut threads = BTreeMap::<String, Calls>::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let (thread, call) = line.trim_start().split_once(' ').unwrap();
        let calls = threads.entry(thread.to_owned()).or_default();
        // The second half of a call that was interrupted by another thread's is no call.
        match call.trim_start().split('(').next().unwrap() {
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => calls.waits += 1,
            "recvfrom" | "recvmsg" | "recvmmsg" | "readv" => calls.reads += 1,
            "sendto" | "sendmsg" | "sendmmsg" | "writev" => calls.writes += 1,
            _ => {}
        }
    }
    *threads.values().max_by_key(|calls| calls.reads).unwrap()
}

/// One read and one write, and one wait before them. The start, the end and what else a shard does,
/// a few times a second, come on top.
#[track_caller]
fn assert_three_per(exchanges: u64, calls: Calls) {
    let Calls { waits, reads, writes } = calls;
    let at_most = |calls: u64, most: u64| calls >= exchanges && calls <= most;
    let (few, some) = (exchanges + exchanges / 20, exchanges + exchanges / 2);
    assert!(at_most(reads, few) && at_most(writes, few) && at_most(waits, some), "{calls:?}");
}

#[test]
fn an_exchange_over_tcp_is_a_wait_a_read_and_a_write() {
    let calls = calls_of_a_shard(|server| {
        let mut peer = Peer::connect(server.tcp);
        for id in 0..EXCHANGES {
            assert_eq!(peer.ask(&generate(id, 1)).error(), None);
            pause(PAUSE);
        }
    });
    assert_three_per(EXCHANGES, calls);
}

#[test]
fn a_batch_over_tcp_is_a_wait_a_read_and_a_write() {
    let calls = calls_of_a_shard(|server| {
        let mut peer = Peer::connect(server.tcp);
        for id in 0..EXCHANGES {
            peer.send(&generate(id, 1).repeat(usize::try_from(BATCH).unwrap()));
            (0..BATCH).for_each(|_| assert_eq!(peer.reply().error(), None));
            pause(PAUSE);
        }
    });
    assert_three_per(EXCHANGES, calls);
}

#[test]
fn an_exchange_over_udp_is_a_wait_a_read_and_a_write() {
    let calls = calls_of_a_shard(|server| {
        let peer = Datagrams::connect(server.udp());
        for id in 0..EXCHANGES {
            assert_eq!(peer.ask(&padded(generate(id, 1), 64)).error(), None);
            pause(PAUSE);
        }
    });
    assert_three_per(EXCHANGES, calls);
}
