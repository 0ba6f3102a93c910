//! Many IDs in one call.

use coreflake_client::{Client, ErrorCode};

use crate::peer::{Asked, Peer, id, run, start};

#[tokio::test]
async fn a_large_batch_is_several_requests_at_once() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start(async move { client.next_batch(10_000).await });
    let mut connection = peer.accept().await;
    let requests = connection.requests_of_one_read().await;
    let asked: Vec<_> = requests.iter().map(|(_, asked)| asked.clone()).collect();
    assert_eq!(asked, [Asked::Generate(4096), Asked::Generate(4096), Asked::Generate(1808)]);

    connection.ids(requests[0].0, &[(0, 4096)]).await;
    connection.ids(requests[1].0, &[(4096, 1000), (9000, 3096)]).await;
    connection.ids(requests[2].0, &[(20_000, 1808)]).await;
    let batch = call.await.unwrap().unwrap();
    assert_eq!(batch.len(), 10_000);
    assert_eq!(batch.runs(), [run(0, 5096), run(9000, 3096), run(20_000, 1808)]);
    assert_eq!(batch.ids().last(), Some(id(21_807)));
}

#[tokio::test]
async fn only_what_is_missing_is_asked_again() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start(async move { client.next_batch(5000).await });
    let mut connection = peer.accept().await;
    connection.serve(0, 4096).await;
    let (request_id, asked) = connection.request().await;
    assert_eq!(asked, Asked::Generate(904));
    connection.refuse(request_id, ErrorCode::Overloaded, 1).await;
    connection.serve(10_000, 904).await;
    assert_eq!(call.await.unwrap().unwrap().runs(), [run(0, 4096), run(10_000, 904)]);
}

#[tokio::test]
async fn a_final_refusal_ends_the_batch() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start(async move { client.next_batch(5000).await });
    let mut connection = peer.accept().await;
    connection.serve(0, 4096).await;
    let (request_id, _) = connection.request().await;
    connection.refuse(request_id, ErrorCode::TimestampExhausted, 0).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TimestampExhausted));
}

#[tokio::test]
async fn a_server_that_always_gives_less_is_asked_on() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start(async move { client.next_batch(200).await });
    let mut connection = peer.accept().await;
    for number in 0..200 {
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::Generate(200 - u32::try_from(number).unwrap()));
        connection.ids(request_id, &[(10 * number, 1)]).await;
    }
    assert_eq!(call.await.unwrap().unwrap().len(), 200);
}

#[tokio::test]
async fn a_count_out_of_range_is_refused_before_anything_is_sent() {
    let client = Client::builder().build().unwrap();
    for count in [0, 1_000_001] {
        let error = client.next_batch(count).await.unwrap_err();
        let text = format!("count = {count}: 1 to 1000000 are allowed in one call");
        assert_eq!(error.to_string(), text);
        assert!(!error.is_retryable() && !error.is_refused());
    }
}
