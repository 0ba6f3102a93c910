//! One connection: what travels on it, and what happens when it breaks.

use std::collections::HashSet;
use std::time::Duration;

use coreflake_client::{Client, Health, ParseReply, ServingState, Ulid, Uuid};
use coreflake_protocol::Response;
use coreflake_protocol::{ClockState, StoreState};

use crate::peer::{Asked, Peer, encoded, generated, id, info, start, start_next, within};

#[tokio::test]
async fn concurrent_calls_travel_together() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let calls: Vec<_> = (0..100).map(|_| start_next(&client)).collect();
    let mut connection = peer.accept().await;
    let requests = connection.requests_of_one_read().await;
    assert_eq!(requests.len(), 100, "one write carries all that waited");

    let replies: Vec<u8> = (500..)
        .zip(&requests)
        .flat_map(|(number, (id, _))| generated(*id, &[(number, 1)]))
        .collect();
    connection.write(&replies).await;
    for (number, call) in (500..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), id(number), "replies keep the order of requests");
    }
}

#[tokio::test]
async fn replies_may_come_byte_by_byte() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let calls = [start_next(&client), start_next(&client)];
    let mut connection = peer.accept().await;
    let (first, _) = connection.request().await;
    let (second, _) = connection.request().await;
    let replies = [generated(first, &[(1, 1)]), generated(second, &[(2, 1)])].concat();
    for byte in replies {
        connection.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    for (number, call) in (1..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), id(number));
    }
}

#[tokio::test]
async fn every_operation_is_asked_and_answered() {
    let parts = ParseReply { unix_ms: 7, slot: Some((1, 2)), sequence: 3 };
    let nowhere = ParseReply { unix_ms: 7, slot: None, sequence: 3 };
    let health = Health {
        state: ServingState::Serving,
        datacenter_id: 1,
        worker_id: Some(2),
        uptime_seconds: 3,
        ids_generated: 4,
        window_left_ms: 5,
        clock: ClockState::Alert,
        clock_suspect: true,
        store: StoreState::Doubtful,
        clock_offset_us: -6,
        clock_steps: 7,
        clock_regressions: 8,
    };
    let info = info();
    let peer = Peer::bind().await;
    let client = peer.client();
    let server = start(async move {
        let mut connection = peer.accept().await;
        for (expected, response) in [
            (Asked::Parse(id(9).into()), Response::Parse(parts)),
            (Asked::Parse(Ulid::from_u128(5).into()), Response::Parse(nowhere)),
            (Asked::Health, Response::Health(health)),
            (Asked::Info, Response::Info(info)),
            (Asked::Ping, Response::Ping),
        ] {
            let (request_id, asked) = connection.request().await;
            assert_eq!(asked, expected);
            connection.reply(request_id, response).await;
        }
    });
    let parsed = client.parse(id(9)).await.unwrap();
    assert_eq!((parsed.datacenter_id(), parsed.worker_id()), (Some(1), Some(2)));
    assert_eq!(parsed, parts);
    let error = client.parse(Uuid::nil()).await.unwrap_err();
    assert!(error.to_string().contains("this is no ID") && !error.is_retryable(), "{error}");
    let parsed = client.parse(Ulid::from_u128(5)).await.unwrap();
    assert_eq!((parsed.datacenter_id(), parsed), (None, nowhere));
    assert_eq!(client.health().await.unwrap(), health);
    assert_eq!(client.info().await.unwrap(), info);
    assert!(client.ping().await.is_ok());
    server.await.unwrap();
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_in_flight() {
    let peer = Peer::bind().await;
    let builder = Client::builder().endpoint(peer.endpoint()).in_flight_max(2);
    let client = builder.call_timeout(Duration::from_secs(20)).build().unwrap();
    let calls: Vec<_> = (0..7).map(|_| start_next(&client)).collect();
    let mut connection = peer.accept().await;
    let mut served = 0;
    while served < 7 {
        let requests = connection.requests_of_one_read().await;
        assert!(requests.len() <= 2, "{requests:?}");
        for (request_id, _) in requests {
            connection.ids(request_id, &[(served, 1)]).await;
            served += 1;
        }
    }
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn the_answer_to_a_dropped_call_goes_to_nobody() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let dropped = start_next(&client);
    let mut connection = peer.accept().await;
    let (request_id, _) = connection.request().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let call = start_next(&client);
    connection.ids(request_id, &[(1, 1)]).await;
    connection.serve(2, 1).await;
    assert_eq!(call.await.unwrap().unwrap(), id(2));
}

#[tokio::test]
async fn a_call_is_retried_when_its_connection_closes() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let calls = [start_next(&client), start_next(&client)];
    let mut connection = peer.accept().await;
    connection.serve(1, 1).await;
    connection.request().await;
    drop(connection);
    peer.accept().await.serve(2, 1).await;
    let mut numbers = Vec::new();
    for call in calls {
        numbers.push(call.await.unwrap().unwrap());
    }
    assert_eq!(numbers, [id(1), id(2)]);
}

#[tokio::test]
async fn retries_end_after_attempts_max() {
    let peer = Peer::bind().await;
    let builder = Client::builder().endpoint(peer.endpoint()).attempts_max(3);
    let client = builder.call_timeout(Duration::from_secs(20)).build().unwrap();
    let call = start_next(&client);
    for _ in 0..3 {
        peer.accept().await.request().await;
    }
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_retryable() && !error.is_timeout() && !error.is_refused(), "{error}");
    assert!(error.to_string().starts_with(&peer.endpoint()), "{error}");
    assert!(error.to_string().contains("connection lost"), "{error}");
}

/// Each of these replies breaks the connection, and the call is answered on the next one.
#[tokio::test]
async fn a_reply_that_cannot_be_right_costs_the_connection() {
    let wrong: [fn(u64) -> Vec<u8>; 6] = [
        |request_id| generated(request_id + 1, &[(666, 1)]),
        |request_id| generated(request_id, &[(666, 2)]),
        |request_id| encoded(request_id, Response::Ping),
        |_| vec![0xff; 64],
        |_| vec![0; 16],
        |request_id| {
            let mut reply = generated(request_id, &[(666, 1)]);
            reply[4] = 2;
            reply
        },
    ];
    for (case, wrong) in wrong.into_iter().enumerate() {
        let peer = Peer::bind().await;
        let client = peer.client();
        let call = start_next(&client);
        let mut connection = peer.accept().await;
        let (request_id, _) = connection.request().await;
        connection.write(&wrong(request_id)).await;
        connection.closed().await;
        peer.accept().await.serve(1, 1).await;
        assert_eq!(call.await.unwrap().unwrap(), id(1), "case {case}");
    }
}

#[tokio::test]
async fn a_reply_nobody_asked_for_costs_the_connection() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start_next(&client);
    let mut connection = peer.accept().await;
    connection.serve(1, 1).await;
    assert_eq!(call.await.unwrap().unwrap(), id(1));
    connection.ids(1, &[(1, 1)]).await;
    connection.closed().await;
}

#[tokio::test]
async fn a_black_hole_times_out_and_is_left() {
    let peer = Peer::bind().await;
    let limit = Duration::from_secs(2);
    let builder = Client::builder().endpoint(peer.endpoint());
    let client = builder.call_timeout(limit).build().unwrap();
    let error = client.next().await.unwrap_err();
    assert!(error.is_timeout() && error.is_retryable() && !error.is_connect(), "{error}");
    assert_eq!(error.to_string(), format!("{}: no answer within {limit:?}", peer.endpoint()));

    // It took the request and is closed without an answer; the next connection is alive.
    let mut hole = peer.accept().await;
    hole.request().await;
    hole.closed().await;
    let server = start(async move {
        let mut connection = peer.accept().await;
        loop {
            let (request_id, _) = connection.request().await;
            connection.ids(request_id, &[(1, 1)]).await;
        }
    });
    // A busy machine may take longer than the deadline; more than a few times means it never comes
    // back.
    let mut recovered = false;
    for _ in 0..20 {
        recovered |= client.next().await.is_ok();
    }
    assert!(recovered);
    server.abort();
}

#[tokio::test]
async fn the_connection_closes_with_the_last_client() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let other = client.clone();
    let call = start_next(&client);
    let mut connection = peer.accept().await;
    connection.serve(1, 1).await;
    call.await.unwrap().unwrap();
    drop(client);
    let call = start_next(&other);
    connection.serve(2, 1).await;
    call.await.unwrap().unwrap();
    drop(other);
    connection.closed().await;
}

#[tokio::test]
async fn a_request_without_a_reply_does_not_keep_the_connection() {
    let peer = Peer::bind().await;
    let builder = Client::builder().endpoint(peer.endpoint()).in_flight_max(1);
    let client = builder.call_timeout(Duration::from_secs(3600)).build().unwrap();
    let dropped = start_next(&client);
    let mut connection = peer.accept().await;
    connection.request().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    drop(client);
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_get_different_ids() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let server = tokio::spawn(async move {
        let mut connection = peer.accept().await;
        for number in 0..5000 {
            connection.serve(number, 1).await;
        }
    });
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..100 {
                    ids.push(client.next().await.unwrap());
                }
                ids
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        ids.extend(within(task).await.unwrap());
    }
    assert_eq!(ids.len(), 5000);
    server.await.unwrap();
}
