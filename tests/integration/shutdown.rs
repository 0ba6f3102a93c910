//! How a server ends: whoever waits for an answer gets one, and nobody else holds it up.

use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response, ServingState};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::frames::{self, generate};
use crate::common::{Datagrams, Peer, Server, pause, state_directory};

#[test]
fn sigterm_and_sigint_end_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&["--shards", "2"]);
        let mut idle = Peer::connect(server.tcp);
        idle.ping();
        let start = Instant::now();
        server.signal(signal);
        idle.expect_closed();
        drop(idle);
        let ended = server.wait();
        ended.assert_clean();
        assert_eq!(ended.stdout.len(), 1, "only the ready line: {:?}", ended.stdout);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

/// Whoever reads the ready line may stop the server at once. This takes the shortest way from the
/// line to the signal, which [`Server::stop`] does not.
#[test]
fn sigterm_right_behind_the_ready_line_ends_well() {
    for round in 0..30 {
        let mut command = Server::command(&[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        let _ = std::fs::remove_dir_all(state_directory(&command).unwrap());
        assert_eq!(status.code(), Some(0), "round {round}: {status}");
    }
}

#[test]
fn requests_in_flight_get_their_ids_or_a_refusal() {
    let mut server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let requests: Vec<u8> = (0..300).flat_map(|id| generate(id, 4_096)).collect();
    peer.send(&requests);
    // The others are on their way.
    let mut last = frames::assert_ascending(0, &peer.reply().runs());
    server.signal(Signal::TERM);
    server.wait_for_log("draining");
    let mut refused = 0;
    for request_id in 1..300 {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), request_id);
        if reply.error().is_some() {
            reply.assert_error(ErrorCode::Draining, request_id);
            refused += 1;
        } else {
            assert_eq!(refused, 0, "IDs behind a refusal");
            let runs = reply.runs();
            assert_eq!(frames::id_count(&runs), 4_096);
            last = frames::assert_ascending(last, &runs);
        }
    }
    peer.expect_closed();
    drop(peer);
    server.wait().assert_clean();
}

#[test]
fn a_peer_that_goes_on_asking_is_told_to_go_elsewhere() {
    let server = Server::start(&[]);
    let address = server.tcp;
    let (sender, begun) = mpsc::channel();
    let asking = thread::spawn(move || {
        let mut peer = Peer::connect(address);
        for request_id in 0.. {
            let reply = peer.ask(&generate(request_id, 1));
            let _ = sender.send(());
            if let Some(error) = reply.error() {
                assert_eq!(error.known_code(), Some(ErrorCode::Draining));
                break;
            }
        }
        // The rest is still answered, and says why.
        let health = peer.ask(&frames::frame(frames::HEALTH, 7, &[]));
        let Response::Health(health) = health.response() else { panic!("{health:?}") };
        assert_eq!(health.state, ServingState::Draining);
        peer.ping();
    });
    begun.recv().unwrap();
    server.signal(Signal::TERM);
    asking.join().unwrap();
    server.wait().assert_clean().assert_rejects(&[("draining", 1)]);
}

/// A peer that is never quiet is told for a moment, and then let go.
#[test]
fn a_peer_that_never_rests_does_not_hold_up_the_shutdown() {
    let server = Server::start(&[]);
    let restless = Peer::restless(server.tcp);
    let start = Instant::now();
    server.signal(Signal::TERM);
    server.wait().assert_clean();
    assert!(start.elapsed() < Duration::from_secs(3), "stopped after {:?}", start.elapsed());
    restless.join().unwrap();
}

#[test]
fn datagrams_are_refused_for_a_moment_before_nobody_answers() {
    let mut server = Server::start(&[]);
    let peer = Datagrams::connect(server.udp());
    peer.ask(&frames::padded(generate(1, 1), 120));
    server.signal(Signal::TERM);
    server.wait_for_log("stopping");
    // Until it is refused; a datagram that comes too late to be answered finds no socket.
    for request_id in 2.. {
        if peer.socket().send(&frames::padded(generate(request_id, 1), 120)).is_err() {
            panic!("nobody was told");
        }
        let mut buffer = [0; 1_200];
        peer.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let size = peer.socket().recv(&mut buffer).expect("an answer");
        let reply = frames::Reply { bytes: buffer[..size].to_vec() };
        if reply.error().is_some() {
            reply.assert_error(ErrorCode::Draining, request_id);
            break;
        }
    }
    server.wait().assert_clean();
}

/// A server that has seconds of drain before it, and has just been told.
fn draining() -> (Server, TcpStream) {
    let mut server = Server::start(&[]);
    let deaf = Peer::deaf(server.tcp);
    server.signal(Signal::TERM);
    server.wait_for_log("draining");
    (server, deaf)
}

fn ends_at_once(server: Server) {
    let start = Instant::now();
    server.signal(Signal::INT);
    let ended = server.wait();
    ended.assert_no_panic();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_ne!(ended.status.code(), Some(0), "not cut short: {ended:?}");
}

#[test]
fn a_second_signal_during_the_drain_ends_at_once() {
    let (server, _deaf) = draining();
    pause(Duration::from_millis(300));
    ends_at_once(server);
}

/// From the moment on that the log promises it.
#[test]
fn a_second_signal_right_behind_the_first_is_not_lost() {
    for _ in 0..5 {
        let (server, _deaf) = draining();
        ends_at_once(server);
    }
}

/// A log collector that goes away takes nobody with it.
#[test]
fn a_server_whose_log_is_read_by_nobody_serves_and_ends_well() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let server = Server::launch_logging_to(writer.into(), Server::command(&[]));
    let server = server.unwrap_or_else(|ended| panic!("not ready: {ended:?}"));
    let mut peer = Peer::connect(server.tcp);
    peer.ping();
    drop(peer);
    // No counters: nobody reads them.
    server.stop();
}
