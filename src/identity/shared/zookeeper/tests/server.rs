//! A ZooKeeper server of the Debian package, for as long as somebody has it.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_client::Client;

use super::PATIENCE;
use crate::identity::shared::port::free_port;

static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

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
        // The number of the process would not do: it comes again, and one that was killed has left
        // its files.
        let name = format!("coreflake-zookeeper-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let port = free_port();
        let config = format!(
            "tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\n\
             admin.enableServer=false\nclientPortAddress=127.0.0.1\nclientPort={port}\ndataDir={}\n",
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
        let (deadline, address) = (Instant::now() + PATIENCE, self.address());
        loop {
            // One attempt: it would try again for six seconds, though the process has ended.
            let attempt = Client::connector().with_fail_eagerly().connect(&address);
            let trouble = match timeout_at(deadline, attempt).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(late) => late.to_string(),
            };
            let ended = self.child.try_wait().unwrap();
            let in_time = ended.is_none() && Instant::now() < deadline;
            assert!(in_time, "{ended:?}: {trouble}:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
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
