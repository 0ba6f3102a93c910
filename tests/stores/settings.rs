//! Settings of a store and of a pool that cannot be right. No store is asked.

use crate::common::{Finished, Scratch, coreflake, feed};

const ETCD: [&str; 4] = ["--store", "etcd", "--store-endpoints", "http://127.0.0.1:2379"];
const CONSUL: [&str; 4] = ["--store", "consul", "--store-endpoints", "http://127.0.0.1:8500"];
const ZOOKEEPER: [&str; 4] = ["--store", "zookeeper", "--store-endpoints", "127.0.0.1:2181"];

#[track_caller]
fn refused(args: &[&str], code: i32, words: &[&str]) -> Finished {
    let check = feed(coreflake().arg("check").args(args), b"");
    println!("{args:?}: {}", check.stderr.trim());
    check.assert_code(code).assert_says(words);
    let serve = feed(coreflake().args(["serve", "--listen", "127.0.0.1:0"]).args(args), b"");
    serve.assert_code(code).assert_says(words);
    assert_eq!(serve.stdout, "", "it is not ready");
    check
}

/// `--flag value` on top of a store that is fine.
#[track_caller]
fn refused_with(store: &[&str], args: &[&str], code: i32, words: &[&str]) {
    refused(&[store, args].concat(), code, words);
}

#[test]
fn addresses_of_a_store() {
    let addresses = |kind, endpoints, code, words: &[&str]| {
        refused(&["--store", kind, "--store-endpoints", endpoints], code, words);
    };
    for kind in ["etcd", "consul"] {
        let rule = format!("{kind} is reached at http://HOST:PORT or https://HOST:PORT");
        addresses(kind, "10.0.0.1:2379", 78, &["store-endpoints 10.0.0.1:2379", &rule]);
        addresses(kind, "http://a:1,b:2", 78, &["store-endpoints b:2", &rule]);
    }
    for wrong in ["http://zk:2181", "https://zk:2181"] {
        let rule = "zookeeper is reached at HOST:PORT";
        addresses("zookeeper", wrong, 78, &[&format!("store-endpoints {wrong}"), rule]);
    }
    for wrong in
        ["ftp://a:1", "http://a", "http://a:0", "http://a:1/path", "a:65536", "", "http://"]
    {
        addresses("etcd", wrong, 78, &["store-endpoints", "such as http://10.0.0.1:2379"]);
    }
    let words = ["credentials do not belong into an address"];
    let secret = "http://user:hunter2@a:1";
    let said = refused(&["--store", "etcd", "--store-endpoints", secret], 78, &words);
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
    let many: Vec<_> = (1..=17).map(|port| format!("http://a:{port}")).collect();
    addresses("etcd", &many.join(","), 78, &["17 addresses; at most 16 are allowed"]);
    for kind in ["etcd", "zookeeper", "consul"] {
        let missing = format!("store {kind}: where it is reached is missing");
        refused(&["--store", kind], 78, &[&missing, "--store-endpoints"]);
    }
    refused(&ETCD[2..], 78, &["store-endpoints", "--store etcd, zookeeper or consul"]);
    refused(&["--store", "redis"], 2, &["redis", "etcd", "zookeeper", "consul"]);
}

#[test]
fn flags_of_a_store() {
    for prefix in ["id-generator", "/", "/a/", "//a", "/a/../b", "/a b", ""] {
        let words = [&format!("store-prefix {prefix:?}")[..], "a path such as /id-generator"];
        refused_with(&ETCD, &["--store-prefix", prefix], 78, &words);
    }
    for (flag, wrong, allowed) in [
        ("--store-session-ms", "999", "1000..=600000"),
        ("--store-session-ms", "600001", "1000..=600000"),
        ("--store-timeout-ms", "49", "50..=60000"),
        ("--store-timeout-ms", "soon", "--store-timeout-ms"),
        ("--worker-slots", "0", "1..=32"),
        ("--worker-slots", "33", "1..=32"),
    ] {
        refused_with(&ETCD, &[flag, wrong], 2, &[wrong, flag, allowed]);
    }
    let timeout = ["--store-timeout-ms", "1001", "--window-ms", "3000"];
    let words = ["store-timeout-ms 1001", "at most a third of window-ms 3000"];
    refused_with(&ETCD, &timeout, 78, &words);
    let session = ["--store-session-ms", "9999"];
    refused_with(&CONSUL, &session, 78, &["store-session-ms 9999", "10000"]);
    let scratch = Scratch::new("settings-files");
    let secret = scratch.file("secret", 0o600, b"hunter2");
    for (flag, other) in
        [("--store-cert-file", "--store-key-file"), ("--store-key-file", "--store-cert-file")]
    {
        refused_with(&ETCD, &[flag, &secret], 78, &[&flag[2..], &other[2..], "both or none"]);
    }
    let missing = ["--store-password-file", "/nowhere/secret"];
    refused_with(&ETCD, &missing, 78, &["store-password-file /nowhere/secret", "No such file"]);
    let password = ["--store-password-file", &secret];
    let ca = ["--store-ca-file", &secret];
    refused_with(&ZOOKEEPER, &ca, 78, &["TLS is not supported"]);
    refused_with(&ZOOKEEPER, &password, 78, &["a password, but no username"]);
    let user = ["--store-username", "me"];
    refused_with(&ZOOKEEPER, &user, 78, &["a username, but no password"]);
}

#[test]
fn pools() {
    let dynamic = ["--worker-mode", "dynamic"];
    for wrong in ["9-0", "a-b", "-1", "0-", "0-99999", "1-2-3"] {
        let pool = format!("--worker-pool={wrong}");
        refused_with(&dynamic, &[&pool], 2, &[wrong, "a range such as 0-9, or one number"]);
    }
    let words = ["worker-pool 0-40", "0 to 31 are allowed"];
    refused_with(&dynamic, &["--worker-pool", "0-40"], 78, &words);
    let words = ["worker-slots 3", "the pool has 2 worker IDs"];
    refused_with(&dynamic, &["--worker-pool", "4-5", "--worker-slots", "3"], 78, &words);
    let words = ["worker-id 4", "--worker-mode dynamic", "--worker-pool"];
    refused_with(&dynamic, &["--worker-id", "4"], 78, &words);
    refused(&["--worker-pool", "0-9"], 78, &["worker-pool", "--worker-mode dynamic"]);
    let several = ["--worker-id", "30", "--worker-slots", "3"];
    refused(&several, 78, &["worker-slots 3", "worker-id 30", "0 to 31 are allowed"]);
    refused(&["--worker-mode", "auto"], 2, &["auto", "static", "dynamic"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let flags = [
        ("--worker-mode", "dynamic"),
        ("--worker-id", "4"),
        ("--store-prefix", "nonsense"),
        ("--store-timeout-ms", "30000"),
        ("--store-ca-file", "/nowhere/ca"),
        ("--store-cert-file", "/nowhere/cert"),
    ];
    let flags: Vec<_> = flags.into_iter().flat_map(|(flag, value)| [flag, value]).collect();
    let words = [
        "worker-id 4",
        "store-prefix \"nonsense\"",
        "store-timeout-ms 30000",
        "store-ca-file /nowhere/ca",
        "store-cert-file /nowhere/cert",
        "store-cert-file and store-key-file belong together",
        "where it is reached is missing",
    ];
    let said = refused(&[&["--store", "etcd"], &flags[..]].concat(), 78, &words);
    assert_eq!(said.stderr.lines().count(), words.len(), "{}", said.stderr);
}

#[test]
fn keys_of_the_file() {
    let scratch = Scratch::new("settings-yaml");
    let text = "\
worker:
  mode: automatic
  pool: 9-0
  slots: 33
store:
  kind: redis
  endpoints: [\"ftp://a:1\"]
  prefix: 5
  auto_init: maybe
  session_ms: 999
  timeout_ms: soon
  username: \"\"
  password_file: 7
  token: hunter2
";
    let file = scratch.file("coreflake.yaml", 0o600, text.as_bytes());
    let words = [
        "2: worker.mode \"automatic\"",
        "3: worker.pool \"9-0\"",
        "4: worker.slots 33 is out of range: 1 to 32 are allowed",
        "6: store.kind \"redis\": file, etcd, zookeeper or consul",
        "7: store.endpoints",
        "8: store.prefix 5",
        "9: store.auto_init \"maybe\"",
        "10: store.session_ms 999 is out of range: 1000 to 600000 are allowed",
        "11: store.timeout_ms \"soon\"",
        "12: store.username",
        "13: store.password_file 7",
        "14: unknown key \"store.token\"",
    ];
    let said = refused(&["--config", &file], 78, &words);
    assert_eq!(said.stderr.lines().count(), words.len(), "{}", said.stderr);
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
}
