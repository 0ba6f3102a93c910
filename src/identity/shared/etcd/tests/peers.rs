//! What is on the other side: etcd itself, or something that is none.

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::identity::shared::port::free_port;

/// How long anything may take on a machine that does other things as well.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// For etcdctl, which gives up after two seconds, and after five, otherwise.
pub(super) const PATIENT: [&str; 2] = ["--dial-timeout=20s", "--command-timeout=20s"];

/// An etcd of one member or a member of more, killed when it goes out of scope.
pub(super) struct Server {
    child: Option<Child>,
    folder: Folder,
    name: String,
    port: u16,
    peer_port: u16,
    cluster: String,
    /// Flags beside those that every member has.
    flags: Vec<String>,
    tls: bool,
}

/// A folder that is gone with its owner.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        // The number of the process would not do: it comes again, and one that was killed has left
        // its files.
        let name = format!("coreflake-etcd-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Server {
    /// One that answers.
    pub(super) async fn start() -> Self {
        let server = Self::cluster(1, &[]).remove(0);
        server.ready().await;
        server
    }

    /// Members of one cluster, started.
    pub(super) fn cluster(count: usize, flags: &[String]) -> Vec<Self> {
        let tls = flags.iter().any(|flag| flag.starts_with("--cert-file"));
        let mut members: Vec<_> = (0..count)
            .map(|index| Self {
                child: None,
                folder: Folder::new(),
                name: format!("m{index}"),
                port: free_port(),
                peer_port: free_port(),
                cluster: String::new(),
                flags: flags.to_vec(),
                tls,
            })
            .collect();
        let peer = |member: &Self| format!("{}=http://127.0.0.1:{}", member.name, member.peer_port);
        let cluster = members.iter().map(peer).collect::<Vec<_>>().join(",");
        for member in &mut members {
            member.cluster.clone_from(&cluster);
            member.run();
        }
        members
    }

    pub(super) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, or starts it again with what it has kept.
    pub(super) fn run(&mut self) {
        let peers = format!("http://127.0.0.1:{}", self.peer_port);
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("etcd")
            .args(["--name", &self.name, "--initial-cluster", &self.cluster])
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            // Short enough that a lease may live for 1 s.
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed: Debian has it as etcd-server");
        self.child = Some(child);
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) async fn ready(&self) {
        let etcd = super::client_of(self);
        super::until(async || etcd.survey().await.is_ok()).await;
    }

    /// Runs `etcdctl`, which has to succeed, and gives what it says.
    pub(super) fn ctl(&self, args: &[&str]) -> String {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url()])
            .args(PATIENT)
            .args(args)
            .output()
            .expect("etcdctl is installed: Debian has it as etcd-client");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lease of a key, as etcdctl sees it.
    pub(super) fn has_lease(&self, key: &str) -> bool {
        let json = self.ctl(&["get", key, "-w", "json"]);
        assert!(json.contains("\"mod_revision\""), "{key} is there: {json}");
        json.contains("\"lease\":")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let end = log.lines().count().saturating_sub(20);
            for line in log.lines().skip(end) {
                eprintln!("{}: {line}", self.name);
            }
        }
    }
}

/// Accepts connections and never says anything.
pub(super) fn black_hole() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// What a proxy does with what comes back.
pub(super) const PASS: u8 = 0;
pub(super) const SWALLOW: u8 = 1;
/// It ends the connection instead, a little later.
pub(super) const HANG_UP: u8 = 2;

/// Passes everything on to `port`, and does with what comes back what it is told.
pub(super) async fn proxy(port: u16) -> (Arc<AtomicU8>, String) {
    let told = Arc::new(AtomicU8::new(PASS));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let orders = told.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let orders = orders.clone();
            tokio::spawn(async move {
                let far = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.unwrap().into_split();
                let there = tokio::io::copy(&mut near_in, &mut far_out);
                let back = async {
                    let mut bytes = [0; 4_096];
                    while let Ok(size @ 1..) = far_in.read(&mut bytes).await {
                        match orders.load(Ordering::Relaxed) {
                            PASS => near_out.write_all(&bytes[..size]).await.unwrap(),
                            SWALLOW => {}
                            _ => return tokio::time::sleep(Duration::from_millis(200)).await,
                        }
                    }
                };
                // The end of either is the end of both.
                tokio::select! { _ = there => {} () = back => {} }
            });
        }
    });
    (told, url)
}
