//! Passwords and certificates.

use std::fs;
use std::process::Command;

use super::peers::{Folder, PATIENT};
use super::*;
use crate::identity::shared::Secret;

fn with_user(server: &Server, name: &str, password: &str) -> StoreSettings {
    let mut settings = settings(&[&server.url()]);
    settings.credentials.username = Some(name.into());
    settings.credentials.password = Some(Secret::new(password.into()));
    settings
}

#[tokio::test]
async fn only_the_right_password_opens_and_a_forgotten_token_is_renewed() {
    let mut server = Server::start().await;
    // Nobody is asked for a password yet.
    let early = client(with_user(&server, "flake", "right"));
    let records = (1..4).map(|worker_id| (worker_id, b"free".to_vec())).collect();
    assert!(matches!(early.create(None, &records).await, Ok(Written::Done { .. })));
    for args in [
        &["user", "add", "root:rooted"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "flake"],
        &["role", "grant-permission", "flake", "readwrite", "--prefix=true", KEYS_PREFIX],
        &["user", "add", "flake:right"],
        &["user", "grant-role", "flake", "flake"],
        &["user", "add", "stranger:right"],
        &["auth", "enable"],
    ] {
        server.ctl(args);
    }
    let free = early.look(1).await.unwrap().unwrap();
    done(&early, &change(1, &free, b"held", make("early"))).await;

    let etcd = client(with_user(&server, "flake", "right"));
    let free = etcd.look(2).await.unwrap().unwrap();
    let held = done(&etcd, &change(2, &free, b"held", make("me"))).await;

    let wrong = client(with_user(&server, "flake", "not so"));
    let stranger = client(with_user(&server, "stranger", "right"));
    for denied in [&wrong, &stranger, &client_of(&server)] {
        let Err(Trouble::Denied(text)) = denied.survey().await else { panic!("denied") };
        assert!(text.contains(&server.url()) && !text.contains("not so"), "{text}");
        let write = denied.write(&change(2, &held, b"stolen", Mark::Leave)).await;
        assert!(matches!(write, Err(Trouble::Denied(_))), "{write:?}");
        assert!(!format!("{denied:?}").contains("not so"));
    }

    // Tokens are gone with a restart. A write renews it by itself.
    server.kill();
    server.run();
    let ready = client(with_user(&server, "flake", "right"));
    until(async || ready.survey().await.is_ok()).await;
    let written = etcd.write(&change(2, &held, b"held 2", keep("me"))).await;
    if is_away(&written) {
        // The connection had not been found broken yet; the next call makes another one.
        assert_eq!(etcd.look(2).await, Ok(Some(held.clone())));
        done(&etcd, &change(2, &held, b"held 2", keep("me"))).await;
    }
    assert_eq!(etcd.look(2).await.unwrap().unwrap().bytes, b"held 2");
    // On the same connection: the user's tokens end when the password is set anew.
    let reset = ["--user", "root:rooted", "user", "passwd", "flake", "--interactive=false"];
    set_password(&server, &reset, "right");
    assert_eq!(etcd.look(2).await.unwrap().unwrap().bytes, b"held 2");
    set_password(&server, &reset, "changed");
    assert!(matches!(etcd.look(2).await, Err(Trouble::Denied(_))));
}

fn set_password(server: &Server, args: &[&str], password: &str) {
    use std::io::Write as _;
    let mut child = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &server.url()])
        .args(PATIENT)
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    assert!(child.wait().unwrap().success());
}

fn openssl(folder: &Folder, args: &str) {
    let output =
        Command::new("openssl").current_dir(folder.path()).args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{args}: {output:?}");
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let folder = Folder::new();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let signed = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
    for (name, more) in [
        ("ca", String::new()),
        ("server", format!(" {signed} -addext subjectAltName=IP:127.0.0.1")),
        ("node", format!(" {signed}")),
        ("other", String::new()),
    ] {
        let files = format!("-keyout {name}.key -out {name}.pem");
        openssl(&folder, &format!("req -x509 {key} -days 2 -subj /CN={name} {files}{more}"));
    }
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let flags = [
        format!("--cert-file={}", file("server.pem")),
        format!("--key-file={}", file("server.key")),
        format!("--trusted-ca-file={}", file("ca.pem")),
        "--client-cert-auth".to_owned(),
    ];
    let server = Server::cluster(1, &flags).remove(0);
    let read = |name: &str| fs::read(file(name)).unwrap();
    let key = |name: &str| Secret::new(fs::read_to_string(file(name)).unwrap());
    let with = |ca: Option<&str>, identity: Option<&str>| {
        let mut settings = settings(&[&server.url()]);
        settings.tls.ca = ca.map(read);
        settings.tls.identity =
            identity.map(|name| (read(&format!("{name}.pem")), key(&format!("{name}.key"))));
        client(settings)
    };
    let etcd = with(Some("ca.pem"), Some("node"));
    until(async || etcd.survey().await.is_ok()).await;
    let free = made(&etcd, 1, b"free").await;
    done(&etcd, &change(1, &free, b"held", make("me"))).await;
    etcd.close().await.unwrap();

    // Whom this node does not trust, or who does not trust this node. The latter may come as no
    // more than a closed connection.
    let refused = [("other.pem", Some("node")), ("ca.pem", None), ("ca.pem", Some("other"))];
    for (ca, identity) in refused {
        let Err(Trouble::Away(text)) = with(Some(ca), identity).survey().await else { panic!() };
        assert!(text.contains(&server.url()), "{ca} {identity:?}: {text}");
        assert!(ca == "ca.pem" || text.contains("certificate"), "{text}");
    }
    let mut plain = settings(&[&server.url().replace("https", "http")]);
    plain.timeout = Duration::from_millis(500);
    assert!(is_away(&client(plain).survey().await));
}
