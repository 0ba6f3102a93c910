//! Stores that are restored from a backup, or lose everything: what they show then is not what was
//! promised, and nobody may believe them.

use rustix::process::Signal;

use crate::common::Server;
use crate::ledger::{Ledger, Taken, unix_ms};
use crate::setting::{Kind, Setting, Watched, genesis_key, now_ms, use_up};
use crate::sips;

const ARGS: [&str; 4] = ["--worker-id", "3", "--window-ms", "2000"];

const FENCE: [&str; 2] = ["went back", "coreflake slots fence --floor"];

#[track_caller]
fn take(server: &Server, taken: &mut Taken) {
    sips::take(server.tcp, 1_000).into_iter().for_each(|run| taken.push(run));
}

fn a_store_that_went_back_is_not_believed(kind: Kind) {
    let mut setting = Setting::new(kind, "restored");
    let (backup, mut taken) = (setting.path("backup"), Taken::default());
    setting.serve("state", &ARGS).stop();
    setting.store.snapshot(&backup);

    // Restored while a server runs, and restored again behind one that was killed.
    let server = setting.serve("state", &ARGS);
    take(&server, &mut taken);
    setting.store.restore(&backup);
    let said = use_up(server, &mut taken);
    assert!(FENCE.iter().all(|word| said.contains(word)), "{said}");
    setting.refuses("state", &ARGS, &FENCE);
    setting.refuses("state", &["--worker-mode", "dynamic"], &FENCE);
    fence(&setting, "now+3s");
    let server = setting.serve("state", &ARGS);
    take(&server, &mut taken);
    let bound_ms = setting.values().record(3).bound_ms;
    server.signal(Signal::KILL);
    assert_eq!(server.wait().status.code(), None);

    setting.store.restore(&backup);
    setting.refuses("state", &ARGS, &FENCE);
    let (_, last_ms) = taken.span_ms().unwrap();
    fence(&setting, &bound_ms.max(now_ms() + 500).to_string());
    setting.serves_above(last_ms, "state", &ARGS);
    let server = setting.serve("state", &ARGS);
    take(&server, &mut taken);
    server.stop();
    // Whoever has never seen the store does not know better.
    setting.serves_above(last_ms, "new", &ARGS);

    let mut ledger = Ledger::default();
    ledger.add(taken);
    ledger.judge().assert_unique(&format!("{} restored", kind.name()));
}

#[track_caller]
fn fence(setting: &Setting, floor: &str) {
    setting.slots("fence", &["--floor", floor]).assert_code(0);
}

fn a_store_that_lost_everything_is_not_taken_for_a_new_one(kind: Kind) {
    let mut setting = Setting::empty(kind, "emptied");
    let nothing = ["knows nothing of datacenter 0", "coreflake slots init"];
    setting.refuses("state", &ARGS, &nothing);
    let auto = [&ARGS[..], &["--store-auto-init"]].concat();
    let mut taken = Taken::default();
    let server = setting.serve("state", &auto);
    take(&server, &mut taken);
    let genesis = setting.values().get(&genesis_key()).unwrap();

    setting.store.forget();
    let said = use_up(server, &mut taken);
    assert!(said.contains("coreflake slots"), "{said}");
    setting.refuses("state", &ARGS, &nothing);
    setting.refuses("state", &auto, &nothing);
    // Made anew it is another one.
    let (_, last_ms) = taken.span_ms().unwrap();
    setting.slots("init", &["--floor", &(last_ms + 500).to_string()]).assert_code(0);
    let other = setting.values().get(&genesis_key()).unwrap();
    let id = |genesis: &[u8]| {
        let genesis: serde_json::Value = serde_json::from_slice(genesis).unwrap();
        genesis["id"].as_str().unwrap().to_owned()
    };
    let words = ["another one than this node has used", "coreflake slots fence --floor"];
    let said = setting.refuses("state", &auto, &words);
    let mut files =
        std::fs::read_dir(setting.path("state")).unwrap().map(|file| file.unwrap().path());
    let is_note = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "json");
    let note = files.find(is_note).expect("what was seen of the store");
    said.assert_says(&[&id(&genesis), &id(&other), note.to_str().unwrap()]);
    std::fs::remove_file(note).unwrap();
    let server = setting.serve("state", &auto);
    server.wait_for_id();
    let id = sips::take(server.tcp, 1)[0].first().get();
    assert!(unix_ms(id) > last_ms);
    take(&server, &mut taken);
    server.stop();

    let mut ledger = Ledger::default();
    ledger.add(taken);
    ledger.judge().assert_unique(&format!("{} emptied", kind.name()));
}

#[test]
fn an_etcd_that_went_back_is_not_believed() {
    a_store_that_went_back_is_not_believed(Kind::Etcd);
}

#[test]
fn a_zookeeper_that_went_back_is_not_believed() {
    a_store_that_went_back_is_not_believed(Kind::ZooKeeper);
}

#[test]
fn a_consul_that_went_back_is_not_believed() {
    a_store_that_went_back_is_not_believed(Kind::Consul);
}

#[test]
fn an_etcd_that_lost_everything_is_not_taken_for_a_new_one() {
    a_store_that_lost_everything_is_not_taken_for_a_new_one(Kind::Etcd);
}

#[test]
fn a_zookeeper_that_lost_everything_is_not_taken_for_a_new_one() {
    a_store_that_lost_everything_is_not_taken_for_a_new_one(Kind::ZooKeeper);
}

#[test]
fn a_consul_that_lost_everything_is_not_taken_for_a_new_one() {
    a_store_that_lost_everything_is_not_taken_for_a_new_one(Kind::Consul);
}
