//! ERROR replies: which are tried again, when, and what the caller learns.

use std::time::Duration;

use coreflake_client::{Client, ErrorCode};

use crate::peer::{Asked, Peer, id, start_next};

#[tokio::test]
async fn a_refusal_that_passes_is_tried_again_on_the_same_connection() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let mut connection = peer.accept().await;
    for code in [ErrorCode::Overloaded, ErrorCode::Starting, ErrorCode::WindowExhausted] {
        let (request_id, _) = connection.request().await;
        connection.refuse(request_id, code, 2).await;
    }
    connection.serve(1, 1).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn a_final_refusal_is_told_at_once() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::TimestampExhausted, 0).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_refused() && !error.is_retryable() && !error.is_timeout());
    assert_eq!(error.code(), Some(ErrorCode::TimestampExhausted));
    assert_eq!(error.retry_after(), None);
    let text = format!("{}: refused: TIMESTAMP_EXHAUSTED: says the peer", peer.endpoint());
    assert_eq!(error.to_string(), text);

    // The connection is as good as before.
    let call = start_next(&client);
    connection.serve(1, 1).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
}

#[tokio::test]
async fn a_delay_beyond_the_deadline_is_left_to_the_caller() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::ClockRegression, 3_600_000).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_refused() && error.is_retryable());
    assert_eq!(error.code(), Some(ErrorCode::ClockRegression));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_server_that_drains_is_left_and_asked_again_elsewhere() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let calls = [start_next(&client), start_next(&client)];
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::Draining, 1).await;
    connection.closed().await;
    let mut connection = peer.accept().await;
    connection.serve(1, 1).await;
    connection.serve(2, 1).await;
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn the_token_is_shown_first() {
    let peer = Peer::bind().await;
    let builder = Client::builder().endpoint(peer.endpoint()).token("open sesame");
    let client = builder.call_timeout(Duration::from_secs(20)).build().unwrap();
    let call = start_next(&client);
    for number in 1..=2 {
        let mut connection = peer.accept().await;
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::Auth(b"open sesame".to_vec()));
        connection.reply(request_id, coreflake_protocol::Response::Auth).await;
        if number == 1 {
            // Lost before it is answered: the next connection starts with the token again.
            connection.request().await;
        } else {
            connection.serve(number, 1).await;
        }
    }
    assert_eq!(call.await.unwrap().unwrap(), id(2));
}

#[tokio::test]
async fn a_token_that_is_refused_fails_every_waiting_call() {
    let peer = Peer::bind().await;
    let builder = Client::builder().endpoint(peer.endpoint()).token("wrong");
    let client = builder.call_timeout(Duration::from_secs(20)).build().unwrap();
    let calls = [start_next(&client), start_next(&client)];
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::Unauthenticated, 0).await;
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(error.is_refused() && !error.is_retryable());
        assert_eq!(error.code(), Some(ErrorCode::Unauthenticated));
    }
}

#[tokio::test]
async fn a_missing_token_fails_everything_on_the_connection() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let calls: Vec<_> = (0..10).map(|_| start_next(&client)).collect();
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::Unauthenticated, 0).await;
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Unauthenticated), "{error}");
    }
}
