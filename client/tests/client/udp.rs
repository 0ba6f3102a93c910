//! Datagrams: lost, late, doubled, forged, short.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use coreflake_client::{Client, ErrorCode};
use coreflake_protocol::{ErrorReply, Response};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use crate::peer::{Asked, encoded, id, run, start, start_next, within};
use crate::udp_peer::UdpPeer;

/// An address where nobody listens. The socket keeps the port from others, [`bind_too`] excepted,
/// and, because it is connected elsewhere, takes nothing itself.
async fn dead_address() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect("127.0.0.1:9").await.unwrap();
    // Not before it has a port, or it could get one that another test reserves.
    SockRef::from(&socket).set_reuse_address(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A socket that gets the datagrams to a [`dead_address`], which is never free for others.
fn bind_too(address: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
}

#[tokio::test]
async fn a_request_is_as_long_as_its_reply_may_be() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start_next(&client);
    let datagram = peer.receive().await;
    assert_eq!((&datagram.asked, datagram.size), (&Asked::Generate(1), 28));
    peer.ids(&datagram, datagram.nonce, &[(1, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));

    let call = start(async move { client.ping().await });
    let datagram = peer.receive().await;
    assert_eq!((&datagram.asked, datagram.size), (&Asked::Ping, 184));
    let mut reply = encoded(datagram.nonce, Response::Ping);
    reply.resize(40, 0);
    peer.send(&reply, &datagram).await;
    assert!(call.await.unwrap().is_ok(), "a reply may be padded, too");
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_with_a_new_nonce() {
    let peer = UdpPeer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let lost = peer.receive().await;
    let again = peer.receive().await;
    assert_ne!(lost.nonce, again.nonce);
    assert_eq!(lost.asked, again.asked);
    peer.ids(&again, again.nonce, &[(1, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn no_more_datagrams_are_sent_than_allowed() {
    let peer = UdpPeer::bind().await;
    let builder = peer.builder().attempts_max(3).retry_interval(Duration::from_millis(5));
    let client = builder.call_timeout(Duration::from_secs(2)).build().unwrap();
    let error = client.next().await.unwrap_err();
    assert!(error.is_timeout() && error.is_retryable() && !error.is_connect(), "{error}");
    let mut nonces = HashSet::new();
    for _ in 0..3 {
        nonces.insert(peer.receive().await.nonce);
    }
    assert_eq!(nonces.len(), 3);
    // The fourth datagram is that of the next call.
    let call = start(async move { client.ping().await });
    assert_eq!(peer.receive().await.asked, Asked::Ping);
    call.abort();
}

#[tokio::test]
async fn a_late_reply_is_taken_and_the_second_is_not() {
    let peer = UdpPeer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let first = peer.receive().await;
    let second = peer.receive().await;
    peer.ids(&first, first.nonce, &[(1, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));

    let mut call = start_next(&client);
    peer.ids(&second, second.nonce, &[(2, 1)]).await;
    // The first call may have been sent once more before its reply came: each datagram is answered.
    let answer = loop {
        tokio::select! {
            answer = &mut call => break answer.unwrap(),
            datagram = peer.receive() => peer.ids(&datagram, datagram.nonce, &[(3, 1)]).await,
        }
    };
    assert_eq!(answer.unwrap(), id(3));
}

#[tokio::test]
async fn a_reply_counts_once() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start_next(&client);
    let first = peer.receive().await;
    peer.ids(&first, first.nonce, &[(1, 1)]).await;
    peer.ids(&first, first.nonce, &[(1, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));

    let call = start_next(&client);
    peer.ids(&first, first.nonce, &[(1, 1)]).await;
    let second = peer.receive().await;
    peer.ids(&first, first.nonce, &[(1, 1)]).await;
    peer.ids(&second, second.nonce, &[(2, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(2));
}

#[tokio::test]
async fn what_is_no_reply_is_ignored() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start_next(&client);
    let datagram = peer.receive().await;
    let nonce = datagram.nonce;

    peer.ids(&datagram, nonce ^ 1, &[(666, 1)]).await;
    peer.send(b"", &datagram).await;
    peer.send(&[0xff; 28], &datagram).await;
    peer.send(&[0; 1400], &datagram).await;
    // The right nonce, but another operation, too many IDs, another version, or something behind
    // it.
    peer.send(&encoded(nonce, Response::Ping), &datagram).await;
    peer.ids(&datagram, nonce, &[(666, 2)]).await;
    let mut reply = crate::peer::generated(nonce, &[(666, 1)]);
    reply.push(1);
    peer.send(&reply, &datagram).await;
    reply.pop();
    reply[4] = 2;
    peer.send(&reply, &datagram).await;
    // Somebody else on the same host, who even knows the nonce.
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let forged = crate::peer::generated(nonce, &[(666, 1)]);
    stranger.send_to(&forged, datagram.from).await.unwrap();

    peer.ids(&datagram, nonce, &[(1, 1)]).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn short_replies_are_put_together() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start(async move { client.next_batch(300).await });
    let datagram = peer.receive().await;
    assert_eq!((&datagram.asked, datagram.size), (&Asked::Generate(300), 1192));
    let runs: Vec<_> = (0..98).map(|index| (index * 10, 2)).collect();
    peer.ids(&datagram, datagram.nonce, &runs).await;
    let datagram = peer.receive().await;
    assert_eq!((&datagram.asked, datagram.size), (&Asked::Generate(104), 1192));
    peer.ids(&datagram, datagram.nonce, &[(5000, 100)]).await;
    let datagram = peer.receive().await;
    assert_eq!((&datagram.asked, datagram.size), (&Asked::Generate(4), 184));
    peer.ids(&datagram, datagram.nonce, &[(5100, 4)]).await;
    let batch = call.await.unwrap().unwrap();
    assert_eq!((batch.len(), batch.runs().len()), (300, 99));
    assert_eq!(batch.runs().last(), Some(&run(5000, 104)));
}

#[tokio::test]
async fn refusals_are_judged_as_over_tcp() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let refusal = |code: ErrorCode| ErrorReply { code: code.wire(), retry_after_ms: 1, text: b"" };
    let call = start_next(&client);
    let datagram = peer.receive().await;
    let error = Response::Error(refusal(ErrorCode::Overloaded));
    peer.send(&encoded(datagram.nonce, error), &datagram).await;
    let datagram = peer.receive().await;
    let error = Response::Error(refusal(ErrorCode::InvalidCount));
    peer.send(&encoded(datagram.nonce, error), &datagram).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidCount));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_connect_error() {
    let (_reserved, address) = dead_address().await;
    let limit = Duration::from_secs(2);
    let builder = Client::builder().endpoint(format!("udp://{address}"));
    let client = builder.call_timeout(limit).build().unwrap();
    let error = client.next().await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout() && error.is_retryable(), "{error}");
    let text =
        format!("udp://{address}: no connection within {limit:?}: connecting to {address}: ");
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_up_in_time_is_found() {
    let (_reserved, address) = dead_address().await;
    let builder = Client::builder().endpoint(format!("udp://{address}")).attempts_max(16);
    let builder = builder.retry_interval(Duration::from_millis(10));
    let client = builder.call_timeout(Duration::from_secs(20)).build().unwrap();
    let call = start_next(&client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let socket = bind_too(address);
    let mut bytes = [0; 2048];
    let (size, from) = within(socket.recv_from(&mut bytes)).await.unwrap();
    let ((nonce, _), _) = crate::peer::cut(&bytes[..size]).unwrap();
    socket.send_to(&crate::peer::generated(nonce, &[(1, 1)]), from).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn a_silent_address_is_approached_from_another_port() {
    let peer = UdpPeer::bind().await;
    let builder = peer.builder().retry_interval(Duration::from_secs(60));
    let client = builder.call_timeout(Duration::from_millis(500)).build().unwrap();
    let mut ports = HashSet::new();
    for _ in 0..3 {
        assert!(client.next().await.unwrap_err().is_timeout());
        ports.insert(peer.receive().await.from.port());
        // The task notices at the same moment as the call; give it a turn.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ports.len() > 1, "{ports:?}");
}
