//! An etcd of one member.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::certificates::Certificates;
use crate::common::{Scratch, free_port};
use crate::curl::{curl, with_certificate};
use crate::daemon::{self, Daemon};

const MEMBER: &str = "member";
const ROOT: &str = "root:password of the root";

/// For etcdctl, which gives up after two seconds, and after five, otherwise.
pub(crate) const PATIENT: [&str; 2] = ["--dial-timeout=20s", "--command-timeout=20s"];

/// It ends with the value.
pub(crate) struct Etcd {
    daemon: Daemon,
    layout: Layout,
}

/// Where everything is, and how to get in.
struct Layout {
    client: SocketAddr,
    peer: SocketAddr,
    data: PathBuf,
    /// A restored backup gets a new directory.
    restores: u32,
    /// What the server needs for TLS.
    server_tls: Vec<String>,
    /// What curl, and what etcdctl, need for TLS.
    curl_tls: Vec<String>,
    etcdctl_tls: Vec<String>,
    /// Whether only root may do everything.
    guarded: bool,
    scratch: Scratch,
}

impl Etcd {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        Self::launch(Layout::new(name))
    }

    /// Asks everybody for a name and a password: root's, and those of a user that may read and
    /// write below `/id-generator/` and nowhere else.
    #[track_caller]
    pub(crate) fn with_user(name: &str, user: &str, password: &str) -> Self {
        let mut etcd = Self::start(name);
        etcd.ctl(&["user", "add", ROOT]);
        etcd.ctl(&["user", "add", &format!("{user}:{password}")]);
        etcd.ctl(&["role", "add", "generator"]);
        let grant = ["role", "grant-permission", "generator", "--prefix=true"];
        etcd.ctl(&[&grant[..], &["readwrite", "/id-generator/"]].concat());
        etcd.ctl(&["user", "grant-role", user, "generator"]);
        etcd.ctl(&["user", "grant-role", "root", "root"]);
        etcd.ctl(&["auth", "enable"]);
        etcd.layout.guarded = true;
        etcd
    }

    /// Lets in only those with a client's certificate.
    #[track_caller]
    pub(crate) fn with_tls(name: &str, certificates: &Certificates) -> Self {
        let mut layout = Layout::new(name);
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        layout.server_tls = vec![
            file("cert-file", certificates.server_cert()),
            file("key-file", certificates.server_key()),
            file("trusted-ca-file", certificates.ca()),
            "--client-cert-auth".to_owned(),
        ];
        layout.curl_tls = with_certificate(certificates);
        layout.etcdctl_tls = with_certificate(certificates);
        Self::launch(layout)
    }

    #[track_caller]
    fn launch(layout: Layout) -> Self {
        let log = layout.scratch.path().join("log");
        let mut etcd = Self { daemon: Daemon::start(layout.line(), log, None), layout };
        etcd.wait();
        etcd
    }

    #[track_caller]
    fn wait(&mut self) {
        let (url, tls) = (format!("{}/health", self.layout.endpoint()), &self.layout.curl_tls);
        let tls: Vec<_> = tls.iter().map(String::as_str).collect();
        self.daemon.wait_for("etcd", || is_healthy(&url, &tls).then_some(()));
    }

    pub(crate) fn endpoint(&self) -> String {
        self.layout.endpoint()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.layout.client
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again on the same ports and data; returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.daemon.restart_as(self.layout.line());
        self.wait();
    }

    /// Starts anew without its data.
    #[track_caller]
    pub(crate) fn forget(&mut self) {
        self.kill();
        self.layout.restores += 1;
        self.layout.data =
            self.layout.scratch.path().join(format!("data-{}", self.layout.restores));
        self.restart();
    }

    pub(crate) fn stop(&self) {
        self.daemon.stop();
    }

    pub(crate) fn go_on(&self) {
        self.daemon.go_on();
    }

    /// What etcdctl says, which has to succeed; as root where that makes a difference.
    #[track_caller]
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let output = self.try_ctl(args);
        assert!(output.status.success(), "etcdctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as another user, or where it may fail.
    pub(crate) fn try_ctl(&self, args: &[&str]) -> Output {
        let layout = &self.layout;
        let mut all: Vec<&str> = layout.etcdctl_tls.iter().map(String::as_str).collect();
        all.extend(PATIENT);
        // The last one counts, when `args` name a user.
        if layout.guarded {
            all.extend(["--user", ROOT]);
        }
        all.extend(args);
        etcdctl(&layout.endpoint(), &all)
    }

    /// Writes a backup.
    #[track_caller]
    pub(crate) fn snapshot(&self, path: &Path) {
        self.ctl(&["snapshot", "save", path.to_str().unwrap()]);
    }

    /// Becomes what the backup holds, at the same address: even the revision goes back.
    #[track_caller]
    pub(crate) fn restore(&mut self, path: &Path) {
        self.kill();
        self.layout.restores += 1;
        let layout = &mut self.layout;
        layout.data = layout.scratch.path().join(format!("data-{}", layout.restores));
        let (data, peer) = (layout.data.to_str().unwrap(), format!("http://{}", layout.peer));
        let cluster = format!("{MEMBER}={peer}");
        let place = ["--data-dir", data, "--name", MEMBER, "--initial-cluster", &cluster];
        let args = ["snapshot", "restore", path.to_str().unwrap()];
        let own = ["--initial-advertise-peer-urls", &peer];
        let output = etcdctl(&layout.endpoint(), &[&args[..], &place, &own].concat());
        assert!(output.status.success(), "{output:?}");
        self.restart();
    }
}

impl Layout {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("etcd-{name}"));
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            client: address(),
            peer: address(),
            data: scratch.path().join("data"),
            restores: 0,
            server_tls: Vec::new(),
            curl_tls: Vec::new(),
            etcdctl_tls: Vec::new(),
            guarded: false,
            scratch,
        }
    }

    fn endpoint(&self) -> String {
        let scheme = if self.server_tls.is_empty() { "http" } else { "https" };
        format!("{scheme}://{}", self.client)
    }

    fn line(&self) -> Vec<String> {
        let (client, peer) = (self.endpoint(), format!("http://{}", self.peer));
        let cluster = format!("{MEMBER}={peer}");
        let mut line = server(MEMBER, &self.data, &client, &peer, &cluster);
        line.extend(self.server_tls.iter().cloned());
        line
    }
}

/// The command of a member.
pub(crate) fn server(
    name: &str,
    data: &Path,
    client: &str,
    peer: &str,
    cluster: &str,
) -> Vec<String> {
    let data = data.display().to_string();
    let flags = [
        ("name", name),
        ("data-dir", &data),
        ("listen-client-urls", client),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", cluster),
        // Half of what is usual: a test waits for elections, and a busy machine must not cause any.
        ("heartbeat-interval", "50"),
        ("election-timeout", "500"),
        // Passwords are no secrets here.
        ("bcrypt-cost", "4"),
        ("logger", "zap"),
    ];
    let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    ["etcd".to_owned()].into_iter().chain(flags).collect()
}

/// Whether it has a leader and can read.
pub(crate) fn is_healthy(url: &str, tls: &[&str]) -> bool {
    let answer = curl(url, Duration::from_secs(1), tls);
    answer.is_some_and(|answer| answer.status == 200 && answer.body.contains("\"true\""))
}

pub(crate) fn etcdctl(endpoints: &str, args: &[&str]) -> Output {
    daemon::output("etcdctl", &[&["--endpoints", endpoints], args].concat())
}
