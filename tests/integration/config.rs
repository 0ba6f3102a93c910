//! The configuration file, and `check`, which says of it what `serve` would.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::common::{Finished, Peer, Scratch, Server, coreflake, feed, free_port, run};

/// The file that explains every key.
const EXPLAINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/coreflake.yaml");

/// `command` with a file, and with nothing in the environment that would lie over it.
fn command(command: &str, file: &str) -> Command {
    let mut all = coreflake();
    all.args([command, "--config", file]).env_remove("COREFLAKE_HTTP").env_remove("COREFLAKE_GRPC");
    all
}

/// Checks that `check` and `serve` say the same of a file, and gives the lines without the name of
/// the file in front.
#[track_caller]
fn refused(file: &str) -> Vec<String> {
    let [check, serve] = ["check", "serve"].map(|name| feed(&mut command(name, file), b""));
    for finished in [&check, &serve] {
        finished.assert_code(78);
        assert_eq!(finished.stdout, "", "{finished:?}");
    }
    assert_eq!(check.stderr, serve.stderr);
    let begin = format!("coreflake: {file}:");
    let line = |line: &str| line.strip_prefix(&begin).unwrap_or(line).to_owned();
    check.stderr.lines().map(line).collect()
}

/// As [`refused`], for a file with this text.
#[track_caller]
fn refused_text(scratch: &Scratch, text: impl AsRef<[u8]>) -> Vec<String> {
    refused(&scratch.file("config.yaml", 0o644, text.as_ref()))
}

#[track_caller]
fn checked(mut command: Command) -> String {
    let finished = feed(&mut command, b"");
    finished.assert_code(0);
    assert_eq!((finished.stdout.lines().count(), finished.stderr.as_str()), (1, ""));
    finished.stdout
}

#[test]
fn a_file_that_is_none_is_refused() {
    let scratch = Scratch::new("config-none");
    let directory = scratch.path().to_str().unwrap().to_owned();
    assert_eq!(
        refused(&format!("{directory}/missing")),
        [" No such file or directory (os error 2)"]
    );
    assert_eq!(refused(&directory), [" Is a directory (os error 21)"]);
    let huge = "#".repeat(64 * 1_024 + 1);
    for (text, problem) in [
        (&b""[..], " holds no keys"),
        (b"# a comment\n", " holds no keys"),
        (b"worker_id: 1\nport: \xff\n", "2: not UTF-8"),
        (
            b"\xef\xbb\xbfworker_id: 1\n",
            "1: begins with a byte order mark: save it as UTF-8 without one",
        ),
        (b"\xff\xfew\0o\0", "1: not UTF-8"),
        (huge.as_bytes(), " larger than 64 KiB"),
        (b"worker_id\n", " \"worker_id\": a group of keys is expected"),
        (b"- worker_id: 1\n", " (a list of 1): a group of keys is expected"),
    ] {
        assert_eq!(refused_text(&scratch, text), [problem]);
    }
    assert_eq!(refused("/dev/zero"), [" larger than 64 KiB"]);
}

#[test]
fn what_is_no_yaml_has_line_and_column() {
    let scratch = Scratch::new("config-syntax");
    for (text, place) in [
        ("worker_id: 1\nntp:\n  servers: [a\nport: 1\n", "4:"),
        ("worker_id: 1\n\tport: 1\n", "2:1: "),
        ("worker_id: 1\n  port: 1\n", "2:7: "),
        ("worker_id: \"1\nport: 1", "2:8: "),
        ("worker_id: \0\n", "1:"),
        ("worker_id: *one\n", "1:12: "),
    ] {
        let problems = refused_text(&scratch, text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(place), "{text:?}: {problems:?}");
    }
    let several = refused_text(&scratch, "worker_id: 1\n---\nworker_id: 2\n");
    assert!(several[0].contains("several documents: one is expected"), "{several:?}");
}

#[test]
fn unknown_and_duplicate_keys_and_nothing_behind_one() {
    let scratch = Scratch::new("config-keys");
    let text =
        "wroker_id: 1\nntp:\n  server: [a.example]\nport:\nshards: 1\nshards: 2\n<<: {a: 1}\n";
    let problems = refused_text(&scratch, text);
    assert_eq!(problems[0], "1: unknown key \"wroker_id\": did you mean \"worker_id\"?");
    assert_eq!(problems[1], "3: unknown key \"ntp.server\": did you mean \"ntp.servers\"?");
    assert_eq!(problems[2], "4: port has no value: a whole number from 0 to 65535 is expected");
    assert_eq!(problems[3], "6: duplicate key \"shards\"");
    assert!(problems[4].starts_with("7: unknown key \"<<\""));
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn a_value_of_another_type_or_out_of_range_is_answered_with_what_is_expected() {
    let scratch = Scratch::new("config-values");
    for (text, words) in [
        ("worker_id: -1", &["worker_id -1 is out of range: 0 to 65535 are allowed"][..]),
        ("worker_id: 32", &["worker_id 32 is out of range: 0 to 31 are allowed"]),
        ("worker_id: x", &["worker_id \"x\": a whole number from 0 to 65535 is expected"]),
        ("worker_id: \"1\"", &["worker_id \"1\": a whole number"]),
        ("worker_id: 1.5", &["worker_id 1.5: a whole number"]),
        ("worker_id: !mine 1", &["1:12: ", "a tag has no meaning here"]),
        ("datacenter_id: 32", &["datacenter_id 32 is out of range: 0 to 31 are allowed"]),
        ("datacenter_id: 99999999999999999999999", &["datacenter_id 99999999999999999999999 is"]),
        ("epoch: 0", &["epoch 0 is no time in milliseconds", "946684800000"]),
        ("epoch: 1609459200", &["epoch 1609459200 is no time in milliseconds"]),
        ("epoch: 4102444800000", &["epoch 4102444800000", "an epoch in the future has no IDs"]),
        ("layout: 41+5+5+13", &["layout 41+5+5+13: the bit widths add up to 64"]),
        ("layout: twitter", &["layout \"twitter\": snowflake, javascript, or bit widths"]),
        ("layout: 53", &["layout 53: snowflake, javascript, or bit widths"]),
        ("tick_ms: 5", &["tick-ms: a tick of 5 ms: 1 ms and 10 ms are allowed"]),
        ("tick_ms: 0", &["tick-ms: a tick of 0 ms: 1 ms and 10 ms are allowed"]),
        ("tick_ms: 300", &["tick_ms 300: 1 or 10 is expected"]),
        ("tick_ms: ten", &["tick_ms \"ten\": 1 or 10 is expected"]),
        ("epoch: -1", &["epoch -1: a time in Unix milliseconds, from 946684800000"]),
        ("{layout: javascript, worker_id: 16}", &["worker_id 16 is out of range: 0 to 15"]),
        ("instagram: {shard_bits: 9}", &["a shard of 9 bits: 10 (the width of a slot) to 22"]),
        ("instagram: {shard_bits: 23}", &["a shard of 23 bits: 10 (the width of a slot) to 22"]),
        ("instagram: {epoch: 1609459200}", &["instagram-epoch 1609459200 is no time"]),
        (
            "instagram: 13",
            &["instagram: keys are expected below: instagram.shard_bits, instagram.e"],
        ),
        ("uuid1: {node: 02-00}", &["uuid1.node \"02-00\": slot, mac, or six bytes"]),
        ("window_ms: 0", &["window_ms 0 is out of range: 100 to 600000 are allowed"]),
        ("window_ms: 1000000000000", &["window_ms 1000000000000 is out of range"]),
        ("port: 65536", &["port 65536 is out of range: 0 to 65535 are allowed"]),
        ("port: -1", &["port -1 is out of range"]),
        ("port: 8080\nhttp: none", &["port and http both set the address of REST"]),
        ("http: localhost", &["http \"localhost\": an address", "none"]),
        ("listen: none", &["listen \"none\": an address"]),
        ("listen: 127.0.0.1:65536", &["listen \"127.0.0.1:65536\": an address"]),
        ("shards: 0", &["shards 0 is out of range"]),
        ("shards: 2000", &["shards 2000: ", "at most 960"]),
        ("gateway: {threads: 9}", &["gateway.threads 9 is out of range: 1 to 8 are allowed"]),
        ("sequence: {pool_share: 0.91}", &["sequence.pool_share 0.91: a number from 0 to 0.9"]),
        ("sequence: {pool_share: 0.1234}", &["at most three decimals"]),
        ("ntp: {servers: ntp1}", &["ntp.servers \"ntp1\": a list"]),
        ("ntp: {servers: [a, \"b c\"]}", &["ntp.servers \"b c\": host or host:port is expected"]),
        ("ntp: {servers: [a, b, c, d]}", &["ntp-server: ", "4"]),
        ("ntp: {interval_ms: 99}", &["ntp.interval_ms 99 is out of range"]),
        ("ntp: 5", &["ntp: keys are expected below: ntp.servers, ntp.interval_ms"]),
        ("udp: {allow: [10.0.0.0/33]}", &["udp.allow \"10.0.0.0/33\": a network"]),
        (
            "udp: {allow: []}",
            &["udp.allow (a list of 0): a list of networks, or none, is expected"],
        ),
        ("insecure: maybe", &["insecure \"maybe\": true or false is expected"]),
        ("log_format: xml", &["log_format \"xml\": text or json is expected"]),
        ("allow_state_filesystem: [ext4]", &["allow_state_filesystem \"ext4\": one of tmpfs, "]),
        ("limits: {max_udp_rate: 0}", &["limits.max_udp_rate 0 is out of range"]),
        ("auth: {token_file: [a]}", &["auth.token_file (a list of 1): a path is expected"]),
        ("state_dir: state", &["state-dir state: an absolute path is needed"]),
        ("worker_id: \"\\e[31m\"", &["worker_id \"\\u{1b}[31m\""]),
    ] {
        let problems = refused_text(&scratch, text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("1:"), "{problems:?}");
        for word in words {
            assert!(problems[0].contains(word), "{problems:?}: {word}");
        }
    }
}

#[test]
fn a_token_does_not_belong_into_the_file() {
    let scratch = Scratch::new("config-token");
    for text in
        ["auth: {token: s3cret}", "auth: {token: [s3cret]}", "auth: s3cret", "token: s3cret"]
    {
        let problems = refused_text(&scratch, text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("auth.token_file"), "{problems:?}");
        assert!(!problems[0].contains("s3cret"), "{problems:?}");
    }
    let rule = &refused_text(&scratch, "auth: {token: s3cret}")[0];
    assert!(rule.contains("put it into a file of its own, mode 600"), "{rule}");
    let open = scratch.file("tokens", 0o644, b"s3cret\n");
    let problems =
        refused_text(&scratch, format!("auth: {{token_file: {open}}}\nudp: {{allow: none}}"));
    assert!(problems[0].contains("600") && problems.len() == 1, "{problems:?}");
}

#[test]
fn every_problem_is_told_at_once() {
    let scratch = Scratch::new("config-all");
    let text = "worker_id: 32\nshards: 2000\nlisten: 0.0.0.0:0\nhttp: 0.0.0.0:8080\n\
                grpc: 0.0.0.0:8080\nepoch: 5\nprot: 1\nntp: {servers: [a, a]}\n";
    let problems = refused_text(&scratch, text);
    let begins = [
        "7: unknown key \"prot\": did you mean \"port\"?",
        // A number was given, though wrong.
        "coreflake: listen 0.0.0.0:0, http 0.0.0.0:8080, grpc 0.0.0.0:8080 can be reached from \
         other hosts: name the slot",
        "coreflake: listen 0.0.0.0:0, http 0.0.0.0:8080, grpc 0.0.0.0:8080 can be reached from \
         other hosts: require a token",
        "coreflake: listen 0.0.0.0:0 can be reached from other hosts: name the networks",
        "5: http 0.0.0.0:8080 and grpc 0.0.0.0:8080 are the same port: each needs its own",
        "6: epoch 5 is no time in milliseconds",
        "1: worker_id 32 is out of range",
        "2: shards 2000: ",
        "8: ntp-server: ",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:#?}");
    for (problem, begin) in problems.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem}: {begin}");
    }
}

#[test]
fn flags_override_the_environment_and_that_the_file() {
    let scratch = Scratch::new("config-layers");
    let text =
        "datacenter_id: 1\nworker_id: 1\nport: 0\ngrpc: none\nlisten: 127.0.0.1:0\nshards: 1\n";
    let file = scratch.file("config.yaml", 0o644, text.as_bytes());
    let with = |name, flags: &[&str]| {
        let mut command = command(name, &file);
        command.env("COREFLAKE_WORKER_ID", "2").args(flags);
        command
    };
    let said = checked(with("check", &["--grpc", "127.0.0.1:7", "--state-dir", "/var/tmp/x"]));
    let expected = "ok: datacenter 1 worker 2, tcp 127.0.0.1:0, udp 127.0.0.1:0, http 127.0.0.1:0, \
                    grpc 127.0.0.1:7, shards 1, state-dir /var/tmp/x\n";
    assert_eq!(said, expected);
    for (flags, ready) in [
        (&[][..], " datacenter=1 worker=2 shards=1"),
        (&["--worker-id", "3", "--datacenter-id", "4"], " datacenter=4 worker=3 shards=1"),
    ] {
        let server = Server::launch(with("serve", flags)).unwrap();
        assert!(server.ready_line().ends_with(ready), "{}", server.ready_line());
        Peer::connect(server.tcp).generate(1);
        server.stop();
    }
    // A switch of the file can be switched off again.
    let open =
        "datacenter_id: 1\nworker_id: 1\nlisten: 0.0.0.0:0\ninsecure: true\nudp: {allow: none}\n";
    let open = scratch.file("open.yaml", 0o644, open.as_bytes());
    checked(command("check", &open));
    let mut closed = command("check", &open);
    feed(closed.arg("--insecure=false"), b"").assert_code(78).assert_says(&["--insecure"]);
    // What a flag gets wrong is not said to be in the file.
    let mut wrong = command("check", &file);
    let finished = feed(wrong.args(["--worker-id", "32"]), b"");
    finished.assert_code(78);
    assert_eq!(finished.stderr, "coreflake: worker_id 32 is out of range: 0 to 31 are allowed\n");
}

#[test]
fn the_file_may_be_named_in_the_environment_and_flags_may_be_wrong() {
    let scratch = Scratch::new("config-environment");
    let file = scratch.file("config.yaml", 0o644, b"worker_id: 7\nport: 1234\n");
    let mut by_environment = coreflake();
    by_environment.arg("check").env("COREFLAKE_CONFIG", &file).env_remove("COREFLAKE_HTTP");
    let said = checked(by_environment);
    assert!(said.contains(" worker 7, ") && said.contains(" http 127.0.0.1:1234, "), "{said}");
    let wrong = |flag: &str, value: &str| -> Finished {
        let mut command = coreflake();
        feed(command.arg("check").arg(format!("--{flag}={value}")), b"")
    };
    for (flag, value) in [
        ("http", "localhost"),
        ("grpc", "0"),
        ("gateway-threads", "0"),
        ("gateway-threads", "9"),
        ("pool-share", "0.91"),
        ("pool-share", "x"),
        ("max-gateway-connections", "0"),
        ("epoch", "-1"),
        ("window-ms", "99"),
        ("insecure", "perhaps"),
    ] {
        wrong(flag, value).assert_code(2).assert_says(&[flag, value]);
        let variable = format!("COREFLAKE_{}", flag.replace('-', "_").to_uppercase());
        let finished = feed(coreflake().arg("check").env(&variable, value), b"");
        finished.assert_code(2).assert_says(&[flag, value]);
    }
    wrong("epoch", "5").assert_code(78).assert_says(&["epoch 5 is no time in milliseconds"]);
}

/// The ports may be those of a server that runs, and the directory is made by the one that starts.
#[test]
fn check_binds_nothing_and_makes_nothing() {
    let scratch = Scratch::new("config-check");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = scratch.path().join("not/yet/there");
    let listen = taken.local_addr().unwrap();
    let text = format!("listen: {listen}\nstate_dir: {}\n", state.display());
    let file = scratch.file("config.yaml", 0o644, text.as_bytes());
    let said = checked(command("check", &file));
    assert!(said.starts_with(&format!("ok: datacenter 0 worker 0, tcp {listen}, ")), "{said}");
    assert!(!scratch.path().join("not").exists());

    fs::write(scratch.path().join("not"), "a file").unwrap();
    let finished = feed(&mut command("check", &file), b"");
    finished.assert_code(78).assert_says(&["state-dir", state.to_str().unwrap()]);
    let through = scratch.file("through.yaml", 0o644, format!("{text}shards: 2000\n").as_bytes());
    let finished = feed(&mut command("check", &through), b"");
    finished.assert_code(78).assert_says(&["state-dir", "shards 2000"]);
    assert_eq!(finished.stderr.lines().count(), 2, "{finished:?}");
}

#[test]
fn check_knows_a_file_system_that_forgets() {
    assert!(Path::new("/dev/shm").is_dir(), "a tmpfs, as on every Linux");
    let check = |allow: &[&str]| {
        let mut command = coreflake();
        command.args(["check", "--state-dir", "/dev/shm/coreflake-never-made"]).args(allow);
        feed(&mut command, b"")
    };
    check(&[]).assert_code(78).assert_says(&["--allow-state-filesystem tmpfs"]);
    check(&["--allow-state-filesystem", "tmpfs"]).assert_code(0);
    assert!(!Path::new("/dev/shm/coreflake-never-made").exists());
}

#[test]
fn the_file_that_explains_every_key_starts_a_server() {
    let said = checked(command("check", EXPLAINED));
    assert!(said.contains("tcp 127.0.0.1:4096, udp 127.0.0.1:4096, http 127.0.0.1:8080"), "{said}");
    // Other tests may have its ports.
    let mut serve = coreflake();
    let listen = format!("127.0.0.1:{}", free_port());
    serve.args(["serve", "--config", EXPLAINED, "--listen", &listen]);
    let server = Server::launch(serve).unwrap();
    assert_eq!(server.tcp.to_string(), listen);
    Peer::connect(server.tcp).generate(1);
    server.stop().assert_rejects(&[]);
}

#[test]
fn an_epoch_is_what_parse_and_slots_count_from() {
    let scratch = Scratch::new("config-epoch");
    let state = scratch.path().join("state").to_str().unwrap().to_owned();
    let epoch = "1700000000000";
    let text = format!("epoch: {epoch}\nstate_dir: {state}\nlisten: 127.0.0.1:0\nport: 0\n");
    let file = scratch.file("config.yaml", 0o644, format!("{text}grpc: none\n").as_bytes());
    Server::launch(command("serve", &file)).unwrap().stop();

    let with = |args: &[&str], epoch: &str| {
        let mut command = coreflake();
        feed(command.args(args).env("COREFLAKE_EPOCH", epoch), b"")
    };
    let parsed = with(&["parse", "0"], epoch);
    assert!(parsed.stdout.contains("\"2023-11-14T22:13:20.000Z\""), "{parsed:?}");
    // No server starts with this one; IDs of others may count from it.
    let parsed = with(&["parse", "0"], "5");
    assert!(parsed.stdout.contains("\"1970-01-01T00:00:00.005Z\""), "{parsed:?}");
    feed(coreflake().args(["parse", "0", "--epoch", "x"]), b"").assert_code(2);

    let slot = ["--state-dir", &state, "--datacenter-id", "0", "--worker-id", "0"];
    let retire = [&["slots", "retire"][..], &slot].concat();
    // Of another namespace.
    with(&retire, "1609459200000").assert_code(1).assert_says(&["namespace"]);
    with(&retire, epoch).assert_code(0);
    let show = ["slots", "list", "--state-dir", &state];
    assert!(with(&show, epoch).stdout.contains("retired"));
    with(&show, "5").assert_code(2).assert_says(&["epoch 5"]);
}

#[test]
fn check_looks_at_the_record_of_the_slot() {
    let scratch = Scratch::new("config-record");
    let state = scratch.path().join("state");
    let state = state.to_str().unwrap();
    let check = |more: &[&str]| run(&[&["check", "--state-dir", state], more].concat());
    check(&[]).assert_code(0);
    let server = Server::start(&["--state-dir", state]);
    // A server that has it is no reason against it.
    check(&[]).assert_code(0);
    server.stop();
    check(&["--epoch", "1700000000000"]).assert_code(78).assert_says(&["slot 0", "namespace"]);
    check(&["--epoch", "1700000000000", "--worker-id", "1"]).assert_code(0);
    fs::write(format!("{state}/slot-0000.record"), vec![7; 16_384]).unwrap();
    check(&[]).assert_code(78).assert_says(&["unreadable"]);
}
