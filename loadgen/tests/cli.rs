//! The command line as a user meets it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Output};

use socket2::{Domain, Socket, Type};

fn loadgen(flags: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(flags.split_whitespace()).output().expect("the binary was built")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_every_flag() {
    let output = loadgen("--help");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--target",
        "http://",
        "grpc://",
        "--rate",
        "--connections",
        "--pipeline",
        "--kind",
        "--count",
        "--threads",
        "--duration",
        "--warmup",
        "--verify",
        "--json",
        "--slo-p99",
        "--reconnect",
        "--token-file",
    ] {
        assert!(text.contains(flag), "{flag} in {text}");
    }
}

#[test]
fn wrong_values_are_usage_errors_that_name_the_flag() {
    for flags in [
        "--rate 0",
        "--rate fast",
        "--connections 0",
        "--connections 10001",
        "--pipeline 0",
        "--pipeline 1025",
        "--count 0",
        "--kind uuid",
        "--kind ULID",
        "--reconnect --target udp://127.0.0.1:1",
        "--reconnect --target grpc://127.0.0.1:1",
        "--count 4097",
        "--threads 0",
        "--threads 3 --connections 2",
        "--duration 10",
        "--duration 0s",
        "--warmup soon",
        "--slo-p99 0",
        "--slo-p99 61s",
        "--target 127.0.0.1:4096",
        "--target https://127.0.0.1:8080",
        "--lane 0 --target http://127.0.0.1:8080",
        "--lane 0 --target grpc://127.0.0.1:9090",
        "--token-file /dev/null --target udp://127.0.0.1:4096",
        "--target tcp://127.0.0.1",
        "--token-file /nonexistent/token",
        "--token-file /dev/null",
        "--json /nonexistent/report.json",
    ] {
        let output = loadgen(flags);
        assert_eq!(output.status.code(), Some(2), "{flags}: {}", stderr(&output));
        let flag = flags.split(' ').next().unwrap();
        assert!(stderr(&output).contains(flag), "{flags}: {}", stderr(&output));
    }
    assert_eq!(loadgen("--no-such-flag").status.code(), Some(2));
}

#[test]
fn an_unreachable_target_is_named_with_the_cause() {
    // Nobody else gets these ports while we have them, and nobody listens there: the one socket
    // does not, and the other one hears a peer that says nothing.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    deaf.bind(&any.into()).unwrap();
    let tcp = deaf.local_addr().unwrap().as_socket().unwrap();
    let elsewhere = UdpSocket::bind(any).unwrap();
    elsewhere.connect((Ipv4Addr::LOCALHOST, 9)).unwrap();
    let udp = elsewhere.local_addr().unwrap();
    let over_tcp = ["tcp", "http", "grpc"].map(|scheme| format!("{scheme}://{tcp}"));
    for target in over_tcp.into_iter().chain([format!("udp://{udp}")]) {
        let output = loadgen(&format!("--target {target}"));
        assert_eq!(output.status.code(), Some(69), "{target}");
        let message = stderr(&output);
        assert!(message.contains(&target) && message.contains("refused"), "{message}");
    }
    let output = loadgen("--target tcp://no-such-host.invalid:4096");
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("no-such-host.invalid"), "{}", stderr(&output));
}
