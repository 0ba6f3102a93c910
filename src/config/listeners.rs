//! Where a server listens, and what it must say for itself when others can reach it.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::net::SocketAddr;

use crate::args::{Listener, ServeArgs, StoreKind, WorkerMode};
use crate::config::problem::Problem;

const LISTEN: SocketAddr = local(4_096);
const HTTP: SocketAddr = local(8_080);
const GRPC: SocketAddr = local(50_051);

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listeners {
    pub(super) listen: SocketAddr,
    pub(super) http: Option<SocketAddr>,
    pub(super) grpc: Option<SocketAddr>,
}

impl Listeners {
    pub(super) fn of(args: &ServeArgs) -> Self {
        Self {
            listen: args.listen.unwrap_or(LISTEN),
            http: args.http.unwrap_or(Listener::At(HTTP)).address(),
            grpc: args.grpc.unwrap_or(Listener::At(GRPC)).address(),
        }
    }

    /// Whether REST or gRPC is on.
    pub(super) const fn has_gateway(&self) -> bool {
        self.http.is_some() || self.grpc.is_some()
    }

    fn all(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = [("listen", Some(self.listen)), ("http", self.http), ("grpc", self.grpc)];
        all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }

    /// What is wrong with them, given the other settings.
    pub(super) fn problems(&self, args: &ServeArgs) -> Vec<Problem> {
        let mut problems = Vec::new();
        let all = self.all();
        let reachable = all.iter().filter(|(_, address)| !is_loopback(address));
        let reachable: Vec<_> =
            reachable.map(|(name, address)| format!("{name} {address}")).collect();
        let others = format!("{} can be reached from other hosts", reachable.join(", "));
        let has_tokens = args.auth_token_file.is_some();
        if !reachable.is_empty() {
            // Who takes a free slot of a store that all share has named none and is unique all the
            // same. The files of one machine say nothing about others: there the pool is named.
            let dynamic = args.worker_mode == Some(WorkerMode::Dynamic);
            let shared = args.state.store.kind.is_some_and(|kind| kind != StoreKind::File);
            let found = dynamic && (shared || args.worker_pool.is_some());
            let worker_id = if found { Some(0) } else { args.worker_id };
            let identity = [("datacenter_id", args.datacenter_id), ("worker_id", worker_id)];
            let missing = identity.into_iter().filter(|(_, number)| number.is_none());
            let missing: Vec<_> = missing.map(|(name, _)| name).collect();
            if !missing.is_empty() {
                problems.push(Problem::of(
                    &missing,
                    format!(
                        "{others}: name the slot with --datacenter-id and --worker-id, which must \
                         be unique among all servers; or take a free one with --worker-mode dynamic \
                         from a shared store, or from a --worker-pool that only this machine has"
                    ),
                ));
            }
            if !has_tokens && !args.insecure.unwrap_or(false) {
                problems.push(Problem::of(
                    &["auth.token_file", "insecure"],
                    format!(
                        "{others}: require a token with --auth-token-file, or allow everybody with \
                         --insecure"
                    ),
                ));
            }
        }
        if args.udp_allow.is_none() {
            let listen = self.listen;
            let why = if !is_loopback(&listen) {
                Some(format!("listen {listen} can be reached from other hosts"))
            } else if has_tokens {
                Some("auth-token-file: a datagram carries no token".to_owned())
            } else {
                None
            };
            problems.extend(why.map(|why| {
                Problem::of(
                    &["udp.allow"],
                    format!(
                        "{why}: name the networks whose datagrams are answered with --udp-allow, \
                         or switch UDP off with --udp-allow none"
                    ),
                )
            }));
        }
        for (index, (name, address)) in all.iter().enumerate() {
            for (other, other_address) in &all[index + 1..] {
                if overlap(address, other_address) {
                    problems.push(Problem::of(
                        &[other, name],
                        format!(
                            "{name} {address} and {other} {other_address} are the same port: each \
                             needs its own"
                        ),
                    ));
                }
            }
        }
        problems
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Whether two listeners would want the same port of the same address; `0.0.0.0` and `[::]` are
/// all addresses.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let everywhere = one_ip.is_unspecified() || other_ip.is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one_ip == other_ip || everywhere)
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
