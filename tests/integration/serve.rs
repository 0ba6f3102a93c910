//! How a server starts, or says why it does not.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use crate::common::{Peer, Server, coreflake, feed, free_port, run};

#[test]
fn the_ready_line_has_its_exact_form_and_no_other_line_follows() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "31", "--shards", "2"]);
    let (tcp, udp) = (server.tcp, server.udp());
    let doors = format!("tcp={tcp} udp={udp} http={} grpc={}", server.http(), server.grpc());
    let expected = format!("ready {doors} datacenter=3 worker=31 shards=2");
    assert_eq!(server.ready_line(), expected);
    assert_eq!((tcp.ip().to_string().as_str(), tcp), ("127.0.0.1", udp));
    Peer::connect(tcp).generate(1);
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    assert_eq!(ended.stdout, [expected]);
}

#[test]
fn a_door_that_is_off_is_not_on_the_line() {
    let server = Server::start(&["--http", "none", "--grpc", "none", "--udp-allow", "none"]);
    let expected = format!("ready tcp={} datacenter=0 worker=0 shards=1", server.tcp);
    assert_eq!(server.ready_line(), expected);
    server.stop();
}

#[test]
fn without_a_command_it_serves() {
    let mut command = coreflake();
    command.args(["--listen", "127.0.0.1:0", "--worker-id", "9"]);
    let server = Server::launch(command).unwrap();
    assert!(server.ready_line().contains(" datacenter=0 worker=9 shards="));
    Peer::connect(server.tcp).generate(1);
    server.stop();
}

#[test]
fn flags_override_the_environment_and_that_the_defaults() {
    let launch = |args: &[&str]| {
        let mut command = Server::command(args);
        command.env("COREFLAKE_WORKER_ID", "7").env("COREFLAKE_DATACENTER_ID", "4");
        Server::launch(command).unwrap()
    };
    let server = launch(&[]);
    assert!(server.ready_line().contains(" datacenter=4 worker=7 "), "{}", server.ready_line());
    server.stop();
    let server = launch(&["--worker-id", "9"]);
    assert!(server.ready_line().contains(" datacenter=4 worker=9 "), "{}", server.ready_line());
    server.stop();
}

#[test]
fn a_bad_value_in_the_environment_is_a_usage_error_that_names_it() {
    let bad = [
        ("COREFLAKE_WORKER_ID", "worker-id", "abc"),
        ("COREFLAKE_LISTEN", "listen", "nowhere"),
        ("COREFLAKE_MAX_CONNECTIONS", "max-connections", "0"),
        ("COREFLAKE_UDP_ALLOW", "udp-allow", "everybody"),
        ("COREFLAKE_LOG_FORMAT", "log-format", "xml"),
    ];
    for (variable, flag, value) in bad {
        let finished = feed(coreflake().arg("serve").env(variable, value), b"");
        finished.assert_code(2).assert_says(&[flag, value]);
    }
    // Beyond its range it is a matter of configuration.
    let finished = feed(coreflake().arg("serve").env("COREFLAKE_WORKER_ID", "32"), b"");
    finished.assert_code(78).assert_says(&["worker_id", "32", "31"]);
}

#[test]
fn insecure_can_be_switched_on_and_off_by_the_environment() {
    let launch = |value| {
        let args = ["--listen", "0.0.0.0:0", "--datacenter-id", "1", "--worker-id", "1"];
        let mut command = Server::command(&[&args[..], &["--udp-allow", "none"]].concat());
        Server::launch({
            command.env("COREFLAKE_INSECURE", value);
            command
        })
    };
    for value in ["false", "0"] {
        let ended = launch(value).err().unwrap_or_else(|| panic!("{value} lets everybody in"));
        assert_eq!(ended.status.code(), Some(78), "{value}: {ended:?}");
    }
    for value in ["true", "1"] {
        launch(value).unwrap_or_else(|ended| panic!("{value}: {ended:?}")).stop();
    }
}

#[test]
fn ids_out_of_range_are_configuration_errors_with_key_value_and_range() {
    let worker = run(&["serve", "--worker-id", "32"]);
    worker.assert_code(78).assert_says(&["worker_id", "32", "0 to 31"]);
    assert_eq!((worker.stdout.as_str(), worker.stderr.lines().count()), ("", 1));
    let most = u64::MAX.to_string();
    run(&["serve", "--datacenter-id", &most]).assert_code(78).assert_says(&[
        "datacenter_id",
        &most,
        "0 to 31",
    ]);
    run(&["serve", "--shards", "0"]).assert_code(78).assert_says(&["shards", "0"]);
    run(&["serve", "--shards", "1025"]).assert_code(78).assert_says(&["shards", "1025", "960"]);
}

#[test]
fn a_listener_others_can_reach_needs_more_and_all_of_it_is_said_at_once() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let finished = run(&["serve", "--listen", listen, "--shards", "0"]);
        finished.assert_code(78);
        let words = ["--worker-id", "--auth-token-file", "--insecure", "--udp-allow", "shards"];
        finished.assert_says(&words).assert_says(&[listen]);
        assert_eq!(finished.stderr.lines().count(), 4, "one line per problem: {finished:?}");
    }
    let identity = ["--datacenter-id", "1", "--worker-id", "2", "--insecure"];
    let args = [&["serve", "--listen", "192.0.2.1:0", "--udp-allow", "none"][..], &identity];
    // Nobody has this address.
    run(&args.concat()).assert_code(78).assert_says(&["192.0.2.1"]);
}

#[test]
fn a_port_in_use_is_a_configuration_error_that_names_the_address() {
    let server = Server::start(&[]);
    let address = server.tcp.to_string();
    let second = run(&["serve", "--listen", &address]);
    second.assert_code(78).assert_says(&[&address]);
    assert_eq!(second.stdout, "");
    Peer::connect(server.tcp).ping();
    server.stop();

    let address = format!("127.0.0.1:{}", free_port());
    let udp = UdpSocket::bind(&address).unwrap();
    run(&["serve", "--listen", &address]).assert_code(78).assert_says(&[&address]);
    drop(udp);
    let _tcp = TcpListener::bind(&address).unwrap();
    run(&["serve", "--listen", &address]).assert_code(78).assert_says(&[&address]);
}

#[test]
fn the_port_of_a_server_that_has_ended_can_be_had_at_once() {
    let listen = format!("127.0.0.1:{}", free_port());
    for _ in 0..5 {
        let server = Server::start(&["--listen", &listen]);
        let mut peer = Peer::connect(server.tcp);
        peer.generate(1);
        server.signal(rustix::process::Signal::TERM);
        // The server closes first and keeps the memory of it.
        peer.expect_closed();
        drop(peer);
        server.wait().assert_clean();
    }
}

/// The shards of one server share its port; those of another one must not. Both would be the same
/// worker, and give out the same IDs.
#[test]
fn servers_that_start_at_the_same_moment_never_share_a_port() {
    for _ in 0..10 {
        let listen = format!("127.0.0.1:{}", free_port());
        let args = ["--listen", &listen, "--shards", "200", "--udp-allow", "none"];
        let commands = [(); 3].map(|()| Server::command(&args));
        let starting = commands.map(|command| thread::spawn(move || Server::launch(command)));
        let results = starting.map(|thread| thread.join().unwrap());
        let ready = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(ready, 1, "servers on {listen}");
        for ended in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(ended.status.code(), Some(78), "{ended:?}");
        }
    }
}

/// One port of two addresses is two ports.
#[test]
fn servers_on_two_addresses_with_one_port_start_at_the_same_moment() {
    for _ in 0..10 {
        let port = free_port();
        let commands = [1, 2].map(|host| {
            Server::command(&["--listen", &format!("127.0.0.{host}:{port}"), "--shards", "64"])
        });
        let starting = commands.map(|command| thread::spawn(move || Server::launch(command)));
        for result in starting.map(|thread| thread.join().unwrap()) {
            result.unwrap_or_else(|ended| panic!("{ended:?}"));
        }
    }
}

#[test]
fn the_log_is_json_when_asked_and_holds_no_colour() {
    let mut server = Server::start(&[]);
    server.wait_for_log("window reserved");
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    for line in &ended.log {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["level"].is_string() && value["message"].is_string(), "{line}");
    }
    let mut command = coreflake();
    command.args(["serve", "--listen", "127.0.0.1:0", "--shards", "1"]).env("LC_ALL", "C");
    let server = Server::launch(command).unwrap();
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    assert!(ended.log.iter().all(|line| !line.contains('\x1b')), "{ended:?}");
}
