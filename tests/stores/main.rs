//! Real etcd, ZooKeeper and Consul, each a test's own: started, killed, frozen, cut off and
//! restored from a backup. Ensembles live in network namespaces, which need the administrator.

#![allow(missing_docs, clippy::unwrap_used)]

mod access;
mod answers;
mod certificates;
#[allow(dead_code, unused_imports)] // Shared with another binary, which uses the rest.
#[path = "../integration/common/mod.rs"]
mod common;
mod consul;
mod curl;
mod daemon;
mod ensemble;
mod ensembles;
mod etcd;
mod etcd_ensemble;
mod harness;
#[allow(dead_code)]
#[path = "../durability/ledger.rs"]
mod ledger;
#[allow(dead_code)]
#[path = "../durability/load.rs"]
mod load;
mod network;
mod outage;
mod proxy;
mod restored;
mod setting;
mod settings;
mod tampered;
mod zookeeper;
mod zookeeper_ensemble;
