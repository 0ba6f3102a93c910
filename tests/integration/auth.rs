//! Tokens: nothing but PING before one was shown, and no wrong one accepted.

use std::io::Write;

use coreflake_protocol::{ErrorCode, Response};

use crate::common::frames::{self, auth, generate, ping};
use crate::common::{Datagrams, Peer, Scratch, Server, coreflake, feed, run};

const TOKENS: &[u8] = b"first-token\n\n  second token \r\nthird\n";

fn start(scratch: &Scratch) -> Server {
    let file = scratch.file("tokens", 0o600, TOKENS);
    Server::start(&["--auth-token-file", &file, "--udp-allow", "none"])
}

#[test]
fn without_a_token_only_ping_is_answered() {
    let scratch = Scratch::new("auth-without");
    let server = start(&scratch);
    let requests = [
        generate(7, 1),
        frames::parse(7, 1),
        frames::info(7),
        frames::frame(frames::HEALTH, 7, &[]),
    ];
    for request in &requests {
        let mut peer = Peer::connect(server.tcp);
        peer.ping();
        peer.send(&[request.clone(), auth(8, b"third"), generate(9, 1)].concat());
        peer.expect_error(ErrorCode::Unauthenticated, 7);
        peer.expect_closed();
    }
    let counters = server.stop();
    counters.assert_rejects(&[("unauthenticated", 4)]);
    assert_eq!(counters.get("ids"), 0);
}

#[test]
fn a_wrong_token_closes() {
    let scratch = Scratch::new("auth-wrong");
    let server = start(&scratch);
    let wrong: [&[u8]; 8] = [
        b"first-toke",
        b"first-token ",
        b"first-token\n",
        b"First-token",
        b"\0",
        b"first-token\nsecond token",
        &[0xff; 512],
        b"\n",
    ];
    for token in wrong {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&[auth(7, token), generate(8, 1)].concat());
        peer.expect_error(ErrorCode::Unauthenticated, 7);
        peer.expect_closed();
    }
    // Not even behind a right one.
    let mut peer = Peer::connect(server.tcp);
    assert_eq!(peer.ask(&auth(7, b"third")).response(), Response::Auth);
    peer.generate(1);
    peer.ask(&auth(8, b"fourth")).assert_error(ErrorCode::Unauthenticated, 8);
    peer.expect_closed();
    server.stop().assert_rejects(&[("unauthenticated", 9)]);
}

#[test]
fn each_of_several_tokens_opens_the_connection_for_what_is_sent_behind_it() {
    let scratch = Scratch::new("auth-right");
    let server = start(&scratch);
    for token in ["first-token", "second token", "third"] {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&[ping(1), auth(2, token.as_bytes()), generate(3, 5)].concat());
        assert_eq!(peer.reply().response(), Response::Ping);
        assert_eq!(peer.reply().response(), Response::Auth);
        assert_eq!(frames::id_count(&peer.reply().runs()), 5);
        peer.generate(4_096);
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn an_oversize_token_is_refused_by_its_length() {
    let scratch = Scratch::new("auth-oversize");
    let server = start(&scratch);
    let mut peer = Peer::connect(server.tcp);
    let before = server.memory_kib();
    let token = vec![b'x'; 1 << 20];
    // The server closes long before it has it all.
    let _ = peer.stream().write_all(&auth(7, &token));
    peer.expect_error(ErrorCode::FrameSize, 0);
    peer.expect_closed();
    assert!(server.memory_kib() < before + 8 * 1_024, "no room was made for it");

    // One byte too long, or too short: it opens nothing, and what else is wrong is not discussed.
    for token in [&token[..513], b""] {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&[auth(7, token), generate(8, 1)].concat());
        peer.expect_error(ErrorCode::Unauthenticated, 7);
        peer.expect_closed();
    }
    // Whoever has shown a token is told.
    let mut peer = Peer::connect(server.tcp);
    peer.ask(&auth(7, b"third"));
    peer.ask(&auth(8, &token[..513])).assert_error(ErrorCode::PayloadSize, 8);
    peer.ping();
    server.stop().assert_rejects(&[("frame_size", 1), ("payload_size", 1), ("unauthenticated", 2)]);
}

/// A datagram carries no token, so a server that asks for one has to be told whose it answers.
#[test]
fn tokens_on_tcp_leave_no_udp_door_open_by_default() {
    let scratch = Scratch::new("auth-udp");
    let file = scratch.file("tokens", 0o600, TOKENS);
    let args = ["serve", "--listen", "127.0.0.1:0", "--auth-token-file", &file];
    run(&args).assert_code(78).assert_says(&["auth-token-file", "--udp-allow"]);
    let server = Server::start(&["--auth-token-file", &file, "--udp-allow", "127.0.0.1"]);
    assert_eq!(Datagrams::connect(server.udp()).ask(&generate(7, 1)).runs().len(), 1);
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_server_without_tokens_accepts_each() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    assert_eq!(peer.ask(&auth(7, b"whatever")).response(), Response::Auth);
    peer.generate(1);
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_token_file_that_others_can_read_or_that_says_nothing_is_a_configuration_error() {
    let scratch = Scratch::new("auth-file");
    let directory = scratch.path().to_str().unwrap().to_owned();
    let files = [
        (scratch.file("open", 0o644, TOKENS), "600"),
        (scratch.file("group", 0o640, TOKENS), "600"),
        (scratch.file("empty", 0o600, b""), "no token"),
        (scratch.file("blank", 0o600, b" \n\n\t\n"), "no token"),
        (scratch.file("long", 0o600, &[b'x'; 513]), "512"),
        (scratch.file("huge", 0o600, &b"token\n".repeat(20_000)), "65536"),
        (format!("{directory}/missing"), "No such file"),
        (directory, ""),
    ];
    for (file, word) in files {
        let args = ["serve", "--listen", "127.0.0.1:0", "--auth-token-file", &file];
        run(&args).assert_code(78).assert_says(&["auth-token-file", &file, word]);
    }
}

#[test]
fn the_command_line_shows_a_token_and_no_log_does() {
    let scratch = Scratch::new("auth-command");
    let server = start(&scratch);
    let address = server.tcp.to_string();
    let file = scratch.file("token", 0o600, b"second token\n");
    let shown = run(&["generate", "--server", &address, "--token-file", &file, "--count", "3"]);
    shown.assert_code(0);
    assert_eq!(shown.stdout.lines().count(), 3);
    let by_environment = &mut coreflake();
    by_environment.args(["generate", "--server", &address]).env("COREFLAKE_TOKEN_FILE", &file);
    feed(by_environment, b"").assert_code(0);

    run(&["generate", "--server", &address]).assert_code(69).assert_says(&[&address]);
    let other = scratch.file("other", 0o600, b"another\n");
    let refused = run(&["generate", "--server", &address, "--token-file", &other]);
    refused.assert_code(69).assert_says(&[&address]);
    assert!(!refused.stderr.contains("another"), "{refused:?}");

    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    let log = ended.log.join("\n");
    assert!(!["first-token", "second token", "third"].iter().any(|token| log.contains(token)));
}
