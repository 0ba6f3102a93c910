//! A Consul of one server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::common::{PATIENCE, Scratch, free_port};
use crate::curl::{Answer, curl, with_certificate};
use crate::daemon::Daemon;

/// May do everything where not everybody may.
const MANAGEMENT: &str = "5b4ed3b9-6aa4-4d4a-9d0c-9f2f86cba0a1";

/// What a server of IDs has to be allowed.
const RULES: &str = r#"
key_prefix "id-generator/" { policy = "write" }
session_prefix "" { policy = "write" }
"#;

/// It ends with the value.
pub(crate) struct Consul {
    daemon: Daemon,
    address: SocketAddr,
    tls: Vec<String>,
    /// With which the test itself comes.
    token: Option<String>,
    scratch: Scratch,
}

impl Consul {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        Self::launch(name, json!({}), &[], None)
    }

    /// Denies what no token allows. Comes with the token that may do everything.
    #[track_caller]
    pub(crate) fn with_acl(name: &str) -> (Self, String) {
        let tokens = json!({ "master": MANAGEMENT, "agent": MANAGEMENT });
        let acl = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
        let consul = Self::launch(name, json!({ "acl": acl }), &[], Some(MANAGEMENT));
        (consul, MANAGEMENT.to_owned())
    }

    /// A token for keys below `id-generator/`, and for sessions.
    #[track_caller]
    pub(crate) fn limited_token(&self) -> String {
        let policy = json!({ "Name": "generator", "Rules": RULES });
        self.put("/v1/acl/policy", &policy.to_string());
        let token = json!({ "Policies": [{ "Name": "generator" }] });
        let made: Value =
            serde_json::from_str(&self.put("/v1/acl/token", &token.to_string())).unwrap();
        made["SecretID"].as_str().unwrap().to_owned()
    }

    /// Lets in only those with a client's certificate.
    #[track_caller]
    pub(crate) fn with_tls(name: &str, certificates: &Certificates) -> Self {
        let tls = json!({
            "ca_file": certificates.ca(),
            "cert_file": certificates.server_cert(),
            "key_file": certificates.server_key(),
            "verify_incoming_https": true,
        });
        Self::launch(name, tls, &with_certificate(certificates), None)
    }

    #[track_caller]
    fn launch(name: &str, more: Value, tls: &[String], token: Option<&str>) -> Self {
        let scratch = Scratch::new(&format!("consul-{name}"));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let port = |is_mine: bool| if is_mine { i32::from(address.port()) } else { -1 };
        let config = json!({
            "server": true,
            "bootstrap_expect": 1,
            "node_name": "server",
            "data_dir": scratch.path().join("data"),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {
                "http": port(tls.is_empty()),
                "https": port(!tls.is_empty()),
                "server": free_port(),
                "serf_lan": free_port(),
                "serf_wan": -1,
                "dns": -1,
                "grpc": -1,
            },
            // The shortest that it knows.
            "performance": { "raft_multiplier": 1 },
            // Ten seconds otherwise, too long for a test to wait for the end of a session.
            "session_ttl_min": "1s",
            "disable_update_check": true,
        });
        let config = scratch.file("config.json", 0o600, config.to_string().as_bytes());
        let more = scratch.file("more.json", 0o600, more.to_string().as_bytes());
        let line = [&program().display().to_string(), "agent", "-config-file", &config];
        let line = [&line[..], &["-config-file", &more]].concat();
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        let daemon = Daemon::start(line, scratch.path().join("log"), None);
        let token = token.map(str::to_owned);
        let mut consul = Self { daemon, address, tls: tls.to_vec(), token, scratch };
        consul.wait();
        consul
    }

    /// Waits until it has a leader, and the leader knows the node, which sessions need.
    #[track_caller]
    fn wait(&mut self) {
        let request =
            self.request("GET", "/v1/health/node/server?consistent", &[], self.token.as_deref());
        self.daemon.wait_for("Consul", || {
            let answer = request.send(Duration::from_secs(1))?;
            (answer.status == 200 && answer.body.contains("serfHealth")).then_some(())
        });
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_empty() { "http" } else { "https" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again on the same ports and data; returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.daemon.restart();
        self.wait();
    }

    /// Starts anew without its data.
    #[track_caller]
    pub(crate) fn forget(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.scratch.path().join("data")).unwrap();
        self.restart();
    }

    /// A file for what is sent.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.scratch.file(name, 0o600, bytes).into()
    }

    pub(crate) fn stop(&self) {
        self.daemon.stop();
    }

    pub(crate) fn go_on(&self) {
        self.daemon.go_on();
    }

    /// What it answers, which has to be a success.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path, &[])
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> String {
        self.ask("DELETE", path, &[])
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &str) -> String {
        self.ask("PUT", path, &["--data-binary", body])
    }

    /// The same with another token, or where it may fail.
    #[track_caller]
    pub(crate) fn try_put(&self, path: &str, body: &str, token: &str) -> Answer {
        let request = self.request("PUT", path, &["--data-binary", body], Some(token));
        request.send(PATIENCE).expect("Consul answers")
    }

    /// Writes a backup.
    #[track_caller]
    pub(crate) fn snapshot(&self, path: &Path) {
        self.ask("GET", "/v1/snapshot", &["--output", path.to_str().unwrap()]);
    }

    /// Becomes what the backup holds, without a restart.
    #[track_caller]
    pub(crate) fn restore(&self, path: &Path) {
        self.put("/v1/snapshot", &format!("@{}", path.display()));
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, args: &[&str]) -> String {
        let request = self.request(method, path, args, self.token.as_deref());
        let answer = request.send(PATIENCE).expect("Consul answers");
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.body
    }

    fn request(&self, method: &str, path: &str, args: &[&str], token: Option<&str>) -> Request {
        let mut all = self.tls.clone();
        all.extend(["--request", method].iter().chain(args).map(|arg| (*arg).to_owned()));
        if let Some(token) = token {
            all.extend(["--header".to_owned(), format!("X-Consul-Token: {token}")]);
        }
        Request { url: format!("{}{path}", self.endpoint()), args: all }
    }
}

struct Request {
    url: String,
    args: Vec<String>,
}

impl Request {
    fn send(&self, timeout: Duration) -> Option<Answer> {
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        curl(&self.url, timeout, &args)
    }
}

/// Where scripts/setup.sh unpacks it: beside the build.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("consul/usr/bin/consul")
}
