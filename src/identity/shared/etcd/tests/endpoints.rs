//! Endpoints that do not answer, answer late, or answer nothing that helps.

use core::sync::atomic::Ordering;

use tokio::time::Instant;

use super::impostor::impostor;
use super::peers::{HANG_UP, PASS, SWALLOW, black_hole, proxy};
use super::*;
use crate::identity::shared::port::free_port;

#[tokio::test]
async fn another_endpoint_is_used_in_time() {
    let server = Server::start().await;
    let refused = format!("http://127.0.0.1:{}", free_port());
    let (_listener, silent) = black_hole();
    for first in [&refused, &silent] {
        let settings = settings(&[first, &server.url()]);
        let (begun, timeout) = (Instant::now(), settings.timeout);
        let etcd = client(settings);
        // A write: it has not been sent to the first one, so the second one gets it.
        let records = [(u16::from(first == &refused), b"free".to_vec())].into();
        let created = etcd.create(None, &records).await;
        assert!(matches!(created, Ok(Written::Done { .. })), "{first}: {created:?}");
        assert!(begun.elapsed() < timeout, "{first}");
        let again = Instant::now();
        etcd.survey().await.unwrap();
        assert!(again.elapsed() < timeout / 2, "the one that works is remembered");
    }
}

#[tokio::test]
async fn when_none_answers_it_is_said_in_time_which_and_why() {
    let refused = format!("http://127.0.0.1:{}", free_port());
    let (_listener, silent) = black_hole();
    let with_timeout = |timeout| {
        let mut settings = settings(&[&refused, &silent, "http://nowhere.invalid:1"]);
        settings.timeout = timeout;
        client(settings)
    };
    // Half of it is for the silent one; the rest has to be enough for the last.
    let (begun, timeout) = (Instant::now(), Duration::from_secs(6));
    let survey = with_timeout(timeout).survey().await;
    let Err(Trouble::Away(text)) = survey else { panic!("away: {survey:?}") };
    assert!(begun.elapsed() < timeout + timeout / 2, "{:?}", begun.elapsed());
    assert!(text.contains(&refused) && text.contains("refused"), "{text}");
    assert!(text.contains(&silent) && text.contains("no answer for"), "{text}");
    assert!(text.contains("nowhere.invalid"), "{text}");
    let etcd = with_timeout(Duration::from_millis(600));
    assert!(is_away(&etcd.create(Some(b"g"), &Default::default()).await));
    assert!(is_away(&etcd.look(1).await));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_again() {
    let server = Server::start().await;
    let (proxied, slow) = proxy(server.port()).await;
    let free = made(&client_of(&server), 1, b"free").await;
    let with_timeout = |seconds| {
        let mut settings = settings(&[&slow, &server.url()]);
        settings.timeout = Duration::from_secs(seconds);
        client(settings)
    };
    // Half of its time is for the first one, which has to answer in it.
    let etcd = with_timeout(6);
    etcd.survey().await.unwrap();
    proxied.store(SWALLOW, Ordering::Relaxed);
    let write = etcd.write(&change(1, &free, b"held", Mark::Leave)).await;
    let Err(Trouble::Away(text)) = write else { panic!("nobody knows: {write:?}") };
    assert!(text.contains(&slow) && !text.contains(&server.url()), "{text}");
    // The next call asks the other one, and it has been made after all, once.
    let held = etcd.look(1).await.unwrap().unwrap();
    assert_eq!((held.bytes.as_slice(), held.version), (b"held".as_slice(), free.version + 1));

    // A read is asked of the other one within the call.
    proxied.store(PASS, Ordering::Relaxed);
    let etcd = with_timeout(6);
    etcd.survey().await.unwrap();
    proxied.store(SWALLOW, Ordering::Relaxed);
    assert_eq!(etcd.look(1).await, Ok(Some(held.clone())));

    // A connection that ends leaves time for the other one, and still it is not asked.
    proxied.store(PASS, Ordering::Relaxed);
    let etcd = with_timeout(20);
    etcd.survey().await.unwrap();
    proxied.store(HANG_UP, Ordering::Relaxed);
    let write = etcd.write(&change(1, &held, b"held 2", Mark::Leave)).await;
    let Err(Trouble::Away(text)) = write else { panic!("nobody knows: {write:?}") };
    assert!(text.contains(&slow) && !text.contains(&server.url()), "{text}");
    let now = etcd.look(1).await.unwrap().unwrap();
    assert!(now == held || now.bytes == b"held 2", "{now:?}");
}

/// What a member says of itself: field 2 is its version, field 4 who leads.
fn status(version: &str, leader: u8) -> Vec<u8> {
    let size = u8::try_from(version.len()).unwrap();
    [&[0x12, size], version.as_bytes(), &[0x20, leader]].concat()
}

#[tokio::test]
async fn what_is_no_fit_etcd_is_not_used() {
    let old = impostor("0", status("3.5.4", 1)).await;
    let Err(Trouble::Unfit(text)) = client(settings(&[&old])).survey().await else { panic!() };
    for words in [&old, "3.5.4", "3.5.6", "14370"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let unknown = impostor("12", vec![]).await;
    let survey = client(settings(&[&unknown])).survey().await;
    assert!(matches!(survey, Err(Trouble::Unfit(_))), "{survey:?}");

    // What is not gRPC at all, and bytes that are no message.
    let garbage = impostor("0", vec![0xFF; 9]).await;
    assert!(client(settings(&[&garbage])).survey().await.is_err());

    // One that is not led is passed over, before a write too.
    let server = Server::start().await;
    let alone = impostor("0", status("3.5.9", 0)).await;
    let etcd = client(settings(&[&alone, &server.url()]));
    made(&etcd, 1, b"free").await;
    let Err(Trouble::Away(text)) = client(settings(&[&alone])).survey().await else { panic!() };
    assert!(text.contains("no leader"), "{text}");
}

#[tokio::test]
async fn a_store_that_comes_back_is_used_again() {
    let mut server = Server::start().await;
    let etcd = client_of(&server);
    let free = made(&etcd, 1, b"free").await;
    server.kill();
    let write = change(1, &free, b"held", make("me"));
    assert!(is_away(&etcd.write(&write).await));
    assert!(is_away(&etcd.survey().await));
    server.run();
    until(async || etcd.survey().await.is_ok()).await;
    assert_eq!(etcd.look(1).await, Ok(Some(free)), "it was refused");
    done(&etcd, &write).await;
}

#[tokio::test]
async fn a_minority_answers_nothing_and_a_majority_goes_on() {
    let mut members = Server::cluster(3, &[]);
    let urls: Vec<_> = members.iter().map(Server::url).collect();
    let mut settings = settings(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    // A call that waits for a leader leaves time for many others.
    settings.timeout = Duration::from_secs(3);
    let timeout = settings.timeout;
    let etcd = client(settings);
    until(async || etcd.survey().await.is_ok()).await;
    let mut record = made(&etcd, 1, b"0").await;
    for (killed, member) in members.iter_mut().enumerate() {
        member.kill();
        // Until there is a leader, a write may have any outcome; a look tells which.
        until(async || {
            let now = etcd.look(1).await;
            let Ok(Some(now)) = now else { return false };
            record = now;
            let write = change(1, &record, format!("after {killed}").as_bytes(), keep("me"));
            matches!(etcd.write(&write).await, Ok(Written::Done { .. }))
        })
        .await;
        member.run();
        member.ready().await;
    }
    // A busy machine may cause one more election.
    until(async || {
        let Ok(now) = etcd.look(1).await else { return false };
        record = now.unwrap();
        true
    })
    .await;
    assert_eq!(record.bytes, b"after 2");

    members[0].kill();
    members[1].kill();
    let begun = Instant::now();
    assert!(is_away(&etcd.write(&change(1, &record, b"x", keep("me"))).await));
    assert!(begun.elapsed() < 2 * timeout, "{:?}", begun.elapsed());
    let mut said = String::new();
    until(async || match etcd.look(1).await {
        Err(Trouble::Away(text)) => {
            said = text;
            said.contains("no leader")
        }
        other => panic!("a minority has answered: {other:?}"),
    })
    .await;
    members[0].run();
    until(async || etcd.look(1).await.is_ok()).await;
}
