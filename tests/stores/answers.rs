//! Answers that are lost after the store has done what it was asked: a write whose outcome nobody
//! knows is looked up, and taken for what it was.

use fastrand::Rng;

use crate::common::until;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::proxy::Proxy;
use crate::setting::{Kind, Setting, Watched, cycles};

const POOL: [&str; 4] = ["--worker-mode", "dynamic", "--worker-pool", "0-9"];

/// Then a claim has two seconds, as much as there is. One that takes longer is not there yet when
/// it is looked for, and another slot is claimed as well.
const CLAIMING: [&str; 2] = ["--window-ms", "6000"];

/// Extensions come twice in a second.
const EXTENDING: [&str; 2] = ["--window-ms", "1500"];

/// `short` is how often, in the short version.
fn a_write_without_an_answer_is_recognised(kind: Kind, short: u32) {
    let setting = Setting::new(kind, "unanswered");
    let values = setting.values();
    let claims = || (0..10).map(|worker| values.record(worker).term - 1).sum::<u64>();
    let mut ledger = Ledger::default();
    let mut random = Rng::new();
    let (mut claimed, mut given_back) = (0, 0);

    // Claims.
    let args = [&POOL[..], &CLAIMING].concat();
    for life in 0..short.div_ceil(2) {
        let proxy = Proxy::before(setting.store.address());
        proxy.drop_answer_to(kind.written());
        let server = setting.serve_at(proxy.address(), &format!("claim-{life}"), &args);
        assert!(!proxy.is_armed(), "the claim was answered");
        claimed += 1;
        assert_eq!(claims(), claimed + given_back, "one slot was claimed, and once");
        let load = Load::start(&server, &mut random);
        server.wait_for_id();
        ledger.add(load.end());
        server.stop();
        given_back += 1;
        assert_eq!(claims(), claimed + given_back, "and given back");
    }

    // Extensions.
    let proxy = Proxy::before(setting.store.address());
    let args = [&POOL[..], &EXTENDING].concat();
    let server = setting.serve_at(proxy.address(), "extend", &args);
    let workers = server.workers();
    let load = Load::start(&server, &mut random);
    let bound_ms = || values.record(u16::try_from(workers[0]).unwrap()).bound_ms;
    for _ in 0..cycles(short) {
        proxy.drop_answer_to(kind.written());
        until("an extension without an answer", || (!proxy.is_armed()).then_some(()));
        let before_ms = bound_ms();
        until("the next one", || (bound_ms() > before_ms).then_some(()));
        assert_eq!(server.metric("coreflake_slot_losses_total"), 0.0);
    }
    server.wait_for_store("good");
    server.wait_for_id();
    assert_eq!(server.workers(), workers, "the slot is kept");
    assert_eq!(claims(), claimed + given_back + 1, "nothing else was claimed");
    let taken = load.end();
    let refused = taken.refusals.values().sum::<u64>();
    println!("{}: {refused} refusals at {short} answers lost", kind.name());
    ledger.add(taken);
    ledger.judge().assert_unique(&format!("{} unanswered", kind.name()));
    server.stop();
}

#[test]
fn a_write_to_etcd_without_an_answer_is_recognised() {
    a_write_without_an_answer_is_recognised(Kind::Etcd, 20);
}

#[test]
fn a_write_to_zookeeper_without_an_answer_is_recognised() {
    a_write_without_an_answer_is_recognised(Kind::ZooKeeper, 5);
}

#[test]
fn a_write_to_consul_without_an_answer_is_recognised() {
    a_write_without_an_answer_is_recognised(Kind::Consul, 5);
}
