//! The bundled client against the real server.

use std::collections::BTreeSet;
use std::time::Duration;

use coreflake_client::{AnyId, Client, Kind, Layout, Namespace, ServingState};
use rustix::process::Signal;

use crate::common::{PATIENCE, Server, free_port};

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

fn client(endpoint: &str) -> Client {
    Client::builder().endpoint(endpoint).call_timeout(PATIENCE).build().unwrap()
}

/// A client that never sends a datagram twice. Of a server that is late, copies of requests for
/// many IDs would ask for more than it lets one source wait for.
fn patient_client(endpoint: &str) -> Client {
    let builder = Client::builder().endpoint(endpoint).call_timeout(PATIENCE);
    builder.retry_interval(PATIENCE).build().unwrap()
}

fn both_doors(server: &Server) -> [String; 2] {
    [format!("tcp://{}", server.tcp), format!("udp://{}", server.udp())]
}

#[test]
fn every_call_is_answered_over_tcp_and_udp() {
    let server = Server::start(&["--datacenter-id", "2", "--worker-id", "6"]);
    for endpoint in both_doors(&server) {
        block_on(async {
            let client = patient_client(&endpoint);
            let first = client.next().await.unwrap();
            let second = client.next().await.unwrap();
            assert!(second > first);
            for count in [1, 2, 5_000, 50_000] {
                let batch = client.next_batch(count).await.unwrap();
                let ids: BTreeSet<_> = batch.ids().collect();
                assert_eq!(ids.len(), count as usize, "{endpoint}");
                assert!(ids.first() > Some(&second));
            }
            let parts = client.parse(first).await.unwrap();
            let expected = Layout::SNOWFLAKE.parse(first);
            assert_eq!((parts.unix_ms, parts.sequence), (expected.unix_ms, expected.sequence));
            assert_eq!(parts.slot, Some((2, 6)));
            let health = client.health().await.unwrap();
            assert_eq!(health.state, ServingState::Serving);
            assert_eq!((health.datacenter_id, health.worker_id), (2, Some(6)));
            assert!(health.ids_generated >= 55_005 && health.window_left_ms <= 3_000);
            let info = client.info().await.unwrap();
            assert_eq!((info.namespace, info.shards, info.lane), (Namespace::DEFAULT, 1, 0));
            assert!(client.ping().await.unwrap() < PATIENCE);
        });
    }
    server.stop().assert_rejects(&[]);
}

/// A tick has 4,096, 256 or 64 IDs there, and a datagram brings what is left of one.
#[test]
fn the_largest_batches_come_in_datagrams() {
    let long_ticks = ["--layout", "39+8+8+8", "--tick-ms", "10"];
    for (args, count) in
        [(&[][..], 1_000_000), (&["--layout", "javascript"], 20_000), (&long_ticks, 10_000)]
    {
        let server = Server::start(&[args, &["--shards", "2"]].concat());
        block_on(async {
            let client = patient_client(&format!("udp://{}", server.udp()));
            let ids: BTreeSet<_> = client.next_batch(count).await.unwrap().ids().collect();
            assert_eq!(ids.len(), usize::try_from(count).unwrap());
        });
        server.stop().assert_rejects(&[]);
    }
}

#[test]
fn every_kind_comes_over_both_doors() {
    let server = Server::start(&["--datacenter-id", "2", "--worker-id", "6", "--shards", "1"]);
    for endpoint in both_doors(&server) {
        block_on(async {
            let client = patient_client(&endpoint);
            let mut seen = BTreeSet::new();
            // What is handed out can be given back, whatever its type.
            assert_eq!(
                client.parse(client.uuid7().await.unwrap()).await.unwrap().slot,
                Some((2, 6))
            );
            let ulids = client.ulids(100).await.unwrap();
            assert!(ulids.len() == 100 && ulids.is_sorted());
            assert_eq!(client.uuid1s(100).await.unwrap().len(), 100);
            let singles = [
                client.instagram().await,
                client.uuid1().await.map(|uuid| uuid.try_into().unwrap()),
                client.ulid().await.map(AnyId::from),
                client.uuid7().await.map(|uuid| uuid.try_into().unwrap()),
            ];
            for id in singles {
                let id = id.unwrap();
                let batch = client.next_batch_of(id.kind(), 20_000).await.unwrap();
                assert!(batch.len() == 20_000 && batch.iter().all(|it| it.kind() == id.kind()));
                assert!(batch.iter().all(|other| other.rank() > id.rank()));
                let ranks = batch.iter().map(|id| (id.kind().name(), id.rank()));
                seen.extend(ranks.chain([(id.kind().name(), id.rank())]));
                let parts = client.parse(id).await.unwrap();
                assert_eq!(parts.slot, Some((2, 6)), "{id}");
                if id.kind() != Kind::Uuid1 {
                    let (from, to) = (parts.unix_ms, parts.unix_ms);
                    let range = client.range(id.kind(), from, to).await.unwrap();
                    assert!((range.min.bits()..=range.max.bits()).contains(&id.bits()), "{id}");
                }
            }
            assert_eq!(seen.len(), 4 * 20_001, "{endpoint}");
        });
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn concurrent_calls_all_get_ids_of_their_own() {
    const CALLS: usize = 5_000;
    let server = Server::start(&["--shards", "2"]);
    for endpoint in both_doors(&server) {
        block_on(async {
            let client = client(&endpoint);
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..CALLS {
                let client = client.clone();
                calls.spawn(async move { client.next().await.unwrap() });
            }
            let ids: BTreeSet<_> = calls.join_all().await.into_iter().collect();
            assert_eq!(ids.len(), CALLS, "{endpoint}");
        });
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_client_comes_back_when_its_server_does() {
    let listen = format!("127.0.0.1:{}", free_port());
    let start = || Server::start(&["--listen", &listen]);
    for scheme in ["tcp", "udp"] {
        let first = start();
        block_on(async {
            let client = Client::builder().endpoint(format!("{scheme}://{listen}"));
            let client = client.call_timeout(Duration::from_secs(3)).build().unwrap();
            let before = client.next().await.unwrap();
            first.signal(Signal::TERM);
            first.wait().assert_clean();
            let error = client.next().await.unwrap_err();
            assert!(error.is_retryable(), "{error}");

            let second = start();
            let mut attempts = 0;
            let after = loop {
                match client.next().await {
                    Ok(id) => break id,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                attempts += 1;
                assert!(attempts < 10, "does not come back over {scheme}");
            };
            assert!(after > before);
            second.stop();
        });
    }
}
