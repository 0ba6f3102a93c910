//! Stores of three members that lose their leader, or whose leader loses the others.

use std::net::SocketAddr;
use std::ops::DerefMut;
use std::time::Duration;

use fastrand::Rng;

use crate::common::{Scratch, Server, coreflake, feed};
use crate::ensemble::{Ensemble, MEMBERS};
use crate::etcd_ensemble::EtcdEnsemble;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::network::within;
use crate::node::wait_until;
use crate::setting::{Kind, PATIENT, Watched, cycles};
use crate::zookeeper_ensemble::ZooKeeperEnsemble;

/// Two thirds of it have to last for an election, on a machine that does other things as well.
const ARGS: [&str; 4] = ["--worker-mode", "dynamic", "--window-ms", "30000"];

/// How long an extension is waited for: until long after the window is over.
const LIMIT: Duration = Duration::from_secs(40);

/// What the two kinds have in common.
trait Led: DerefMut<Target = Ensemble> + Send + Sync {
    const KIND: Kind;

    fn find(&self) -> usize;
}

impl Led for EtcdEnsemble {
    const KIND: Kind = Kind::Etcd;

    fn find(&self) -> usize {
        self.leader()
    }
}

impl Led for ZooKeeperEnsemble {
    const KIND: Kind = Kind::ZooKeeper;

    fn find(&self) -> usize {
        self.leader()
    }
}

/// All of this happens on the machine of the clients.
fn no_leader_is_indispensable<E: Led>(ensemble: &mut E) {
    let client = ensemble.client().to_owned();
    within(&client, || lose_leaders(ensemble));
}

fn lose_leaders<E: Led>(ensemble: &mut E) {
    let kind = E::KIND;
    let scratch = Scratch::new(&format!("ensembles-{}", kind.name()));
    let addresses = ensemble.addresses().to_vec();
    let flags = kind.flags(&addresses);
    feed(coreflake().args(["slots", "init"]).args(&flags).args(PATIENT), b"").assert_code(0);

    // One of them is dead from the start, and each server asks them in another order.
    let dead = (ensemble.find() + 1) % MEMBERS;
    ensemble.kill(dead);
    ensemble.find();
    let serve = |first: usize, name: &str| {
        let mut addresses: Vec<SocketAddr> = addresses.clone();
        addresses.rotate_left(first);
        let (flags, state) = (kind.flags(&addresses), scratch.path().join(name));
        let flags = flags.iter().map(String::as_str);
        let all: Vec<_> = flags.chain(["--state-dir", state.to_str().unwrap()]).collect();
        Server::start(&[&all, &ARGS[..]].concat())
    };
    let servers = [serve(dead, "dead-first"), serve((dead + 1) % MEMBERS, "dead-last")];
    ensemble.restart(dead);
    ensemble.wait(dead);
    let workers = servers.each_ref().map(|server| server.workers());
    let mut random = Rng::new();
    let loads = servers.each_ref().map(|server| Load::start(server, &mut random));

    for cycle in 0..cycles(1) {
        let leader = ensemble.find();
        ensemble.kill(leader);
        assert_extends(&servers, &format!("{cycle}: the leader is killed"));
        ensemble.restart(leader);
        ensemble.wait(leader);

        let leader = ensemble.find();
        ensemble.partition(leader);
        assert_extends(&servers, &format!("{cycle}: the leader is cut off"));
        ensemble.heal(leader);
        ensemble.wait(leader);
        assert_extends(&servers, &format!("{cycle}: all is well"));
    }

    let mut ledger = Ledger::default();
    for taken in loads.map(Load::end) {
        assert!(taken.refusals.is_empty(), "{:?}", taken.refusals);
        ledger.add(taken);
    }
    ledger.judge().assert_unique(&format!("{} leaders", kind.name()));
    for (server, workers) in servers.into_iter().zip(workers) {
        assert_eq!(server.workers(), workers, "nobody needs another slot");
        assert_eq!(server.metric("coreflake_slot_losses_total"), 0.0);
        server.stop();
    }
}

/// Waits until each server has extended its window from now on, long before that is over.
fn assert_extends(servers: &[Server], what: &str) {
    for server in servers {
        let left_ms = || server.health()["window_left_ms"].as_u64().unwrap();
        let mut least_ms = left_ms();
        wait_until(LIMIT, &format!("{what}: an extension"), || {
            let now_ms = left_ms();
            least_ms = least_ms.min(now_ms);
            (now_ms > least_ms + 1_000).then_some(())
        });
        println!("{what}: extended with {least_ms} ms left");
        assert!(least_ms > 1_000, "{what}: {least_ms} ms");
    }
}

#[test]
fn no_leader_of_etcd_is_indispensable() {
    no_leader_is_indispensable(&mut EtcdEnsemble::start("leaders"));
}

#[test]
fn no_leader_of_zookeeper_is_indispensable() {
    no_leader_is_indispensable(&mut ZooKeeperEnsemble::start("leaders"));
}
