//! The few calls of etcd's API, version 3, that coreflake makes: what the build makes from
//! `etcd.proto` and `kv.proto`, which stand beside this crate.
//!
//! The clients of crates.io need protoc to be built; this crate does not.
#![forbid(unsafe_code)]

use core::fmt;

/// Calls and their messages: package `etcdserverpb`.
pub mod etcdserverpb {
    // The code below is generated.
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// What a key has: package `mvccpb`.
pub mod mvccpb {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}

impl fmt::Debug for etcdserverpb::AuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for etcdserverpb::AuthenticateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateResponse").finish_non_exhaustive()
    }
}
