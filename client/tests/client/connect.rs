//! Before there is a connection.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use coreflake_client::Client;
use tokio::net::TcpSocket;

use crate::peer::{Peer, id, start_next, within};

/// An address where nobody listens: the port stays bound, so no other test gets it.
fn dead_address() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[tokio::test]
async fn a_server_that_is_down_is_named_with_the_reason() {
    let (_socket, address) = dead_address();
    // It is refused at once; what is told at the end is the last word.
    let limit = Duration::from_secs(2);
    let client = Client::builder().endpoint(&address).call_timeout(limit).build().unwrap();
    let error = client.next().await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout() && error.is_retryable(), "{error}");
    let text =
        format!("tcp://{address}: no connection within {limit:?}: connecting to {address}: ");
    assert!(error.to_string().starts_with(&text), "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_call_waits_for_a_server_that_comes_up() {
    let (socket, address) = dead_address();
    let builder = Client::builder().endpoint(&address).call_timeout(Duration::from_millis(100));
    assert!(builder.build().unwrap().ping().await.unwrap_err().is_connect());

    let builder = Client::builder().endpoint(&address).call_timeout(Duration::from_secs(20));
    let client = builder.build().unwrap();
    let call = start_next(&client);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let peer = Peer::from(socket.listen(8).unwrap());
    peer.accept().await.serve(1, 1).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_named() {
    // Longer than a label may be, so no name server is asked.
    let name = "x".repeat(70);
    let builder = Client::builder().endpoint(format!("tcp://{name}:4096"));
    let client = builder.call_timeout(Duration::from_millis(300)).build().unwrap();
    let error = client.next().await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert!(error.to_string().starts_with(&format!("tcp://{name}:4096: ")), "{error}");
}

#[tokio::test]
async fn a_full_line_ends_at_the_deadline() {
    let (_socket, address) = dead_address();
    let builder = Client::builder().endpoint(&address).in_flight_max(1);
    let client = builder.call_timeout(Duration::from_millis(200)).build().unwrap();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.next().await })
        })
        .collect();
    for call in calls {
        assert!(within(call).await.unwrap().unwrap_err().is_connect());
    }
}

#[test]
fn a_client_outlives_no_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let client = first.block_on(async { Client::builder().build().unwrap() });
    drop(first);
    let error = runtime().block_on(client.next()).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_client_is_send_sync_and_says_where_it_goes() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    let client = Client::builder().endpoint("udp://127.0.0.1:9").build().unwrap();
    check(&client);
    assert_eq!(format!("{client:?}"), "Client { endpoint: \"udp://127.0.0.1:9\", .. }");
}
