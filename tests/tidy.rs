//! The rules of the house that a machine can check. Each failure says what to do.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

struct Source {
    path: String,
    text: String,
}

/// Every tracked kind of text file in the repository, generated and third-party folders left out.
fn sources(extensions: &[&str]) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != ".git" {
                walk(&path, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, &mut found);
    let sources: Vec<_> = found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| extensions.iter().any(|e| ext == *e)))
        .map(|path| Source {
            path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    assert!(!sources.is_empty(), "the walk found nothing: these tests would check nothing");
    sources
}

fn fail_if_any(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// The lines of a file that are code, with their numbers.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn files_and_lines_are_short() {
    let mut problems = Vec::new();
    for source in sources(&["rs"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{}: {lines} lines; split it by nouns", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            // Code is rustfmt's affair; it does not wrap comments.
            if line.trim_start().starts_with("//") && line.chars().count() > COLUMNS_MAX {
                problems.push(format!("{}:{}: over {COLUMNS_MAX} columns", source.path, index + 1));
            }
        }
    }
    fail_if_any(&problems);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    // Spelled in two parts, so that this file does not find itself.
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
        concat!("FIX", "ME"),
    ];
    let mut problems = Vec::new();
    for source in sources(&["rs", "py", "sh"]) {
        for (index, line) in source.text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}:{}: {word}: finish it", source.path, index + 1));
            }
        }
    }
    fail_if_any(&problems);
}

#[test]
fn the_pure_crates_do_no_io_and_ask_nobody_the_time() {
    let banned = [
        ("std::io", "bytes are arguments"),
        ("std::net", "bytes are arguments"),
        ("std::fs", "bytes are arguments"),
        ("std::thread", "threads belong to the shell"),
        ("std::time", "time is an argument"),
        ("SystemTime", "time is an argument"),
        ("Instant", "time is an argument"),
        ("tokio", "the runtime belongs to the shell"),
        ("tracing", "the shell logs"),
        ("println!", "the shell prints"),
        ("fastrand", "randomness is an argument"),
    ];
    let mut problems = Vec::new();
    for source in sources(&["rs"]) {
        if !(source.path.starts_with("protocol/src") || source.path.starts_with("engine/src")) {
            continue;
        }
        for (number, line) in code(&source) {
            for (word, why) in banned.iter().filter(|(word, _)| line.contains(word)) {
                problems.push(format!("{}:{number}: `{word}`: {why}", source.path));
            }
        }
    }
    fail_if_any(&problems);
}

#[test]
fn crates_import_only_what_stands_left_of_them() {
    // Who must never be named where.
    let rules = [
        ("protocol/", &["coreflake_engine", "coreflake_client", "coreflake::"][..]),
        ("engine/", &["coreflake_client", "coreflake::"]),
        ("client/src", &["coreflake_engine", "coreflake::"]),
        ("loadgen/", &["coreflake_engine", "coreflake::"]),
        ("src/net", &["coreflake_client", "crate::server", "crate::commands", "crate::identity"]),
        (
            "src/identity",
            &["crate::config", "crate::net", "crate::server", "crate::shard", "crate::keeper"],
        ),
        ("src/ntp", &["crate::net", "crate::server", "crate::shard", "crate::identity"]),
        ("src/keeper", &["crate::net", "crate::server", "crate::shard"]),
        ("src/service", &["crate::net", "crate::server", "crate::shard"]),
        ("src/gateway", &["crate::server", "crate::commands", "crate::config", "crate::shard"]),
        ("src/metrics", &["crate::server", "crate::gateway", "crate::net", "crate::shard"]),
        ("src/net", &["crate::gateway", "crate::metrics"]),
        ("src/shard", &["crate::server", "crate::commands", "crate::config", "crate::args"]),
    ];
    let mut problems = Vec::new();
    for source in sources(&["rs"]) {
        for (place, banned) in rules.iter().filter(|(place, _)| source.path.starts_with(place)) {
            for (number, line) in code(&source) {
                for word in banned.iter().filter(|word| line.contains(**word)) {
                    let path = &source.path;
                    problems.push(format!("{path}:{number}: {place} must not know `{word}`"));
                }
            }
        }
    }
    fail_if_any(&problems);
}

#[test]
fn a_library_is_named_where_it_belongs() {
    let homes = [
        (
            "clap::",
            &[
                "src/args/ids.rs",
                "src/args/mod.rs",
                "src/args/namespace.rs",
                "src/args/serve.rs",
                "src/args/state.rs",
                "src/args/value.rs",
                // A test compares flags and keys.
                "src/config/keys.rs",
                "src/main.rs",
            ][..],
        ),
        ("core_affinity::", &["src/shard.rs", "src/gateway/thread.rs", "src/server.rs"]),
        ("socket2::", &["src/net/socket.rs", "src/net/acceptor.rs"]),
        ("quinn_udp::", &["src/net/udp.rs", "src/net/inbox.rs", "src/net/outbox.rs"]),
        (
            "rustix::",
            &[
                "src/timer.rs",
                "src/clock_monitor.rs",
                "src/clock.rs",
                "src/commands/serve.rs",
                "src/identity/directory.rs",
                "src/identity/file.rs",
                "src/identity/filesystem.rs",
                "src/identity/host.rs",
                "src/identity/shared/high_water.rs",
            ],
        ),
        ("subtle::", &["src/auth.rs"]),
        ("jiff::", &["src/timestamp.rs"]),
        ("sntpc::", &["src/ntp/query.rs"]),
        ("libc::", &["src/kernel_clock.rs"]),
        (
            "serde",
            &[
                "src/commands/parse.rs",
                "src/commands/range.rs",
                "src/commands/slot_table.rs",
                "src/config/yaml.rs",
                "src/details.rs",
                "src/gateway/",
                "src/identity/shared/genesis.rs",
                "src/identity/shared/high_water.rs",
                "src/identity/shared/consul/wire.rs",
                "src/identity/shared/consul/tests/",
                "src/json.rs",
            ],
        ),
        ("yaml_serde::", &["src/config/yaml.rs"]),
        ("strsim::", &["src/config/file.rs"]),
        ("mimalloc::", &["src/main.rs"]),
        ("coreflake_client::", &["src/commands/generate.rs"]),
        ("unsafe {", &["src/readable.rs", "src/kernel_clock.rs"]),
        ("SystemTime", &["src/clock.rs"]),
        ("axum::", &["src/gateway/"]),
        ("base64::", &["src/identity/shared/consul/wire.rs"]),
        ("zookeeper_client::", &["src/identity/shared/zookeeper/"]),
        ("futures_util::", &["src/identity/shared/store.rs", "src/identity/shared/zookeeper/"]),
        (
            "hyper::",
            &[
                "src/gateway/door.rs",
                "src/identity/shared/consul/",
                // A test has a server that is no etcd.
                "src/identity/shared/etcd/tests/impostor.rs",
            ],
        ),
        ("hyper_rustls::", &["src/identity/shared/consul/"]),
        ("hyper_timeout::", &["src/identity/shared/consul/http.rs"]),
        ("rustls::", &["src/identity/shared/consul/"]),
        ("tonic::", &["src/gateway/grpc.rs", "src/gateway/guard.rs", "src/identity/shared/etcd/"]),
        ("tonic_", &["src/gateway/grpc.rs", "src/gateway/thread.rs"]),
        ("coreflake_etcd::", &["src/identity/shared/etcd/"]),
        ("tokio_stream::", &["src/identity/shared/etcd/"]),
        (
            "utoipa::",
            &["src/details.rs", "src/gateway/openapi.rs", "src/gateway/rest/", "src/json.rs"],
        ),
        ("form_urlencoded::", &["src/gateway/rest/params.rs"]),
        ("prometheus_client::", &["src/metrics/"]),
        ("procfs::", &["src/metrics/process.rs"]),
        ("zookeeper_client::", &["src/identity/shared/zookeeper/"]),
    ];
    let mut problems = Vec::new();
    for source in sources(&["rs"]).iter().filter(|source| source.path.starts_with("src/")) {
        for (number, line) in code(source) {
            for (library, files) in homes.iter().filter(|(library, _)| line.contains(library)) {
                // A home ends in a slash when it is a folder.
                if !files.iter().any(|home| source.path.starts_with(home)) {
                    let path = &source.path;
                    problems.push(format!("{path}:{number}: `{library}` belongs into {files:?}"));
                }
            }
        }
    }
    fail_if_any(&problems);
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let banned = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut problems = Vec::new();
    for source in sources(&["rs", "py", "sh", "md", "toml", "yaml", "yml", "json"]) {
        for (index, line) in source.text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}:{}: `{word}`", source.path, index + 1));
            }
        }
    }
    fail_if_any(&problems);
}
