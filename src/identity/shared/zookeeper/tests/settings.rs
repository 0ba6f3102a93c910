use super::*;
use crate::identity::shared::settings::{Credentials, Secret, TlsSettings};

fn credentials(username: Option<&str>, password: Option<&str>) -> Credentials {
    Credentials {
        username: username.map(str::to_owned),
        password: password.map(|password| Secret::new(password.to_owned())),
        token: None,
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let with = |change: &dyn Fn(&mut StoreSettings)| {
        let mut settings = settings(&["zk:2181".to_owned()], "x");
        change(&mut settings);
        ZooKeeper::new(Arc::new(settings)).map(|_| ()).map_err(|error| error.to_string())
    };
    let with_credentials = |username, password| {
        with(&|settings| settings.credentials = credentials(username, password)).unwrap_err()
    };
    assert_eq!(with(&|_| ()), Ok(()));
    let http = with(&|settings| settings.endpoints[0].scheme = Some("http")).unwrap_err();
    assert!(http.contains("HTTP"), "{http}");
    let https = with(&|settings| settings.endpoints[0].scheme = Some("https")).unwrap_err();
    assert!(https.contains("TLS"), "{https}");
    let tls = TlsSettings { ca: Some(Vec::new()), identity: None };
    assert!(with(&|settings| settings.tls = tls.clone()).unwrap_err().contains("TLS"));
    assert!(with(&|settings| settings.endpoints.clear()).unwrap_err().contains("address"));
    let token = Some(Secret::new("hunter2".to_owned()));
    let token = with(&|settings| settings.credentials.token = token.clone()).unwrap_err();
    assert!(token.contains("token") && !token.contains("hunter2"), "{token}");
    assert!(with_credentials(Some("me"), None).contains("no password"));
    assert!(with_credentials(Some("me"), Some("")).contains("no password"));
    assert!(with_credentials(None, Some("hunter2")).contains("no username"));
    assert!(with_credentials(Some("a:b"), Some("hunter2")).contains("colon"));
}

#[tokio::test]
async fn credentials_keep_others_out() {
    let bench = Bench::bare("digest").await;
    let with = |username: Option<&str>, password: Option<&str>| {
        let mut settings = bench.settings.clone();
        settings.credentials = credentials(username, password);
        ZooKeeper::new(Arc::new(settings)).unwrap()
    };
    let owner = with(Some("me"), Some("hunter2"));
    assert!(!format!("{owner:?}").contains("hunter2"));
    let records = BTreeMap::from([(0, b"a".to_vec())]);
    assert!(done(owner.create(Some(b"genesis"), &records).await.unwrap()));
    assert!(done(change(&owner, 0, "b", make("me")).await));
    for key in [bench.record(0), bench.marker(0), bench.settings.keys.records()] {
        let read = bench.hand.get_data(&key).await;
        assert_eq!(read.map(|_| ()), Err(zookeeper_client::Error::NoAuth), "{key}");
    }
    assert!(!format!("{owner:?}").contains("hunter2"), "connected");

    let from = owner.look(0).await.unwrap();
    for other in [with(Some("me"), Some("wrong")), with(None, None)] {
        let texts = [
            other.survey().await.unwrap_err(),
            other.look(0).await.unwrap_err(),
            write(&other, 0, from.clone(), "c", make("other")).await.unwrap_err(),
            other.create(None, &BTreeMap::from([(5, vec![1])])).await.unwrap_err(),
        ];
        for trouble in texts {
            assert!(matches!(&trouble, Trouble::Denied(_)), "{trouble:?}");
            assert!(!trouble.to_string().contains("wrong"), "{trouble}");
        }
    }
    let again = with(Some("me"), Some("hunter2"));
    assert!(done(change(&again, 0, "c", Mark::Leave).await));
    assert!(!again.survey().await.unwrap().markers[&0].mine);
}

#[test]
fn every_call_may_move_between_threads() {
    fn is_send(_: impl Send) {}
    let zookeeper = ZooKeeper::new(Arc::new(settings(&["zk:2181".to_owned()], "x"))).unwrap();
    is_send(zookeeper.survey());
    is_send(zookeeper.look(0));
    is_send(zookeeper.create(None, &nothing()));
    let change = Write { worker_id: 0, from: None, to: Vec::new(), mark: Mark::Leave };
    is_send(zookeeper.write(&change));
    is_send(zookeeper.close());
    is_send(zookeeper.tend());
}
