//! Who may, and over what: settings, tokens and TLS.

use core::time::Duration;

use super::*;
use crate::identity::shared::{Endpoint, Secret};

const MASTER: &str = "11111111-2222-4333-8444-555555555555";
const ENOUGH: &str = "21111111-2222-4333-8444-555555555555";
const READER: &str = "31111111-2222-4333-8444-555555555555";

fn settings(address: &str) -> StoreSettings {
    StoreSettings {
        endpoints: vec![address.parse::<Endpoint>().unwrap()],
        keys: Keys::new("/x", 0),
        workers: 32,
        session: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        credentials: Default::default(),
        tls: Default::default(),
    }
}

fn refusal(settings: StoreSettings) -> String {
    Consul::new(Arc::new(settings)).unwrap_err().0
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = settings("http://[::1]:8500");
    assert!(Consul::new(Arc::new(good.clone())).is_ok());
    assert!(refusal(settings("consul:8500")).contains("http://consul:8500"));
    assert!(refusal(StoreSettings { endpoints: vec![], ..good.clone() }).contains("no address"));
    for seconds in [1, 9, 86_401] {
        let session = Duration::from_secs(seconds);
        let text = refusal(StoreSettings { session, ..good.clone() });
        assert!(text.starts_with("store-session-ms") && text.contains("86400000"), "{text}");
    }
    let mut bad = good.clone();
    bad.tls.ca = Some(b"nothing".to_vec());
    assert!(refusal(bad).contains("PEM"));
    let mut bad = good.clone();
    bad.tls.identity = Some((b"nothing".to_vec(), Secret::new("hunter2".to_owned())));
    assert!(!refusal(bad).contains("hunter2"));
    let mut bad = good;
    bad.credentials.token = Some(Secret::new("hunter2\n".to_owned()));
    assert!(!refusal(bad).contains("hunter2"));
}

/// Makes a token with these rules.
async fn make_token(server: &Server, secret: &str, rules: &str) {
    let body = serde_json::json!({ "Name": secret, "Rules": rules }).to_string();
    server.ask("PUT", "/v1/acl/policy", &body).await;
    let body = serde_json::json!({ "SecretID": secret, "Policies": [{ "Name": secret }] });
    server.ask("PUT", "/v1/acl/token", &body.to_string()).await;
}

#[tokio::test]
async fn a_token_has_to_allow_keys_and_sessions() {
    let server = Server::start_with_tokens(MASTER).await;
    let (settings, _) = new_datacenter(&server).await;
    let prefix = settings.keys.all();
    let prefix = bare(prefix.strip_suffix("datacenters/dc3/").unwrap());
    let of_keys = |policy: &str| format!("key_prefix \"{prefix}\" {{ policy = \"{policy}\" }}\n");
    let of_sessions = "session_prefix \"\" { policy = \"write\" }\n";
    make_token(&server, ENOUGH, &format!("{}{of_sessions}", of_keys("write"))).await;
    make_token(&server, READER, &format!("{}{of_sessions}", of_keys("read"))).await;
    let with = |token: Option<&str>| {
        let mut settings = settings.clone();
        settings.credentials.token = token.map(|token| Secret::new(token.to_owned()));
        open(&settings)
    };

    let consul = with(Some(ENOUGH));
    let free = consul.survey().await.unwrap().records[&5].clone();
    let held = done(&consul, &write(5, &free, b"1", make())).await;
    done(&consul, &write(5, &held, b"2", keep())).await;
    consul.close().await.unwrap();

    let wrong = "99999999-2222-4333-8444-555555555555";
    for token in [None, Some(wrong)] {
        let consul = with(token);
        let found = [
            consul.survey().await.map(drop),
            consul.look(5).await.map(drop),
            consul.write(&write(5, &free, b"x", make())).await.map(drop),
            consul.write(&write(5, &free, b"x", Mark::Leave)).await.map(drop),
            consul.create(Some(b"x"), &BTreeMap::new()).await.map(drop),
        ];
        for result in found {
            assert!(matches!(&result, Err(Trouble::Denied(_))), "{token:?}: {result:?}");
            assert!(!format!("{result:?} {consul:?}").contains(wrong));
        }
    }
    // It reads and makes sessions; the transaction is refused in words, with the status of a
    // conflict.
    let reader = with(Some(READER));
    let seen = look(&reader, 5).await;
    for mark in [make(), Mark::Leave] {
        let written = reader.write(&write(5, &seen, b"x", mark)).await;
        assert!(matches!(written, Err(Trouble::Denied(_))), "{written:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_certificates_on_both_sides() {
    let server = Server::start_with_tls().await;
    let (settings, consul) = new_datacenter(&server).await;
    let free = look(&consul, 5).await;
    done(&consul, &write(5, &free, b"1", make())).await;

    // Without a certificate of its own, and without trust in the other's.
    let mut anonymous = settings.clone();
    anonymous.tls.identity = None;
    let mut distrustful = settings.clone();
    distrustful.tls.ca = None;
    for settings in [anonymous, distrustful] {
        let found = open(&settings).look(5).await;
        println!("{found:?}");
        assert!(matches!(found, Err(Trouble::Away(_))), "{found:?}");
    }
}
