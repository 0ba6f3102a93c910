//! How a server ends: whoever waits for an answer gets one, and nobody else holds it up.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response, ServingState};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::frames::{self, HEALTH, generate, padded, ping};
use crate::common::{Datagrams, PATIENCE, Peer, Reply, Server, pause, state_directory};

/// How often a test is begun anew in which this machine was slower than the server was patient.
const ROUNDS: usize = 10;

/// How long a connection, or the datagram door, is kept open for those who go on asking.
const DRAIN_QUIET: Duration = Duration::from_millis(100);

/// What a log says that nobody could be waited for any longer.
const OUT_OF_TIME: &str = "did not finish in time";

#[test]
fn sigterm_and_sigint_end_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&["--shards", "2"]);
        let mut idle = Peer::connect(server.tcp);
        idle.ping();
        server.signal(signal);
        idle.expect_closed();
        drop(idle);
        let ended = server.wait();
        ended.assert_clean();
        assert_eq!(ended.stdout.len(), 1, "only the ready line: {:?}", ended.stdout);
        assert!(!ended.log.iter().any(|line| line.contains(OUT_OF_TIME)), "{:?}", ended.log);
    }
}

/// Whoever reads the ready line may stop the server at once. This takes the shortest way from the
/// line to the signal, which [`Server::stop`] does not.
#[test]
fn sigterm_right_behind_the_ready_line_ends_well() {
    for round in 0..30 {
        let mut command = Server::command(&[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let id = Pid::from_child(&child);
        let (ended, end) = mpsc::channel::<()>();
        thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(id, Signal::KILL);
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        drop(ended);
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

/// Asks until the server refuses because it shuts down; `begun` hears of every answer before that.
/// Gives how often it was refused: never, if the server was right to take the peer for quiet.
fn ask_until_refused(server: SocketAddr, begun: &Sender<()>) -> u64 {
    let mut peer = Peer::connect(server);
    let mut asked = Instant::now();
    for request_id in 0.. {
        let asked_before = std::mem::replace(&mut asked, Instant::now());
        // What is no request for IDs is still answered, and says why.
        let health = frames::frame(HEALTH, request_id, &[]);
        let requests = [generate(request_id, 1), health, ping(request_id)].concat();
        // A write into a closed connection fails; the read says so.
        let _ = peer.stream().write_all(&requests);
        let silence = asked_before.elapsed();
        let Some(reply) = peer.try_reply() else {
            assert!(silence >= DRAIN_QUIET, "let go without a word, though asked for {silence:?}");
            return 0;
        };
        let (health, pong) = (peer.reply(), peer.reply());
        assert_eq!(pong.response(), Response::Ping);
        if reply.error().is_some() {
            reply.assert_error(ErrorCode::Draining, request_id);
            let Response::Health(health) = health.response() else { panic!("{health:?}") };
            assert_eq!(health.state, ServingState::Draining);
            return 1;
        }
        let _ = begun.send(());
    }
    unreachable!("the server serves on and on")
}

#[test]
fn a_peer_that_goes_on_asking_is_told_to_go_elsewhere() {
    for _ in 0..ROUNDS {
        let server = Server::start(&[]);
        let address = server.tcp;
        let (sender, begun) = mpsc::channel();
        let asking = thread::spawn(move || ask_until_refused(address, &sender));
        begun.recv().unwrap();
        server.signal(Signal::TERM);
        let refused = asking.join().unwrap();
        assert_eq!(server.wait().assert_clean().get("draining"), refused);
        if refused > 0 {
            return;
        }
    }
    panic!("in none of {ROUNDS} rounds this machine was quick enough to ask on");
}

/// A peer that is never quiet is told for a moment, and then let go.
#[test]
fn a_peer_that_never_rests_does_not_hold_up_the_shutdown() {
    let server = Server::start(&[]);
    let restless = Peer::restless(server.tcp);
    server.signal(Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    assert!(!ended.log.iter().any(|line| line.contains(OUT_OF_TIME)), "{:?}", ended.log);
    restless.join().unwrap();
}

/// Asks in datagrams until nobody is there; `begun` hears of every answer. Gives how often it was
/// refused.
fn ask_until_nobody_is_there(peer: &Datagrams, begun: &Sender<()>) -> u64 {
    let (start, mut refused, mut buffer) = (Instant::now(), 0, [0; 1_200]);
    // The last one may get no answer at all; the one behind it finds nobody.
    peer.socket().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    for request_id in 0.. {
        let sent = peer.socket().send(&padded(generate(request_id, 1), 120));
        match sent.and_then(|_| peer.socket().recv(&mut buffer)) {
            Ok(size) => {
                let reply = Reply { bytes: buffer[..size].to_vec() };
                if reply.error().is_some() {
                    reply.assert_error(ErrorCode::Draining, reply.request_id());
                    refused += 1;
                } else {
                    assert_eq!(refused, 0, "IDs behind a refusal");
                }
                let _ = begun.send(());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
                return refused;
            }
        }
        assert!(start.elapsed() < PATIENCE, "the server answers on and on");
    }
    unreachable!("the server answers on and on")
}

#[test]
fn datagrams_are_refused_for_a_moment_before_nobody_answers() {
    for _ in 0..ROUNDS {
        let server = Server::start(&[]);
        let peer = Datagrams::connect(server.udp());
        let (sender, begun) = mpsc::channel();
        let asking = thread::spawn(move || ask_until_nobody_is_there(&peer, &sender));
        begun.recv().unwrap();
        server.signal(Signal::TERM);
        let counters = server.wait().assert_clean();
        let refused = asking.join().unwrap();
        assert!(counters.get("draining") >= refused, "{refused} replies: {counters:?}");
        if refused > 0 {
            return;
        }
    }
    panic!("nobody was told in {ROUNDS} rounds");
}

/// A server that has seconds of drain before it, and has just been told.
fn draining() -> (Server, TcpStream) {
    let mut server = Server::start(&[]);
    let deaf = Peer::deaf(server.tcp);
    server.signal(Signal::TERM);
    server.wait_for_log("draining");
    (server, deaf)
}

/// Whoever drains to the end says that it has stopped.
fn ends_at_once(server: Server) {
    server.signal(Signal::INT);
    let ended = server.wait();
    ended.assert_no_panic();
    assert_ne!(ended.status.code(), Some(0), "not cut short: {ended:?}");
    let drained = |line: &String| line.contains(OUT_OF_TIME) || line.contains("\"stopped\"");
    assert!(!ended.log.iter().any(drained), "not cut short: {ended:?}");
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
