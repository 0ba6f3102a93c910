//! A ZooKeeper server of the Debian package, for as long as somebody has it.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use zookeeper_client::Client;

use super::PATIENCE;
use crate::identity::shared::port::free_port;

static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static COUNT: AtomicU32 = AtomicU32::new(0);

pub(super) struct Server {
    port: u16,
    folder: PathBuf,
    child: Child,
}

impl Server {
    /// One for all tests that do not harm it.
    pub(super) async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&server);
        server
    }

    pub(super) async fn start() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("coreflake-zookeeper-{}-{number}", id()));
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let config = format!(
            "tickTime=500\nminSessionTimeout=1000\nadmin.enableServer=false\n\
             clientPortAddress=127.0.0.1\nclientPort={port}\ndataDir={}\n",
            folder.join("data").display(),
        );
        fs::write(folder.join("zoo.cfg"), config).unwrap();
        let child = Self::spawn(&folder);
        let mut server = Self { port, folder, child };
        server.ready().await;
        server
    }

    fn spawn(folder: &std::path::Path) -> Child {
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("java");
        command.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        command.args(["-cp", "/usr/share/java/zookeeper.jar"]);
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        command.arg(folder.join("zoo.cfg")).stdin(Stdio::null()).stderr(log.try_clone().unwrap());
        command.stdout(log).spawn().expect("scripts/setup.sh installs ZooKeeper")
    }

    async fn ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = Client::connect(&self.address()).await {
            let ended = self.child.try_wait().unwrap();
            let log = || fs::read_to_string(self.folder.join("log")).unwrap();
            let in_time = ended.is_none() && Instant::now() < deadline;
            assert!(in_time, "{ended:?}: {error}:\n{}", log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `STOP` or `CONT`.
    pub(super) fn signal(&self, name: &str) {
        let child = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &child]).status();
        assert!(sent.unwrap().success());
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What was killed comes back with what it had.
    pub(super) async fn restart(&mut self) {
        self.child = Self::spawn(&self.folder);
        self.ready().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
