//! A real Consul, and what a test does to it by hand.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};

use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::http::{Answer, Http, Question};
use crate::identity::shared::port::free_port;
use crate::identity::shared::{
    Credentials, Endpoint, Keys, Secret, StoreSettings, TlsSettings, Trouble,
};

/// How long a server may take until it has elected itself.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server with a directory of its own. It ends with the value.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    directory: PathBuf,
    scheme: &'static str,
    pub(super) port: u16,
    token: Option<&'static str>,
    tls: TlsSettings,
}

/// One for all tests that are content with prefixes of their own; it ends with the last of them.
static SHARED: tokio::sync::Mutex<Weak<Server>> = tokio::sync::Mutex::const_new(Weak::new());

pub(super) async fn shared() -> Arc<Server> {
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start("").await);
    *shared = Arc::downgrade(&server);
    server
}

/// The program, as `make setup` has put it there.
pub(super) fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("COREFLAKE_CONSUL") {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let path = root.join(target).join("consul/usr/bin/consul");
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// A new directory below the system's for temporary files.
pub(super) fn new_directory() -> PathBuf {
    let name = format!("coreflake-consul-{}-{:016x}", std::process::id(), fastrand::u64(..));
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).unwrap();
    directory
}

impl Server {
    /// Starts one; `more` goes into its configuration.
    pub(super) async fn start(more: &str) -> Self {
        let port = free_port();
        let ports = format!(r#""http": {port}"#);
        Self::start_in(new_directory(), "http", port, &ports, more, None).await
    }

    /// The same, with access control: everything is forbidden without a token.
    pub(super) async fn start_with_tokens(master: &'static str) -> Self {
        let port = free_port();
        let more = format!(
            r#", "acl": {{"enabled": true, "default_policy": "deny",
                "tokens": {{"master": "{master}"}}}}"#
        );
        let ports = format!(r#""http": {port}"#);
        Self::start_in(new_directory(), "http", port, &ports, &more, Some(master)).await
    }

    /// The same, with TLS and certificates for both sides.
    pub(super) async fn start_with_tls() -> Self {
        let directory = new_directory();
        let make = |arguments: &[&str]| {
            let mut command = Command::new(program());
            command.arg("tls").args(arguments).current_dir(&directory).stdout(Stdio::null());
            assert!(command.status().unwrap().success());
        };
        make(&["ca", "create"]);
        make(&["cert", "create", "-server"]);
        make(&["cert", "create", "-client"]);
        let of = |name: &str| directory.join(name).display().to_string();
        let more = format!(
            r#", "ca_file": "{}", "cert_file": "{}", "key_file": "{}", "verify_incoming_https": true"#,
            of("consul-agent-ca.pem"),
            of("dc1-server-consul-0.pem"),
            of("dc1-server-consul-0-key.pem")
        );
        let port = free_port();
        let ports = format!(r#""http": -1, "https": {port}"#);
        Self::start_in(directory, "https", port, &ports, &more, None).await
    }

    async fn start_in(
        directory: PathBuf,
        scheme: &'static str,
        port: u16,
        ports: &str,
        more: &str,
        token: Option<&'static str>,
    ) -> Self {
        let config = format!(
            r#"{{"server": true, "bootstrap_expect": 1, "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1", "node_name": "test", "data_dir": "{}",
            "ports": {{{ports}, "serf_lan": {}, "serf_wan": -1, "server": {}, "dns": -1, "grpc": -1}},
            "performance": {{"raft_multiplier": 1}}, "disable_update_check": true {more}}}"#,
            directory.join("data").display(),
            free_port(),
            free_port()
        );
        fs::write(directory.join("config.json"), config).unwrap();
        let read = |name: &str| fs::read(directory.join(name)).ok();
        let identity = read("dc1-client-consul-0.pem").zip(read("dc1-client-consul-0-key.pem"));
        let tls = TlsSettings {
            ca: read("consul-agent-ca.pem"),
            identity: identity
                .map(|(pem, key)| (pem, Secret::new(String::from_utf8(key).unwrap()))),
        };
        let child = spawn(&directory);
        let mut server = Self { child, directory, scheme, port, token, tls };
        server.wait().await;
        server
    }

    /// Until it has elected itself and takes writes.
    async fn wait(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(trouble) = self.hand("PUT", "/v1/kv/ready", "x").await {
            let ended = self.child.try_wait().unwrap();
            let in_time = ended.is_none() && Instant::now() < deadline;
            assert!(in_time, "{ended:?}: {trouble}:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap()).into_owned()
    }

    /// Ends it as a power failure would.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with what it had.
    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.directory);
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { scheme: Some(self.scheme), host: "127.0.0.1".to_owned(), port: self.port }
    }

    /// Settings with a prefix of their own, or with a given one.
    pub(super) fn settings(&self, prefix: &str) -> StoreSettings {
        StoreSettings {
            endpoints: vec![self.endpoint()],
            keys: Keys::new(prefix, 3),
            workers: 32,
            session: Duration::from_secs(10),
            // Seventeen transactions for one call, and a flush may take seconds on a busy machine.
            timeout: Duration::from_secs(20),
            credentials: Credentials {
                token: self.token.map(|token| Secret::new(token.to_owned())),
                ..Credentials::default()
            },
            tls: self.tls.clone(),
        }
    }

    /// Asks as an operator would.
    pub(super) async fn hand(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, Trouble> {
        let question = Question {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: path.to_owned(),
            body: body.as_bytes().to_vec(),
            repeatable: true,
        };
        let settings = self.settings("/");
        let http = Http::new(&settings).unwrap();
        http.ask(&question, Instant::now() + settings.timeout).await
    }

    /// The same, for what is answered in JSON; `Null` when there is nothing.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.hand(method, path, body).await.unwrap();
        if answer.status == StatusCode::NOT_FOUND {
            return Value::Null;
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        serde_json::from_slice(&answer.body).unwrap_or(Value::String(text))
    }

    /// Makes a session that has nothing to do with coreflake's.
    pub(super) async fn foreign_session(&self) -> String {
        let body = r#"{"Behavior": "delete", "NodeChecks": []}"#;
        let made = self.ask("PUT", "/v1/session/create", body).await;
        made["ID"].as_str().unwrap().to_owned()
    }

    /// Ends the session that holds a key.
    pub(super) async fn end_session_of(&self, key: &str) {
        let found = self.ask("GET", &format!("/v1/kv{key}?consistent"), "").await;
        let session = found[0]["Session"].as_str().unwrap();
        self.ask("PUT", &format!("/v1/session/destroy/{session}"), "").await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(directory: &Path) -> Child {
    let log = fs::File::create(directory.join("log")).unwrap();
    Command::new(program())
        .args(["agent", "-config-file"])
        .arg(directory.join("config.json"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
