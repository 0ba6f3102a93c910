//! Three members: another one leads when the leader is killed, frozen or cut off, and whoever comes
//! back has what came meanwhile.

use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::{Peer, Server, free_port, until};
use crate::ensemble::{Ensemble, MEMBERS};
use crate::etcd::is_healthy;
use crate::etcd_ensemble::EtcdEnsemble;
use crate::network::{enter, in_namespace, within};
use crate::zookeeper_ensemble::ZooKeeperEnsemble;

/// A write that is under way when the leader is lost waits for as long as this.
const PATIENCE_OF_ETCDCTL: &str = "--command-timeout=500ms";

fn others(member: usize) -> [usize; 2] {
    [(member + 1) % MEMBERS, (member + 2) % MEMBERS]
}

/// Waits for another leader than this one.
fn another(leader: usize, ask: impl Fn() -> usize) -> usize {
    until("another leader", || Some(ask()).filter(|now| *now != leader))
}

#[test]
fn etcd_elects_another_leader() {
    let mut etcd = EtcdEnsemble::start("harness");
    let put = |etcd: &EtcdEnsemble, members: &[usize], value: &str| {
        let args = [PATIENCE_OF_ETCDCTL, "put", "key", value];
        until("a write", || etcd.try_ctl(members, &args).status.success().then_some(()));
    };
    let value = |etcd: &EtcdEnsemble, member: usize| {
        // From what it has itself.
        let args = ["get", "key", "--consistency", "s", "--print-value-only"];
        let output = etcd.try_ctl(&[member], &[&[PATIENCE_OF_ETCDCTL], &args[..]].concat());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let killed = etcd.leader();
    etcd.kill(killed);
    put(&etcd, &others(killed), "1");
    let cut_off = another(killed, || etcd.leader());
    etcd.restart(killed);
    etcd.wait(killed);
    until("the first value", || (value(&etcd, killed) == "1").then_some(()));

    etcd.partition(cut_off);
    let frozen = another(cut_off, || etcd.leader());
    put(&etcd, &others(cut_off), "2");
    assert_eq!(value(&etcd, cut_off), "", "nobody reaches it");
    etcd.heal(cut_off);
    until("the second value", || (value(&etcd, cut_off) == "2").then_some(()));

    etcd.freeze(frozen);
    another(frozen, || etcd.leader());
    etcd.thaw(frozen);
    etcd.wait(frozen);
}

#[test]
fn zookeeper_elects_another_leader() {
    let mut zookeeper = ZooKeeperEnsemble::start("harness");
    zookeeper.cli(&["create", "/first"]);
    let killed = zookeeper.leader();
    zookeeper.kill(killed);
    let cut_off = another(killed, || zookeeper.leader());
    zookeeper.restart(killed);
    zookeeper.wait(killed);

    zookeeper.partition(cut_off);
    another(cut_off, || zookeeper.leader());
    until("a write", || {
        let created = zookeeper.try_cli(&others(cut_off), &["create", "/second"]);
        println!("{created:?}");
        // The connection may be lost when it is done.
        let is_done = created.status.success() || format!("{created:?}").contains("already exists");
        is_done.then_some(())
    });
    zookeeper.heal(cut_off);
    zookeeper.wait(cut_off);
    // It may still lead, of those that it has, until it hears of the others.
    until("what came meanwhile", || {
        let listed = zookeeper.try_cli(&[cut_off], &["ls", "/"]);
        println!("{listed:?}");
        String::from_utf8_lossy(&listed.stdout).contains("first, second").then_some(())
    });
}

/// One network is enough to see it.
#[test]
fn clients_live_in_namespaces() {
    let mut etcd = EtcdEnsemble::start("harness-clients");
    let health = format!("{}/health", etcd.endpoints()[0]);
    let short = Duration::from_millis(500);
    assert!(!is_healthy(&health, &[]), "from outside nobody sees it");
    let (second, machine) = etcd.add_client();

    let reaches = |ensemble: &Ensemble, namespace: &str| {
        let address = ensemble.addresses()[0];
        thread::scope(|scope| {
            let inside = || {
                enter(namespace);
                TcpStream::connect_timeout(&address, short).is_ok()
            };
            scope.spawn(inside).join().unwrap()
        })
    };
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", &health]);
    until("a client is answered", || {
        let output = in_namespace(etcd.client(), &command).output().unwrap();
        println!("{output:?}");
        output.status.success().then_some(())
    });

    // Leased outside: nobody listens on that port there.
    let listen = format!("127.0.0.1:{}", free_port());
    let server = within(etcd.client(), || Server::start(&["--listen", &listen]));
    let address = server.tcp;
    within(etcd.client(), || Peer::connect(address).ping());
    let outside = TcpStream::connect_timeout(&address, short);
    assert!(outside.is_err(), "it listens in there");
    server.stop();

    etcd.partition_clients();
    assert!(!reaches(&etcd, etcd.client()), "the first client is cut off");
    until("the second is not", || reaches(&etcd, &second).then_some(()));
    etcd.network().cut(machine);
    assert!(!reaches(&etcd, &second));
    etcd.heal_clients();
    etcd.network().mend(machine);
    for client in [etcd.client(), &second] {
        until("the clients are back", || reaches(&etcd, client).then_some(()));
    }
    etcd.ctl(&["put", "key", "1"]);
}
