//! All doors of one server at the same time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use coreflake_client::Client;
use coreflake_grpc::GenerateBatchRequest;
use coreflake_grpc::id_generator_client::IdGeneratorClient;
use serde_json::Value;

use crate::common::{PATIENCE, Server, pause};

/// IDs per request. Over UDP the padded request has room for as many runs.
const COUNT: u32 = 100;

/// How long all doors are asked, and longer where so many IDs have not come yet.
const LOAD: Duration = Duration::from_secs(2);
const IDS_MIN: usize = 1_000;

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// IDs over the binary protocol until `stop`, and [`IDS_MIN`].
fn over_client(endpoint: &str, stop: &AtomicBool) -> Vec<u64> {
    block_on(async {
        // A datagram that is sent again is another request to the server: more IDs than come here.
        let client = Client::builder().endpoint(endpoint);
        let client = client.call_timeout(PATIENCE).retry_interval(PATIENCE).build().unwrap();
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) || ids.len() < IDS_MIN {
            let batch = client.next_batch(COUNT).await.unwrap();
            ids.extend(batch.ids().map(|id| id.get()));
        }
        ids
    })
}

/// The same over REST, on one connection.
fn over_rest(address: SocketAddr, stop: &AtomicBool) -> Vec<u64> {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /api/v1/ids?count={COUNT} HTTP/1.1\r\nHost: ids\r\n\r\n");
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) || ids.len() < IDS_MIN {
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut size = 0;
        for line in stream.by_ref().lines().map(Result::unwrap) {
            if let Some(length) = line.strip_prefix("content-length: ") {
                size = length.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; size];
        stream.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let batch = body["ids"].as_array().unwrap_or_else(|| panic!("{body}"));
        ids.extend(batch.iter().map(|id| id.as_u64().unwrap()));
    }
    ids
}

/// The same over gRPC, on one connection.
fn over_grpc(address: SocketAddr, stop: &AtomicBool) -> Vec<u64> {
    block_on(async {
        let endpoint = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
        let endpoint = endpoint.timeout(PATIENCE);
        let mut calls = IdGeneratorClient::new(endpoint.connect().await.unwrap());
        let count = i32::try_from(COUNT).unwrap();
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) || ids.len() < IDS_MIN {
            let batch = calls
                .generate_batch(GenerateBatchRequest { count, ..Default::default() })
                .await
                .unwrap();
            ids.extend(batch.into_inner().ids.into_iter().map(|id| u64::try_from(id).unwrap()));
        }
        ids
    })
}

#[test]
fn ids_taken_over_all_doors_at_the_same_time_are_never_equal() {
    let server = Server::start(&["--shards", "2"]);
    let (tcp, udp) = (format!("tcp://{}", server.tcp), format!("udp://{}", server.udp()));
    let (http, grpc) = (server.http(), server.grpc());
    let stop = AtomicBool::new(false);
    let by_door = thread::scope(|scope| {
        let doors = [
            scope.spawn(|| over_client(&tcp, &stop)),
            scope.spawn(|| over_client(&udp, &stop)),
            scope.spawn(|| over_rest(http, &stop)),
            scope.spawn(|| over_grpc(grpc, &stop)),
        ];
        pause(LOAD);
        stop.store(true, Ordering::Relaxed);
        doors.map(|door| door.join().unwrap())
    });
    println!("tcp, udp, rest, grpc: {:?} IDs", by_door.each_ref().map(Vec::len));
    for ids in &by_door {
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "in ascending order");
    }
    let mut all: Vec<_> = by_door.concat();
    let issued = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), issued, "an ID came twice");
    let counted = server.stop();
    assert_eq!(counted.get("ids"), issued as u64);
    counted.assert_rejects(&[]);
}
