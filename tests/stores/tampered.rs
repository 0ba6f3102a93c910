//! Records that somebody has changed by hand. They are refused, and never made anew by themselves.

use coreflake_engine::record::{RECORD_SIZE, Record};

use crate::common::Peer;
use crate::ledger::Taken;
use crate::setting::{Kind, Setting, Watched, genesis_key, marker_key, now_ms, record_key, use_up};

const WORKER: u16 = 5;
const FIXED: [&str; 4] = ["--worker-id", "5", "--window-ms", "1000"];
const BOTH: [&str; 6] = ["--worker-mode", "dynamic", "--worker-pool", "5-6", "--window-ms", "1000"];
const ONLY: [&str; 4] = ["--worker-mode", "dynamic", "--worker-pool", "5-5"];

const ADOPT: &str = "coreflake slots adopt --worker-id 5";

/// What a record has become, what is said of it, and whether `adopt` helps.
struct Row {
    what: &'static str,
    bytes: Option<Vec<u8>>,
    words: Vec<&'static str>,
    adoptable: bool,
}

fn rows(original: &[u8], other: &[u8]) -> Vec<Row> {
    let record = Record::decode(original).unwrap();
    let stranger = Record { fingerprint: 0xdead_beef_0bad_cafe, ..record };
    let row = |what, bytes: &[u8], words: &[&'static str], adoptable| {
        let bytes = Some(bytes.to_vec());
        Row { what, bytes, words: words.to_vec(), adoptable }
    };
    vec![
        Row { what: "deleted", bytes: None, words: vec!["is missing", ADOPT], adoptable: true },
        row("garbage", b"\xff\x00 garbage", &["10 bytes", ADOPT], true),
        row("empty", b"", &["0 bytes", ADOPT], true),
        row("truncated", &original[..100], &["100 bytes", ADOPT], true),
        row("long", &[original, b"x"].concat(), &["181 bytes", ADOPT], true),
        row("torn", &torn(original), &["checksum", ADOPT], true),
        row("of another slot", other, &["of slot 6, not 5"], false),
        row("of another namespace", &stranger.encode(), &["deadbeef0badcafe"], false),
        row("of another release", &newer(original), &["version 2", "another release"], false),
    ]
}

fn torn(record: &[u8]) -> Vec<u8> {
    let mut bytes = record.to_vec();
    bytes[40] ^= 1;
    bytes
}

/// As a later release may write it, with its checksum.
fn newer(record: &[u8]) -> Vec<u8> {
    let mut bytes = record.to_vec();
    bytes[5] = 2;
    let checksum = crc32fast::hash(&bytes[..RECORD_SIZE - 4]);
    bytes[RECORD_SIZE - 4..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn a_record_that_was_changed_is_refused(kind: Kind) {
    let setting = Setting::new(kind, "tampered");
    let (values, key) = (setting.values(), record_key(WORKER));
    let mut original = values.get(&key).unwrap();
    for row in rows(&original, &values.get(&record_key(6)).unwrap()) {
        println!("{}: {}", kind.name(), row.what);
        match &row.bytes {
            None => values.delete(&key),
            Some(bytes) => values.put(&key, bytes),
        }
        for args in [&FIXED[..], &ONLY] {
            setting.refuses("state", args, &[&[&*key], &row.words[..]].concat());
        }
        let mut others = setting.serve("state", &BOTH);
        others.wait_for_log("a slot that cannot be used");
        assert_eq!(others.workers(), [6], "{}: it is left out", row.what);
        others.stop();
        let listed = setting.slots("list", &[]);
        listed.assert_code(1);
        assert_eq!(listed.stdout.matches("  damaged  ").count(), 1, "{listed:?}");
        let code = i32::from(!row.adoptable);
        assert_eq!(values.get(&key), row.bytes, "{}: nobody makes it anew", row.what);

        let adopted = setting.slots("adopt", &["--worker-id", "5", "--window-ms", "300"]);
        adopted.assert_code(code);
        if row.adoptable {
            setting.serves_above(now_ms(), "state", &FIXED);
            original = values.get(&key).unwrap();
        } else {
            assert_eq!(values.get(&key), row.bytes, "{}: {adopted:?}", row.what);
            values.put(&key, &original);
        }
    }

    println!("{}: hangs on a session", kind.name());
    values.attach(&key, &original);
    for args in [&FIXED[..], &ONLY] {
        setting.refuses("state", args, &["hangs on a session or a lease", ADOPT]);
    }
    let bound_ms = Record::decode(&original).unwrap().bound_ms;
    setting.slots("adopt", &["--worker-id", "5", "--window-ms", "300"]).assert_code(0);
    assert!(values.record(WORKER).bound_ms >= bound_ms);
    // It hangs on nothing any more.
    drop(values);
    setting.serves_above(bound_ms, "state", &FIXED);
}

/// A server whose record is gone uses up what it has, and ends.
fn a_held_record_that_is_changed_ends_the_server(kind: Kind) {
    let setting = Setting::new(kind, "tampered-held");
    let (values, key) = (setting.values(), record_key(WORKER));
    for (bytes, word) in [(None, "is missing"), (Some(b"garbage"), "7 bytes")] {
        let server = setting.serve("state", &FIXED);
        match bytes {
            None => values.delete(&key),
            Some(bytes) => values.put(&key, bytes),
        }
        let said = use_up(server, &mut Taken::default());
        assert!(said.contains(word) && said.contains(ADOPT), "{said}");
        assert_eq!(values.get(&key).as_deref(), bytes.map(|bytes| &bytes[..]));
        setting.slots("adopt", &["--worker-id", "5", "--window-ms", "1200"]).assert_code(0);
        setting.serves_above(now_ms(), "state", &FIXED);
    }

    // Somebody else says that the slot is his: no ID hangs on that.
    let session = ["--store-session-ms", kind.session_ms(), "--worker-mode", "dynamic"];
    let mut server = setting.serve("state", &[&session[..], &["--window-ms", "20000"]].concat());
    let worker = u16::try_from(server.workers()[0]).unwrap();
    values.replace(&marker_key(worker), b"intruder 00");
    server.wait_for_log("another server says that it has this slot");
    Peer::connect(server.tcp).generate(10);
    server.stop();
}

fn a_genesis_that_was_changed_is_refused(kind: Kind) {
    let setting = Setting::new(kind, "tampered-genesis");
    let (values, key) = (setting.values(), genesis_key());
    let original = values.get(&key).unwrap();
    let text = String::from_utf8(original.clone()).unwrap();
    let of_other = text.replace("\"datacenter_id\":0", "\"datacenter_id\":1");
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert!(of_other != text && newer != text);
    let rows: [(Option<&[u8]>, &[&str]); 5] = [
        (None, &["is missing, though there are records", "coreflake slots init --floor"]),
        (Some(b"\xffgarbage"), &["cannot be read"]),
        (Some(&original[..40]), &["cannot be read"]),
        (Some(of_other.as_bytes()), &["is of datacenter 1, this server's is 0"]),
        (Some(newer.as_bytes()), &["is of version 2, of another release"]),
    ];
    let adopt = ["--worker-id", "5"];
    for (bytes, words) in rows {
        match bytes {
            None => values.delete(&key),
            Some(bytes) => values.put(&key, bytes),
        }
        for args in [&FIXED[..], &BOTH, &[&BOTH[..], &["--store-auto-init"]].concat()] {
            setting.refuses("state", args, &[&[&*key], words].concat());
        }
        setting.slots("adopt", &adopt).assert_code(1).assert_says(words);
        setting.slots("list", &[]).assert_code(1).assert_says(words);
        assert_eq!(values.get(&key).as_deref(), bytes, "nobody makes it anew");
        values.put(&key, &original);
    }
    let epochs = ["epoch 1609459200000, not 1600000000000", "--store-prefix"];
    let other = ["--epoch", "1600000000000"];
    setting.refuses("state", &[&FIXED[..], &other].concat(), &epochs);
    let ticks = [&FIXED[..], &["--tick-ms", "10"]].concat();
    setting.refuses("state", &ticks, &["(tick-ms 1, not 10)"]);
    setting.slots("adopt", &[adopt, other].concat()).assert_code(1).assert_says(&epochs);

    values.attach(&key, &original);
    setting.refuses("state", &FIXED, &["hangs on a session or a lease"]);
    values.replace(&key, &original);
    setting.serves_above(0, "state", &FIXED);
}

#[test]
fn a_record_of_etcd_that_was_changed_is_refused() {
    a_record_that_was_changed_is_refused(Kind::Etcd);
}

#[test]
fn a_record_of_zookeeper_that_was_changed_is_refused() {
    a_record_that_was_changed_is_refused(Kind::ZooKeeper);
}

#[test]
fn a_record_of_consul_that_was_changed_is_refused() {
    a_record_that_was_changed_is_refused(Kind::Consul);
}

#[test]
fn a_held_record_of_etcd_that_is_changed_ends_the_server() {
    a_held_record_that_is_changed_ends_the_server(Kind::Etcd);
}

#[test]
fn a_held_record_of_zookeeper_that_is_changed_ends_the_server() {
    a_held_record_that_is_changed_ends_the_server(Kind::ZooKeeper);
}

#[test]
fn a_held_record_of_consul_that_is_changed_ends_the_server() {
    a_held_record_that_is_changed_ends_the_server(Kind::Consul);
}

#[test]
fn a_genesis_of_etcd_that_was_changed_is_refused() {
    a_genesis_that_was_changed_is_refused(Kind::Etcd);
}

#[test]
fn a_genesis_of_zookeeper_that_was_changed_is_refused() {
    a_genesis_that_was_changed_is_refused(Kind::ZooKeeper);
}

#[test]
fn a_genesis_of_consul_that_was_changed_is_refused() {
    a_genesis_that_was_changed_is_refused(Kind::Consul);
}
