use std::net::TcpListener;

use super::*;
use crate::identity::shared::port::free_port;

#[tokio::test]
async fn a_crash_leaves_the_record_and_frees_the_slot() {
    let mut bench = Bench::new("crash").await;
    // Long enough for a look at what it leaves.
    bench.settings.session = Duration::from_secs(8);
    let crashing = bench.other();
    // A runtime that ends takes the connection along and says no farewell.
    let crash = std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let written = runtime.block_on(change(&crashing, 1, "left", make("gone soon")));
        drop(runtime);
        assert!(done(written));
        crashing
    });
    let crashed = crash.join().unwrap();
    assert!(bench.node(&bench.marker(1)).await.is_some(), "the session lives on");
    bench.gone(&bench.marker(1)).await;
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().0, "left");
    assert!(done(change(&bench.zookeeper, 1, "taken over", make("me")).await));
    drop(crashed);
}

#[tokio::test]
async fn one_of_three_addresses_is_enough() {
    let bench = Bench::new("addresses").await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("127.0.0.1:{}", free_port());
    let silent_address = silent.local_addr().unwrap().to_string();
    let addresses = [closed.clone(), silent_address.clone(), bench.server.address()];
    let mut settings = settings(&addresses, "addresses");
    // Half of it is for the silent one, the rest for the one that answers.
    settings.timeout = Duration::from_secs(6);
    // The crate tries them in any order.
    for _ in 0..6 {
        let zookeeper = ZooKeeper::new(Arc::new(settings.clone())).unwrap();
        assert!(zookeeper.look(0).await.unwrap().is_some());
    }
    settings.timeout = Duration::from_millis(300);
    for address in [silent_address, closed] {
        settings.endpoints = vec![address.parse().unwrap()];
        let zookeeper = ZooKeeper::new(Arc::new(settings.clone())).unwrap();
        let look = tokio::time::timeout(PATIENCE, zookeeper.look(0)).await.unwrap();
        assert!(matches!(look, Err(Trouble::Away(_))), "{look:?}");
        assert_eq!(zookeeper.session(), 0);
        zookeeper.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_used_again_when_it_is_back() {
    let mut server = Server::start().await;
    let mut settings = settings(&[server.address()], "killed");
    settings.session = Duration::from_secs(6);
    settings.timeout = Duration::from_secs(3);
    let zookeeper = ZooKeeper::new(Arc::new(settings)).unwrap();
    let records = BTreeMap::from([(0, b"a".to_vec())]);
    assert!(done(zookeeper.create(None, &records).await.unwrap()));
    assert!(done(change(&zookeeper, 0, "b", make("me")).await));
    let mut from = zookeeper.look(0).await.unwrap();

    // For less than a session lives, and for longer.
    for away in [Duration::ZERO, Duration::from_secs(9)] {
        server.kill();
        let start = Instant::now();
        loop {
            let written = write(&zookeeper, 0, from.clone(), "lost", keep("me")).await;
            assert!(matches!(written, Err(Trouble::Away(_))), "{written:?}");
            if start.elapsed() >= away {
                break;
            }
        }
        server.restart().await;
        let record = patiently(async || zookeeper.look(0).await.ok()).await;
        assert_eq!(record, from, "nothing is written later");
        // The marker of the old session goes, and then there is one of the new session.
        patiently(async || {
            let from = zookeeper.look(0).await.ok()?;
            write(&zookeeper, 0, from, "b", keep("me")).await.ok()?;
            let survey = zookeeper.survey().await.ok()?;
            survey.markers.get(&0)?.mine.then_some(())
        })
        .await;
        from = zookeeper.look(0).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_for_a_while_is_waited_for() {
    let server = Server::start().await;
    let mut settings = settings(&[server.address()], "silent");
    // Several calls take less than a session lives, and half of one is enough to be heard again.
    settings.session = Duration::from_secs(30);
    settings.timeout = Duration::from_secs(4);
    let zookeeper = ZooKeeper::new(Arc::new(settings)).unwrap();
    let records = BTreeMap::from([(0, b"a".to_vec())]);
    assert!(done(zookeeper.create(None, &records).await.unwrap()));
    assert!(done(change(&zookeeper, 0, "b", make("me")).await));
    let (from, session) = (zookeeper.look(0).await.unwrap(), zookeeper.session());
    server.signal("STOP");
    for _ in 0..2 {
        let written = write(&zookeeper, 0, from.clone(), "c", keep("me")).await;
        assert!(matches!(written, Err(Trouble::Away(_))), "{written:?}");
    }
    server.signal("CONT");
    assert_eq!(patiently(async || zookeeper.look(0).await.ok()).await, from);
    assert!(done(write(&zookeeper, 0, from, "d", keep("me")).await.unwrap()));
    assert_eq!(zookeeper.session(), session, "shorter than the session lives");
}

/// Does it until it works.
async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(outcome) = attempt().await {
            return outcome;
        }
        assert!(start.elapsed() < PATIENCE, "it never works");
        sleep(PAUSE).await;
    }
}
