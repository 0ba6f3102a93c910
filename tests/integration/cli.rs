//! `generate`, `parse` and what every command line tool owes its user.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Datagrams, Finished, Server, coreflake, feed, free_port, run};

#[test]
fn help_and_version_name_what_there_is() {
    let help = run(&["--help"]);
    help.assert_code(0);
    for word in ["serve", "generate", "parse", "range"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let serve = run(&["serve", "--help"]);
    for word in ["--worker-id", "--listen", "COREFLAKE_LISTEN", "--max-connections-per-ip"] {
        assert!(serve.stdout.contains(word), "{word}");
    }
    let version = run(&["--version"]);
    version.assert_code(0);
    assert_eq!(version.stdout, concat!("coreflake ", env!("CARGO_PKG_VERSION"), "\n"));
    for command in ["serve", "generate", "parse", "range"] {
        let help = run(&[command, "--help"]);
        help.assert_code(0);
        assert!(help.stdout.contains("Usage: coreflake"), "{help:?}");
    }
}

#[test]
fn unknown_flags_and_commands_are_answered_with_the_nearest_known_one() {
    run(&["serve", "--worker-ids", "1"]).assert_code(2).assert_says(&["--worker-id"]);
    run(&["--datacenter", "1"]).assert_code(2).assert_says(&["--datacenter-id"]);
    run(&["generate", "--counts", "1"]).assert_code(2).assert_says(&["--count"]);
    run(&["generat"]).assert_code(2).assert_says(&["'generate'"]);
}

#[test]
fn missing_and_impossible_values_are_usage_errors() {
    for flag in ["--worker-id", "--listen", "--shards", "--max-connections", "--udp-allow"] {
        run(&["serve", flag]).assert_code(2).assert_says(&[flag]);
    }
    run(&["generate", "--count"]).assert_code(2).assert_says(&["--count"]);
    for count in ["0", "-1", "1e3", "", "1000000001", "99999999999999999999", "１"] {
        let args = ["generate", &format!("--count={count}")];
        run(&args).assert_code(2).assert_says(&["--count", count]);
    }
    let bad = [
        ("--listen", "localhost"),
        ("--listen", "127.0.0.1:65536"),
        ("--worker-id", "-1"),
        ("--worker-id", "x"),
        ("--shards", "65536"),
        ("--max-connections", "0"),
        ("--max-udp-rate", "0"),
        ("--udp-allow", "10.0.0.0/33"),
        ("--log-format", "xml"),
    ];
    for (flag, value) in bad {
        run(&["serve", &format!("{flag}={value}")]).assert_code(2).assert_says(&[flag, value]);
    }
    run(&["generate", "--kind", "uuid9"]).assert_code(2).assert_says(&["snowflake"]);
}

#[test]
fn arguments_that_are_not_utf8_are_usage_errors() {
    let bad = OsStr::from_bytes(b"\xff\xfe");
    for args in [&["parse"][..], &["generate", "--server"], &["serve", "--listen"], &[]] {
        feed(coreflake().args(args).arg(bad), b"").assert_code(2);
    }
    feed(coreflake().arg("serve").env("COREFLAKE_LISTEN", bad), b"").assert_code(2);
}

#[test]
fn generate_prints_one_rising_id_a_line_over_tcp_and_udp() {
    let server = Server::start(&[]);
    let address = server.tcp.to_string();
    let endpoint = format!("udp://{address}");
    let all = [
        &["generate", "--server", &address, "--count", "20000"][..],
        &["generate", "--server", &address, "--count", "20000", "--udp"],
        &["generate", "--server", &endpoint, "--count", "10", "--kind", "snowflake"],
    ];
    for args in all {
        let finished = run(args);
        finished.assert_code(0);
        assert_eq!(finished.stderr, "");
        let ids: Vec<u64> = finished.stdout.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(ids.len(), if args.contains(&"20000") { 20_000 } else { 10 });
        assert!(ids.is_sorted_by(|a, b| a < b), "{args:?}");
    }
    let by_environment = feed(coreflake().arg("generate").env("COREFLAKE_SERVER", &address), b"");
    assert_eq!(by_environment.assert_code(0).stdout.lines().count(), 1);
    server.stop().assert_rejects(&[]);
}

#[test]
fn generate_against_a_port_where_nobody_listens_is_unavailable() {
    let address = format!("127.0.0.1:{}", free_port());
    for udp in [&[][..], &["--udp"]] {
        let args = [&["generate", "--server", &address], udp].concat();
        let finished = run(&args);
        finished.assert_code(69).assert_says(&[&address]);
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn generate_with_an_address_that_is_none_is_a_usage_error() {
    for server in ["", "nowhere", "127.0.0.1", "ftp://127.0.0.1:1", "127.0.0.1:65536"] {
        let finished = run(&["generate", "--server", server]);
        finished.assert_code(2).assert_says(&[server]);
    }
}

/// What the flag asks for and what the address says are two things: neither wins silently.
#[test]
fn generate_over_udp_to_a_tcp_address_is_a_usage_error_or_goes_over_udp() {
    let server = Server::start(&[]);
    let endpoint = format!("tcp://{}", server.tcp);
    let code = run(&["generate", "--udp", "--server", &endpoint]).status.code();
    let counters = server.stop();
    let over_tcp = counters.get("connections_accepted");
    assert!(code == Some(2) || over_tcp == 0, "went over TCP: {counters:?}");
}

#[test]
fn parse_takes_good_ids_apart_and_names_bad_ones() {
    let good = run(&["parse", "1234567890123456789", "0"]);
    good.assert_code(0);
    let lines: Vec<Value> =
        good.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["id"], 1_234_567_890_123_456_789_u64);
    assert_eq!(lines[0]["id_str"], "1234567890123456789");
    assert_eq!(lines[0]["timestamp"], "2030-04-30T18:12:02.167Z");
    assert_eq!(lines[0]["datacenter_id"], 20);
    assert_eq!(lines[0]["worker_id"], 24);
    assert_eq!(lines[0]["sequence"], 277);
    assert_eq!(lines[1]["timestamp"], "2021-01-01T00:00:00.000Z");

    let bad = ["x", "1.5", "9223372036854775808", "99999999999999999999", "+1", "١"];
    for id in bad {
        let finished = run(&["parse", "7", id, "8"]);
        finished.assert_code(1).assert_says(&[id]);
        assert_eq!(finished.stdout.lines().count(), 2, "the good ones are printed");
    }
}

#[test]
fn parse_of_many_lines_prints_the_good_ones_and_numbers_the_bad_ones() {
    let input: String = (1..=100_000_u32)
        .map(|line| if line % 10_000 == 0 { "bad\n".to_owned() } else { format!("{line}\r\n") })
        .collect();
    for args in [&["parse"][..], &["parse", "-"]] {
        let finished = feed(coreflake().args(args), input.as_bytes());
        finished.assert_code(1);
        assert_eq!(finished.stdout.lines().count(), 99_990);
        assert_eq!(finished.stderr.lines().count(), 10);
        for (index, line) in finished.stderr.lines().enumerate() {
            let number = format!("line {}:", (index + 1) * 10_000);
            assert!(line.contains(&number) && line.contains("`bad`"), "{line}");
        }
    }
    feed(coreflake().arg("parse"), b"").assert_code(0);
    feed(coreflake().arg("parse"), b"7").assert_code(0);
    feed(coreflake().arg("parse"), b"\xff\xfe\n7\n").assert_code(1).assert_says(&["line 1:"]);
    let no_newline = vec![b'7'; 1 << 20];
    feed(coreflake().arg("parse"), &no_newline).assert_code(1).assert_says(&["line 1"]);
}

/// Runs a line of shell in which `$0` is the command.
fn shell(line: &str, input: &[u8]) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(coreflake().get_program()).env("LC_ALL", "C");
    feed(&mut command, input)
}

#[test]
fn closed_standard_streams_are_no_reason_to_panic() {
    shell("exec \"$0\" parse <&-", b"").assert_code(0);
    shell("exec \"$0\" parse 7 >&-", b"").assert_code(0);
    shell("exec \"$0\" parse x 2>&-", b"").assert_code(1);
    shell("exec \"$0\" parse 7 x", b"").assert_code(1);
    // What could not be written is not a success.
    shell("exec \"$0\" parse 7 > /dev/full", b"").assert_code(1).assert_says(&["No space"]);
}

/// Reads one line of the output of a command that would print many, and then closes it.
fn read_one_line(command: &mut Command, input: &[u8]) -> (Option<i32>, String) {
    let piped = command.stdin(pipe(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!line.is_empty());
    (child.wait().unwrap().code(), stderr)
}

/// A pipe that is filled in the background.
fn pipe(input: &[u8]) -> Stdio {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let input = input.to_vec();
    std::thread::spawn(move || drop(std::io::Write::write_all(&mut writer, &input)));
    reader.into()
}

#[test]
fn a_reader_that_has_had_enough_ends_the_command_quietly() {
    let ids = "1234567890123456789\n".repeat(100_000);
    let quiet = (Some(0), String::new());
    assert_eq!(read_one_line(coreflake().arg("parse"), ids.as_bytes()), quiet);
    let server = Server::start(&[]);
    let address = server.tcp.to_string();
    let args = ["generate", "--server", &address, "--count", "2000000"];
    assert_eq!(read_one_line(coreflake().args(args), b""), quiet);
}

/// `coreflake parse … 2>&1 | head -1`: the messages find nobody either.
#[test]
fn a_reader_of_the_messages_that_has_had_enough_causes_no_panic() {
    let line = "{ \"$0\" parse 2>&1; echo \"code $?\" >&2; } | head -n 1";
    let finished = shell(line, "bad\n".repeat(100_000).as_bytes());
    let code = finished.stderr.trim();
    assert!(["code 0", "code 1"].contains(&code), "{finished:?}");
}

#[test]
fn no_colour_where_no_colour_is_wanted() {
    // `assert_code` looks for escapes.
    run(&["--help"]).assert_code(0);
    run(&["--bogus"]).assert_code(2);
    let Ok(script) = which("script") else { return };
    let program = coreflake().get_program().to_str().unwrap().to_owned();
    for args in ["--help", "--bogus", "parse x"] {
        let mut command = Command::new(&script);
        command.args(["-q", "-c", &format!("{program} {args}"), "/dev/null"]);
        let finished = feed(command.env("NO_COLOR", "1").env("TERM", "xterm-256color"), b"");
        assert!(!finished.stdout.contains("\x1b["), "{args}: {finished:?}");
        assert!(finished.stdout.len() > 10, "{args}: {finished:?}");
    }
}

fn which(name: &str) -> Result<std::path::PathBuf, ()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.exists()).ok_or(())
}

/// What one command needs does not stop another one.
#[test]
fn a_bad_environment_for_serve_does_not_stop_parse() {
    let mut command = coreflake();
    command.args(["parse", "7"]).env("COREFLAKE_WORKER_ID", "abc").env("COREFLAKE_LISTEN", "x");
    feed(&mut command, b"").assert_code(0);
}

#[test]
fn a_server_that_sends_something_else_is_unavailable() {
    // A UDP socket that answers nothing, and a TCP listener that accepts nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    run(&["generate", "--udp", "--server", &address]).assert_code(69).assert_says(&[&address]);
    drop(Datagrams::connect(silent.local_addr().unwrap()));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    run(&["generate", "--server", &address]).assert_code(69).assert_says(&[&address]);
}
