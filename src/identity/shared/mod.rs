//! Stores that several nodes share: etcd, ZooKeeper and Consul, behind the few operations that all
//! three have.
//!
//! Of a datacenter they keep three kinds of things:
//!
//! ```text
//! PREFIX/datacenters/dc0/genesis           what the namespace is; made once
//! PREFIX/datacenters/dc0/slots/worker5     the record of a slot; lives for ever
//! PREFIX/datacenters/dc0/workers/worker5   the live marker: who has the slot; ends with a session
//! ```
//!
//! A record never hangs on a session: when that ends, the bound must stay. A marker only says which
//! slots are worth a try; no ID depends on one.

mod backend;
mod consul;
mod datacenter;
mod etcd;
mod genesis;
mod high_water;
mod keys;
#[cfg(test)]
#[path = "../../../tests/integration/common/port.rs"]
mod port;
mod repair;
mod settings;
mod store;
mod zookeeper;

use std::collections::BTreeMap;

pub(crate) use self::backend::Backend;
pub(crate) use self::keys::Keys;
pub(crate) use self::repair::Repair;
pub(crate) use self::settings::{Credentials, Secret, StoreConfig, StoreSettings, TlsSettings};
pub use self::settings::{Endpoint, GivenEndpoint};
pub(crate) use self::store::SharedStore;

/// A value as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The value.
    pub(crate) bytes: Vec<u8>,
    /// What the store counts the writes of this key by: etcd's `mod_revision`, ZooKeeper's
    /// `version`, Consul's `ModifyIndex`. May come again after a store was restored.
    pub(crate) version: u64,
    /// Whether the store would delete the value by itself when a session ends, which no record may.
    pub(crate) fleeting: bool,
}

/// Who has a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The text it was made with.
    pub(crate) text: String,
    /// Whether it hangs on the session of this process.
    pub(crate) mine: bool,
}

/// Everything that a store keeps of one datacenter, by worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) genesis: Option<Stored>,
    pub(crate) records: BTreeMap<u16, Stored>,
    pub(crate) markers: BTreeMap<u16, Marker>,
}

/// What a write does about the marker of its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Makes it, with this text. If there is one, whoever made it, the write is in conflict.
    Make(String),
    /// Sees to it that there is one of this process's session; makes it, with this text, if there
    /// is none. If somebody else has made one, the write is in conflict.
    Keep(String),
    /// Deletes it, if it is one of this process's session.
    Remove,
    /// Nothing: a repair.
    Leave,
}

/// One transaction: the record of a slot, and its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The worker part of the slot.
    pub(crate) worker_id: u16,
    /// What the record has to be, to the byte; or it has to be missing.
    pub(crate) from: Option<Stored>,
    /// What it becomes. A value that hung on a session does so no more.
    pub(crate) to: Vec<u8>,
    /// The marker.
    pub(crate) mark: Mark,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is durable, and the record has this version now.
    Done { version: u64 },
    /// The record or the marker was not as expected; nothing has been changed.
    Conflict,
}

/// Why a store gave no answer. Of a write it is not known whether it has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It cannot be reached, does not answer, or has no majority.
    #[error("{0}")]
    Away(String),
    /// It does not accept the credentials, or they do not allow it.
    #[error("{0}")]
    Denied(String),
    /// It cannot be used, now or later: another version, a setting that cannot be right.
    #[error("{0}")]
    Unfit(String),
}
