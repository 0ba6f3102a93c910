//! What becomes of markers when sessions end.

use core::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;

/// How long a session may live after its last renewal: Consul says twice its length, and it looks
/// once in a while.
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the loss of a session may go unnoticed: nine renewals would be due.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_marker_goes_with_its_session_and_the_record_stays() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let tended = Arc::new(open(&settings));
    let free = look(&tended, 6).await;
    done(&tended, &write(6, &free, b"tended", make())).await;
    let tending = tokio::spawn({
        let tended = Arc::clone(&tended);
        async move { tended.tend().await }
    });
    let free = look(&consul, 5).await;
    let claimed = done(&consul, &write(5, &free, b"claimed", make())).await;
    let start = Instant::now();
    while marker(&tended, 5).await.is_some() {
        assert!(start.elapsed() < EXPIRY_TIMEOUT, "it lives for ever");
        sleep(Duration::from_millis(200)).await;
    }
    println!("a session of 10 s has ended after {:?}", start.elapsed());
    assert!(start.elapsed() > Duration::from_secs(9), "not before its time");
    assert_eq!(look(&tended, 5).await, claimed);
    assert!(marker(&tended, 6).await.unwrap().mine, "that one was renewed");

    // Somebody else claims it at once, and the former holder notices.
    let taken = done(&tended, &write(5, &claimed, b"taken", make())).await;
    conflict(&consul, &write(5, &claimed, b"extended", keep())).await;
    conflict(&consul, &write(5, &taken, b"extended", keep())).await;
    tending.abort();
    let _ = tending.await;
}

#[tokio::test]
async fn a_lost_marker_is_made_again_with_an_extension() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    let claimed = done(&consul, &write(5, &free, b"1", make())).await;
    let session = consul.session();
    let key = escape(&settings.keys.marker(5));

    // With its session, which nobody has noticed yet.
    server.end_session_of(&key).await;
    let extended = done(&consul, &write(5, &claimed, b"2", keep())).await;
    assert!(consul.session() > session && marker(&consul, 5).await.unwrap().mine);
    // By hand, while the session lives.
    let session = consul.session();
    server.ask("DELETE", &format!("/v1/kv{key}"), "").await;
    let extended = done(&consul, &write(5, &extended, b"3", keep())).await;
    assert!(consul.session() == session && marker(&consul, 5).await.unwrap().mine);
    // A claim finds out as well that the session is no more.
    server.end_session_of(&key).await;
    done(&consul, &write(5, &extended, b"4", make())).await;
    assert!(marker(&consul, 5).await.unwrap().mine);
    // So does a release.
    server.end_session_of(&key).await;
    let extended = look(&consul, 5).await;
    done(&consul, &write(5, &extended, b"5", Mark::Remove)).await;
}

#[tokio::test]
async fn the_loss_of_a_session_is_noticed_without_a_write() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    done(&consul, &write(5, &free, b"1", make())).await;
    let session = consul.session();
    server.end_session_of(&escape(&settings.keys.marker(5))).await;
    let noticed = async {
        while consul.session() == session {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = consul.tend() => panic!("nobody tends it any more"),
        noticed = timeout(NOTICE_TIMEOUT, noticed) => noticed.unwrap(),
    }
}

#[tokio::test]
async fn the_marker_of_somebody_else_is_respected() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let key = settings.keys.marker(5);
    // Made by hand, without a session.
    by_hand(&server, &key, "hands off").await;
    let free = look(&consul, 5).await;
    conflict(&consul, &write(5, &free, b"1", make())).await;
    conflict(&consul, &write(5, &free, b"1", keep())).await;
    let released = done(&consul, &write(5, &free, b"1", Mark::Remove)).await;
    assert_eq!(marker(&consul, 5).await.unwrap().text, "hands off");
    server.ask("DELETE", &format!("/v1/kv{}", escape(&key)), "").await;
    // With a session.
    let session = server.foreign_session().await;
    let path = format!("/v1/kv{}?acquire={session}", escape(&key));
    assert_eq!(server.ask("PUT", &path, "hands off").await, serde_json::json!(true));
    conflict(&consul, &write(5, &released, b"2", make())).await;
    conflict(&consul, &write(5, &released, b"2", keep())).await;

    // When it ends, Consul holds the key back for 15 seconds: nobody has it, and nobody gets it.
    server.end_session_of(&escape(&key)).await;
    assert_eq!(marker(&consul, 5).await, None);
    conflict(&consul, &write(5, &released, b"2", make())).await;
    done(&consul, &write(5, &released, b"2", keep())).await;
    assert_eq!(marker(&consul, 5).await, None);
}

#[tokio::test]
async fn a_marker_of_a_former_session_does_not_hinder() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    let claimed = done(&consul, &write(5, &free, b"1", make())).await;
    // As if Consul had said by mistake that the session is no more.
    let session = consul.memory.session().unwrap();
    consul.memory.end(&session);
    let extended = done(&consul, &write(5, &claimed, b"2", keep())).await;
    assert!(!marker(&consul, 5).await.unwrap().mine);
    server.end_session_of(&escape(&settings.keys.marker(5))).await;
    done(&consul, &write(5, &extended, b"3", keep())).await;
    assert!(marker(&consul, 5).await.unwrap().mine);
}

#[tokio::test]
async fn the_health_of_the_agent_does_not_matter() {
    let server = shared().await;
    let (_, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    done(&consul, &write(5, &free, b"1", make())).await;
    // The usual kind of session, to see that it would.
    let usual = async {
        loop {
            if let Ok(made) = server.hand("PUT", "/v1/session/create", "{}").await {
                break serde_json::from_slice::<serde_json::Value>(&made.body).unwrap();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let usual = timeout(NOTICE_TIMEOUT, usual).await.unwrap();
    let unwell = serde_json::json!({ "Node": "test", "Address": "127.0.0.1",
        "Check": { "CheckID": "serfHealth", "Name": "serfHealth", "Status": "critical" } });
    server.ask("PUT", "/v1/catalog/register", &unwell.to_string()).await;
    let path = format!("/v1/session/info/{}?consistent", usual["ID"].as_str().unwrap());
    assert_eq!(server.ask("GET", &path, "").await, serde_json::json!([]));
    assert!(marker(&consul, 5).await.unwrap().mine);
}

#[tokio::test]
async fn closing_takes_the_markers_away_at_once() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    consul.close().await.unwrap();
    let free = look(&consul, 5).await;
    let claimed = done(&consul, &write(5, &free, b"1", make())).await;
    let session = consul.session();
    consul.close().await.unwrap();
    assert_ne!(consul.session(), session);
    let other = open(&settings);
    assert_eq!(marker(&other, 5).await, None);
    done(&other, &write(5, &claimed, b"2", make())).await;
}

#[tokio::test]
async fn of_many_claims_at_once_one_is_won() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    let mut claims = tokio::task::JoinSet::new();
    for claimant in 0..8_u8 {
        let (consul, free) = (open(&settings), free.clone());
        claims.spawn(async move { consul.write(&write(5, &free, &[claimant], make())).await });
    }
    let outcomes: Vec<_> = claims.join_all().await.into_iter().map(Result::unwrap).collect();
    let won = outcomes.iter().filter(|written| matches!(written, Written::Done { .. })).count();
    assert_eq!(won, 1, "{outcomes:?}");
}

#[tokio::test]
async fn writes_at_once_share_one_session() {
    let server = shared().await;
    let (_, consul) = new_datacenter(&server).await;
    let consul = Arc::new(consul);
    let survey = consul.survey().await.unwrap();
    let mut claims = tokio::task::JoinSet::new();
    for (worker_id, free) in survey.records {
        let consul = Arc::clone(&consul);
        claims.spawn(async move { consul.write(&write(worker_id, &free, b"1", make())).await });
    }
    let outcomes = claims.join_all().await;
    assert!(outcomes.iter().all(|written| matches!(written, Ok(Written::Done { .. }))));
    assert_eq!(consul.session(), 1);
    assert!(consul.survey().await.unwrap().markers.values().all(|marker| marker.mine));
}
