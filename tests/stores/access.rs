//! Who is let in: passwords, tokens and certificates, right and wrong. A secret is shown nowhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::certificates::Certificates;
use crate::common::{Finished, Scratch, Server};
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::setting::{Kind, Setting, Store};
use crate::sips::take;
use crate::zookeeper::ZooKeeper;

const RIGHT: &str = "correct-horse-battery";
const WRONG: &str = "tr0ub4dor-and-3";

/// A call to the store has as much time as there is, two seconds.
const WINDOW: [&str; 2] = ["--window-ms", "6000"];

/// A user with the password in a file.
struct User {
    args: [String; 4],
}

impl User {
    fn new(scratch: &Scratch, name: &str, password: &str) -> Self {
        let file = scratch.file(
            if password == RIGHT { "right" } else { "wrong" },
            0o600,
            format!("{password}\n").as_bytes(),
        );
        let args = ["--store-username", name, "--store-password-file", &file].map(str::to_owned);
        Self { args }
    }

    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }
}

#[track_caller]
fn assert_hidden(finished: &Finished) {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    for secret in [RIGHT, WRONG] {
        assert!(!said.contains(secret), "{secret} is shown: {said}");
    }
}

/// Starts a server that logs all it can, takes an ID, stops it, and looks for secrets.
#[track_caller]
fn serves(setting: &Setting, args: &[&str], secrets: &[&str]) {
    let mut command = setting.command("state", args);
    command.args(WINDOW).env("COREFLAKE_LOG", "trace");
    let server = Server::launch(command).unwrap_or_else(|ended| panic!("not ready: {ended:#?}"));
    take(server.tcp, 10);
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    let said = ended.log.join("\n");
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "a secret is logged: {said}");
}

fn a_user_needs_the_right_password(setting: &Setting, wrong_words: &[&str], none_words: &[&str]) {
    let scratch = Scratch::new(&format!("access-{}", setting.kind.name()));
    let right = User::new(&scratch, "generator", RIGHT);
    let wrong = User::new(&scratch, "generator", WRONG);
    setting.slots("init", &right.args()).assert_code(0);
    assert_hidden(&setting.refuses("state", &wrong.args(), wrong_words));
    assert_hidden(&setting.refuses("state", &[], none_words));
    let listed = setting.slots("list", &wrong.args());
    assert_hidden(listed.assert_code(1).assert_says(wrong_words));
    serves(setting, &right.args(), &[RIGHT]);

    // The environment has one, too; a file that others can read has none.
    let mut command = setting.command("state", &["--store-username", "generator"]);
    command.args(WINDOW).env("COREFLAKE_STORE_PASSWORD", RIGHT);
    Server::launch(command).unwrap_or_else(|ended| panic!("{ended:#?}")).stop();
    let file = right.args[3].clone();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    setting.refuses("state", &right.args(), &["store-password-file", &file, "600 is expected"]);
}

#[test]
fn a_user_of_etcd_needs_the_right_password() {
    let etcd = Etcd::with_user("access", "generator", RIGHT);
    let setting = Setting::of(Kind::Etcd, Store::Etcd(etcd), "access");
    let wrong = ["store etcd", "authentication failed"];
    a_user_needs_the_right_password(&setting, &wrong, &["store etcd", "user name is empty"]);
}

#[test]
fn a_user_of_zookeeper_needs_the_right_password() {
    let zookeeper = ZooKeeper::start("access");
    let setting = Setting::of(Kind::ZooKeeper, Store::ZooKeeper(zookeeper), "access");
    let words = ["store zookeeper", "the credentials are not accepted"];
    a_user_needs_the_right_password(&setting, &words, &words);
}

#[test]
fn consul_wants_a_token_that_allows_enough() {
    let scratch = Scratch::new("access-token");
    let (consul, _) = Consul::with_acl("access");
    let token = consul.limited_token();
    let setting = Setting::of(Kind::Consul, Store::Consul(consul), "access");
    let with = |name: &str, token: &str| {
        let file = scratch.file(name, 0o600, token.as_bytes());
        ["--store-token-file".to_owned(), file].into_iter()
    };
    let right: Vec<_> = with("right", &token).collect();
    let right: Vec<_> = right.iter().map(String::as_str).collect();
    let unknown = "0c0ffee0-6aa4-4d4a-9d0c-9f2f86cba0a1";
    let wrong: Vec<_> = with("wrong", unknown).collect();
    let wrong: Vec<_> = wrong.iter().map(String::as_str).collect();
    setting.slots("init", &right).assert_code(0);
    let words = ["store consul", "does not accept the token"];
    for args in [&wrong[..], &[]] {
        let said = setting.refuses("state", args, &words);
        assert!(!said.stderr.contains(unknown), "{said:?}");
        let listed = setting.slots("list", args);
        listed.assert_code(1).assert_says(&words);
        assert!(!listed.stderr.contains(unknown), "{listed:?}");
    }
    serves(&setting, &right, &[&token]);
    fs::set_permissions(right[1], Permissions::from_mode(0o640)).unwrap();
    setting.refuses("state", &right, &["store-token-file", right[1], "600 is expected"]);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The flags of a client of this authority, who believes that one.
fn certified<'a>(own: &'a Certificates, believed: &'a Certificates) -> Vec<&'a str> {
    let own =
        ["--store-cert-file", text(own.client_cert()), "--store-key-file", text(own.client_key())];
    [&["--store-ca-file", text(believed.ca())], &own[..]].concat()
}

fn only_certificates_of_the_authority_are_taken(
    kind: Kind,
    start: impl Fn(&str, &Certificates) -> Store,
) {
    let certificates = Certificates::make(&format!("access-{}", kind.name()));
    let stranger = Certificates::make(&format!("access-stranger-{}", kind.name()));
    let setting = Setting::of(kind, start("access-tls", &certificates), "access-tls");
    let right = certified(&certificates, &certificates);
    setting.slots("init", &right).assert_code(0);
    let key = fs::read_to_string(certificates.client_key()).unwrap();
    let key = key.lines().nth(1).unwrap();
    serves(&setting, &right, &[key]);

    // A certificate that is not believed, and one that does not believe us.
    for (args, words) in [
        (certified(&certificates, &stranger), &["certificate"][..]),
        (certified(&stranger, &certificates), &[]),
        (vec!["--store-ca-file", text(certificates.ca())], &[]),
    ] {
        let listed = setting.slots("list", &args);
        println!("{}: {}", kind.name(), listed.stderr.trim());
        listed.assert_code(69).assert_says(&[&format!("store {}", kind.name())]).assert_says(words);
    }
    // Half of a pair, a file that is none, a key that others can read.
    let both = ["store-cert-file", "store-key-file", "both or none"];
    setting.refuses("state", &right[..4], &both);
    let ca = [&["--store-ca-file", "/nowhere/ca.pem"], &right[2..]].concat();
    setting.refuses("state", &ca, &["store-ca-file /nowhere/ca.pem", "No such file"]);
    let garbage = setting.path("garbage");
    fs::write(&garbage, "no certificate").unwrap();
    let ca = [&["--store-ca-file", text(&garbage)], &right[2..]].concat();
    setting.refuses("state", &ca, &["certificate"]);
    fs::set_permissions(certificates.client_key(), Permissions::from_mode(0o644)).unwrap();
    let said = setting.refuses("state", &right, &["store-key-file", "600 is expected"]);
    assert!(!said.stderr.contains(key), "{said:?}");
}

#[test]
fn only_certificates_of_the_authority_are_taken_by_etcd() {
    let start =
        |name: &str, certificates: &Certificates| Store::Etcd(Etcd::with_tls(name, certificates));
    only_certificates_of_the_authority_are_taken(Kind::Etcd, start);
}

#[test]
fn only_certificates_of_the_authority_are_taken_by_consul() {
    let start = |name: &str, certificates: &Certificates| {
        Store::Consul(Consul::with_tls(name, certificates))
    };
    only_certificates_of_the_authority_are_taken(Kind::Consul, start);
}
