//! Addresses that are dead, and peers that are not Consul.

use core::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::identity::shared::port::free_port;
use crate::identity::shared::{Endpoint, Secret};
use crate::limits::CONSUL_ANSWER_SIZE_MAX;

/// For a call to two addresses: half of it is for the first of them. What answers at all does so in
/// much less, even where a flush takes a while.
const TIMEOUT: Duration = Duration::from_secs(6);

fn local(port: u16) -> Endpoint {
    Endpoint { scheme: Some("http"), host: "127.0.0.1".to_owned(), port }
}

/// A client that asks another address before the real one.
fn behind(first: u16, settings: &StoreSettings) -> Consul {
    let endpoints = vec![local(first), settings.endpoints[0].clone()];
    open(&StoreSettings { endpoints, timeout: TIMEOUT, ..settings.clone() })
}

/// Answers everything with the same bytes, once per connection. It ends with the runtime.
async fn answering(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

/// A write that reads nothing first: it is what the first address is asked.
fn first_write() -> Write {
    Write { worker_id: 40, from: None, to: b"1".to_vec(), mark: Mark::Leave }
}

#[tokio::test]
async fn an_address_that_refuses_does_not_matter() {
    let server = shared().await;
    let (settings, _) = new_datacenter(&server).await;
    let consul = behind(free_port(), &settings);
    // It has not arrived where nobody listens.
    assert!(matches!(consul.write(&first_write()).await, Ok(Written::Done { .. })));
    let consul = behind(free_port(), &settings);
    let found = look(&consul, 40).await;
    done(&consul, &write(40, &found, b"2", make())).await;
}

#[tokio::test]
async fn an_address_that_takes_no_connection_leaves_time_for_another() {
    let server = shared().await;
    let (settings, _) = new_datacenter(&server).await;
    // Nobody accepts, and the queue of connections is full: a new one gets no answer at all.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued = TcpStream::connect(address).await.unwrap();

    let consul = behind(address.port(), &settings);
    let start = Instant::now();
    assert!(matches!(consul.write(&first_write()).await, Ok(Written::Done { .. })));
    println!("a write behind an address without an answer took {:?}", start.elapsed());
    assert!(start.elapsed() < TIMEOUT);
    let start = Instant::now();
    look(&consul, 5).await;
    assert!(start.elapsed() < TIMEOUT / 2, "the one that works is remembered");
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_not_sent_twice() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    // The kernel takes connections, and nobody reads them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();

    let reading = behind(port, &settings);
    let start = Instant::now();
    assert_eq!(look(&reading, 5).await, free, "a read goes on with the next");
    assert!(start.elapsed() < TIMEOUT);
    let writing = behind(port, &settings);
    let start = Instant::now();
    let written = writing.write(&first_write()).await;
    assert!(matches!(written, Err(Trouble::Away(_))), "{written:?}");
    assert!(start.elapsed() < TIMEOUT + TIMEOUT / 2);
    assert_eq!(writing.look(40).await, Ok(None), "nothing was written, and the next one answers");
    let gone = behind(answering(Vec::new()).await, &settings);
    let written = gone.write(&first_write()).await;
    assert!(matches!(written, Err(Trouble::Away(_))), "{written:?}");
    assert_eq!(consul.look(40).await, Ok(None));
}

#[tokio::test]
async fn a_server_that_was_killed_is_away_and_comes_back() {
    let mut server = Server::start("").await;
    let (settings, _) = new_datacenter(&server).await;
    let consul = open(&StoreSettings { timeout: TIMEOUT, ..settings });
    let free = look(&consul, 5).await;
    let mut held = done(&consul, &write(5, &free, b"1", make())).await;
    // No call takes longer than it may; the half is for a machine that does other things as well.
    let limit = TIMEOUT + TIMEOUT / 2;

    server.kill();
    for mark in [make(), keep(), Mark::Remove, Mark::Leave] {
        let start = Instant::now();
        let written = consul.write(&write(5, &held, b"2", mark)).await;
        assert!(matches!(written, Err(Trouble::Away(_))), "{written:?}");
        assert!(start.elapsed() < limit);
    }
    assert!(matches!(consul.survey().await, Err(Trouble::Away(_))));

    server.restart();
    let restart = Instant::now();
    let mut away = 0;
    let extended = loop {
        let start = Instant::now();
        let written = consul.write(&write(5, &held, b"2", keep())).await;
        assert!(start.elapsed() < limit);
        match written {
            Ok(Written::Done { .. }) => break look(&consul, 5).await,
            // One that was away may have been written after all.
            Ok(Written::Conflict) => held = look(&consul, 5).await,
            Err(Trouble::Away(_)) => away += 1,
            Err(trouble) => panic!("{trouble}"),
        }
        assert!(restart.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(100)).await;
    };
    println!("after a restart: done after {:?}, {away} times away", restart.elapsed());
    assert_eq!(extended.bytes, b"2");
    assert!(marker(&consul, 5).await.unwrap().mine);
}

#[tokio::test]
async fn what_is_not_consul_is_trouble_and_no_panic() {
    let server = shared().await;
    let token = "4d7f9a16-1111-4222-8333-abcdefabcdef";
    let of_store = "HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nConnection: close\r\n\r\n";
    let huge = CONSUL_ANSWER_SIZE_MAX + 1;
    let answers = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "Unfit"),
        ("HTTP/1.1 301 Moved\r\nLocation: /ui\r\nContent-Length: 0\r\n\r\n".to_owned(), "Unfit"),
        (format!("{of_store}<html>"), "Unfit"),
        (format!("{of_store}{{}}"), "Unfit"),
        (format!("{of_store}{}", "[".repeat(100_000)), "Unfit"),
        (format!("{of_store}\"{}\"", "x".repeat(huge)), "Unfit"),
        (format!("{of_store}[{{\"Key\":\"other\",\"ModifyIndex\":1}}]"), "Unfit"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(), "Denied"),
        (format!("HTTP/1.1 500 Error\r\nContent-Length: 36\r\n\r\n{token}"), "Away"),
        ("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n".to_owned(), "Away"),
        ("HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nContent-Length: 9\r\n\r\n[".to_owned(), "Away"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "Away"),
        ("\0".repeat(1_000), "Away"),
    ];
    for (answer, expected) in answers {
        let mut settings = server.settings("/x");
        settings.endpoints = vec![local(answering(answer.clone().into_bytes()).await)];
        settings.credentials.token = Some(Secret::new(token.to_owned()));
        let consul = open(&settings);
        let free = Stored { bytes: vec![], version: 1, fleeting: false };
        let writing = write(5, &free, b"", make());
        let found = [
            consul.look(5).await.map(drop).unwrap_err(),
            consul.write(&writing).await.map(drop).unwrap_err(),
            consul.create(Some(b"g"), &BTreeMap::new()).await.map(drop).unwrap_err(),
        ];
        let answer: String = answer.chars().take(80).collect();
        for trouble in found {
            let text = format!("{trouble:?}");
            assert!(text.starts_with(expected), "{answer:?}: {text}");
            assert!(!text.contains(token), "{text}");
        }
    }
}
