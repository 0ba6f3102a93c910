//! How TCP connections begin and end: limits, resets, half-closes, file descriptors that run out.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::frames::{self, generate};
use crate::common::{Peer, Server, until};

const OTHER_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[test]
fn reset_in_the_middle_frees_the_connection() {
    let server = Server::start(&["--max-connections", "1"]);
    let unfinished = &generate(7, 1)[..20];
    let unread = generate(7, 4_096).repeat(200);
    for sent in [&[][..], unfinished, &unread] {
        let mut peer = until("a place", || {
            let mut peer = Peer::connect(server.tcp);
            peer.send(&frames::ping(1));
            peer.try_reply().map(|_| peer)
        });
        peer.send(sent);
        peer.reset();
    }
    until("a place", || {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&frames::ping(1));
        peer.try_reply()
    });
    let counters = server.stop();
    let rejects = counters.rejects();
    assert!(rejects.keys().all(|reason| *reason == "connection_limit"), "{rejects:?}");
}

#[test]
fn half_close_with_pending_answers_gets_them_all() {
    const REQUESTS: u64 = 200;
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let requests: Vec<u8> = (1..=REQUESTS).flat_map(|id| generate(id, 4_096)).collect();
    peer.send(&requests);
    peer.finish();
    let mut last = 0;
    for request_id in 1..=REQUESTS {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), request_id);
        let runs = reply.runs();
        assert_eq!(frames::id_count(&runs), 4_096);
        last = frames::assert_ascending(last, &runs);
    }
    peer.expect_closed();
    let counters = server.stop();
    assert_eq!(counters.get("ids"), REQUESTS * 4_096);
    counters.assert_rejects(&[]);
}

#[test]
fn half_close_inside_a_frame_closes_without_a_word() {
    let server = Server::start(&[]);
    for size in [0, 3, 15, 27] {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&generate(7, 1)[..size]);
        peer.finish();
        peer.expect_closed();
    }
    server.stop().assert_rejects(&[]);
}

/// Connects as soon as the server has heard that another connection is gone: the shard that had it
/// may be a busy one. Tells how often it was too early.
fn connect_when_there_is_room(server: &Server) -> (Peer, u64) {
    let mut tries = 0;
    let peer = until("room for a connection", || {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&frames::ping(1));
        let answered = peer.try_reply().is_some();
        tries += u64::from(!answered);
        answered.then_some(peer)
    });
    (peer, tries)
}

#[test]
fn connections_of_the_whole_server_are_limited() {
    let server = Server::start(&["--max-connections", "3"]);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.tcp)).collect();
    peers.iter_mut().for_each(Peer::ping);
    Peer::connect(server.tcp).expect_closed();
    Peer::connect_from(OTHER_SOURCE, server.tcp).expect_closed();
    peers.iter_mut().for_each(Peer::ping);

    drop(peers.pop());
    let (_next, tries) = connect_when_there_is_room(&server);
    let counters = server.stop();
    counters.assert_rejects(&[("connection_limit", 2 + tries)]);
    assert_eq!(counters.get("connections_accepted"), 4);
}

#[test]
fn connections_from_one_address_are_limited() {
    let server = Server::start(&["--max-connections-per-ip", "2"]);
    let mut peers: Vec<_> = (0..2).map(|_| Peer::connect(server.tcp)).collect();
    peers.iter_mut().for_each(Peer::ping);
    Peer::connect(server.tcp).expect_closed();
    let mut other = Peer::connect_from(OTHER_SOURCE, server.tcp);
    other.ping();

    drop(peers.pop());
    other.ping();
    let (_next, tries) = connect_when_there_is_room(&server);
    Peer::connect(server.tcp).expect_closed();
    let counters = server.stop();
    counters.assert_rejects(&[("connection_per_ip_limit", 2 + tries)]);
    assert_eq!(counters.get("connections_accepted"), 4);
}

/// The limit is one for all shards, whichever of them the kernel gives a connection to.
#[test]
fn the_connection_limit_is_shared_by_the_shards() {
    let server = Server::start(&["--max-connections", "4", "--shards", "4"]);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::connect(server.tcp)).collect();
    peers.iter_mut().for_each(Peer::ping);
    (0..16).for_each(|_| Peer::connect(server.tcp).expect_closed());
    peers.iter_mut().for_each(Peer::ping);
    server.stop().assert_rejects(&[("connection_limit", 16)]);
}

#[test]
fn a_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start(&["--max-connections", "20"]);
    for round in 0..1_000 {
        let mut peer = Peer::connect(server.tcp);
        if round % 2 == 0 {
            peer.ping();
        }
    }
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    until("all file descriptors closed", || (open_files() < 60).then_some(()));
    Peer::connect(server.tcp).ping();
    let counters = server.stop();
    let (accepted, refused) = (counters.get("connections_accepted"), "connection_limit");
    assert_eq!(accepted + counters.get(refused), 1_001, "{counters:?}");
}

#[test]
fn without_file_descriptors_the_open_connections_are_served_and_later_ones_again() {
    const FILES_MAX: usize = 60;
    let limited = Server::command(&[]);
    let mut command = std::process::Command::new("sh");
    let script = format!("ulimit -n {FILES_MAX} && exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(limited.get_program()).args(limited.get_args());
    command.env_clear();
    for (name, value) in limited.get_envs() {
        command.env(name, value.unwrap());
    }
    let server = Server::launch(command).unwrap();

    let mut first = Peer::connect(server.tcp);
    first.ping();
    // The kernel accepts them all; the server cannot.
    let mut crowd: Vec<_> = (0..2 * FILES_MAX).map(|_| Peer::connect(server.tcp)).collect();
    for _ in 0..100 {
        first.ping();
        first.generate(10);
    }
    // Those in the queue get their turn when others go.
    let mut last = crowd.pop().unwrap();
    last.send(&frames::ping(7));
    first.ping();
    drop(crowd);
    assert_eq!(last.reply().request_id(), 7);
    Peer::connect(server.tcp).ping();
    first.ping();
    server.stop().assert_rejects(&[]);
}
