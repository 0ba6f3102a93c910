//! One server of each store: it answers, keeps its data over a kill, stands still and goes on, lets
//! in whom it should, and becomes what a backup holds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::certificates::Certificates;
use crate::common::{PATIENCE, Scratch, until};
use crate::consul::Consul;
use crate::curl::curl;
use crate::daemon::output;
use crate::etcd::Etcd;
use crate::zookeeper::{ZooKeeper, mode};

/// For what does not answer.
const SHORT: Duration = Duration::from_millis(300);

#[track_caller]
fn assert_fails(output: &Output, why: &str) {
    let said = format!("{output:?}");
    assert!(!output.status.success() && said.contains(why), "`{why}` is not said: {said}");
}

#[test]
fn etcd_keeps_its_data_over_a_kill_and_loses_it_to_a_backup() {
    let scratch = Scratch::new("harness-etcd");
    let mut etcd = Etcd::start("harness");
    let get = |etcd: &Etcd, key| etcd.ctl(&["get", "--print-value-only", key]).trim().to_owned();
    etcd.ctl(&["put", "early", "1"]);
    etcd.kill();
    etcd.restart();
    assert_eq!(get(&etcd, "early"), "1");

    etcd.stop();
    let health = format!("{}/health", etcd.endpoint());
    assert!(curl(&health, SHORT, &[]).is_none(), "it stands still");
    etcd.go_on();
    until("etcd goes on", || curl(&health, PATIENCE, &[]));

    let backup = scratch.path().join("backup");
    etcd.snapshot(&backup);
    etcd.ctl(&["put", "late", "2"]);
    let address = etcd.address();
    etcd.restore(&backup);
    assert_eq!((get(&etcd, "early").as_str(), get(&etcd, "late").as_str()), ("1", ""));
    assert_eq!(etcd.address(), address);
    // A second time, to another directory.
    etcd.restore(&backup);
    assert_eq!(get(&etcd, "early"), "1");
}

#[test]
fn etcd_lets_in_whom_it_should() {
    let etcd = Etcd::with_user("harness-user", "generator", "secret");
    let own = ["--user", "generator:secret", "put", "/id-generator/1", "x"];
    assert!(etcd.try_ctl(&own).status.success());
    let other = etcd.try_ctl(&["--user", "generator:secret", "put", "/other", "x"]);
    assert_fails(&other, "permission denied");
    let wrong = etcd.try_ctl(&["--user", "generator:wrong", "put", "/id-generator/1", "x"]);
    assert_fails(&wrong, "authentication failed");
    assert!(etcd.ctl(&["get", "/id-generator/1"]).contains('x'), "root may do everything");

    let certificates = Certificates::make("harness-etcd");
    let mut etcd = Etcd::with_tls("harness-tls", &certificates);
    etcd.ctl(&["put", "key", "1"]);
    etcd.restart();
    assert!(etcd.ctl(&["get", "key"]).contains('1'));
    let ca = ["--cacert", certificates.ca().to_str().unwrap()];
    let health = format!("{}/health", etcd.endpoint());
    assert!(curl(&health, PATIENCE, &ca).is_none(), "no certificate, no answer");
    let stranger = Certificates::make("harness-etcd-stranger");
    let client = ["--cert", stranger.client_cert().to_str().unwrap()];
    let key = ["--key", stranger.client_key().to_str().unwrap()];
    assert!(curl(&health, PATIENCE, &[ca, client, key].concat()).is_none(), "another authority");
}

#[test]
fn zookeeper_keeps_its_data_over_a_kill_and_loses_it_to_a_backup() {
    let scratch = Scratch::new("harness-zookeeper");
    let mut zookeeper = ZooKeeper::start("harness");
    zookeeper.cli(&["create", "/early", "data of the early one"]);
    zookeeper.kill();
    zookeeper.restart();
    assert!(zookeeper.cli(&["get", "/early"]).contains("data of the early one"));

    zookeeper.stop();
    assert_eq!(mode(zookeeper.address()), None, "it stands still");
    zookeeper.go_on();
    until("ZooKeeper goes on", || mode(zookeeper.address()));

    let backup = scratch.path().join("backup");
    zookeeper.snapshot(&backup);
    zookeeper.cli(&["create", "/late"]);
    let endpoint = zookeeper.endpoint();
    zookeeper.restore(&backup);
    let listed = zookeeper.cli(&["ls", "/"]);
    assert!(listed.contains("early") && !listed.contains("late"), "{listed}");
    assert_eq!(zookeeper.endpoint(), endpoint);
}

#[test]
fn zookeeper_lets_in_whom_it_should() {
    let certificates = Certificates::make("harness-zookeeper");
    let zookeeper = ZooKeeper::with_tls("harness-tls", &certificates);
    zookeeper.cli(&["create", "/key"]);
    assert_eq!(mode(zookeeper.address()), None, "nobody without TLS");
    let stranger = Certificates::make("harness-zookeeper-stranger");
    let address = zookeeper.endpoint();
    let peek = |certificates: &Certificates| {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let own = [text(certificates.client_cert()), text(certificates.client_key())];
        let own = ["-cert", &own[0], "-key", &own[1]];
        // With TLS 1.2 whoever is not let in is told so before all else.
        let args = ["s_client", "-connect", &address, "-tls1_2"];
        output("openssl", &[&args[..], &own].concat()).status.success()
    };
    assert!(peek(&certificates));
    assert!(!peek(&stranger), "another authority");
}

#[test]
fn consul_keeps_its_data_over_a_kill_and_loses_it_to_a_backup() {
    let scratch = Scratch::new("harness-consul");
    let mut consul = Consul::start("harness");
    consul.put("/v1/kv/early", "1");
    consul.kill();
    consul.restart();
    assert_eq!(consul.get("/v1/kv/early?raw"), "1");

    consul.stop();
    let early = format!("{}/v1/kv/early?raw", consul.endpoint());
    assert!(curl(&early, SHORT, &[]).is_none(), "it stands still");
    consul.go_on();
    until("Consul goes on", || curl(&early, PATIENCE, &[]));

    let backup = scratch.path().join("backup");
    consul.snapshot(&backup);
    consul.put("/v1/kv/late", "2");
    consul.restore(&backup);
    let keys = consul.get("/v1/kv/?keys");
    assert_eq!(keys, r#"["early"]"#);
    assert_eq!(consul.endpoint(), format!("http://{}", consul.address()));
}

#[test]
fn consul_lets_in_whom_it_should() {
    let (consul, management) = Consul::with_acl("harness-acl");
    let token = consul.limited_token();
    let put = |path: &str, body: &str, token: &str| {
        let answer = consul.try_put(path, body, token);
        (answer.status, answer.body)
    };
    let (status, session) = put("/v1/session/create", r#"{"TTL":"10s"}"#, &token);
    assert_eq!(status, 200, "{session}");
    let session = session.split('"').nth(3).unwrap();
    let own = format!("/v1/kv/id-generator/1?acquire={session}");
    assert_eq!(put(&own, "x", &token), (200, "true".to_owned()));
    assert_eq!(put("/v1/kv/other", "x", &token).0, 403);
    assert_eq!(put("/v1/kv/id-generator/2", "x", "").0, 403);
    assert_eq!(put("/v1/kv/other", "x", &management).0, 200);

    let certificates = Certificates::make("harness-consul");
    let mut consul = Consul::with_tls("harness-tls", &certificates);
    consul.put("/v1/kv/key", "1");
    consul.restart();
    assert_eq!(consul.get("/v1/kv/key?raw"), "1");
    let url = format!("{}/v1/kv/key", consul.endpoint());
    let ca = ["--cacert", certificates.ca().to_str().unwrap()];
    assert!(curl(&url, PATIENCE, &ca).is_none(), "no certificate, no answer");
}

#[test]
fn keys_are_for_their_owner_only() {
    let certificates = Certificates::make("harness-modes");
    for key in [certificates.server_key(), certificates.client_key()] {
        assert_eq!(fs::metadata(key).unwrap().mode() & 0o777, 0o600, "{key:?}");
    }
}
