//! Real etcd, ZooKeeper and Consul, each a test's own: started, killed, frozen, cut off and
//! restored from a backup. Ensembles live in network namespaces, which need the administrator.
//!
//! And fleets of servers on them: how slots are claimed, lost, taken over and given back.
//!
//! `COREFLAKE_CYCLES` sets how often what is repeated is repeated, `COREFLAKE_SEED` the seed of all
//! that is random.

#![allow(missing_docs, clippy::unwrap_used)]

#[macro_use]
mod shared;

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
mod fixed;
mod freeze;
mod harness;
mod herd;
#[allow(dead_code)] // As common.
#[path = "../observability/http.rs"]
mod http;
#[allow(dead_code)] // As common.
#[path = "../durability/ledger.rs"]
mod ledger;
mod lives;
#[allow(dead_code)] // As common.
#[path = "../durability/load.rs"]
mod load;
mod network;
mod node;
mod outage;
mod proxy;
mod release;
mod restored;
mod setting;
mod settings;
mod several;
mod sips;
mod slots;
mod tampered;
mod zookeeper;
mod zookeeper_ensemble;
