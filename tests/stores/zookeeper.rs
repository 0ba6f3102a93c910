//! A standalone ZooKeeper.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::certificates::Certificates;
use crate::common::{Scratch, free_port};
use crate::daemon::{self, Daemon, run};

/// The first names all that it needs, but for what TLS needs besides; the last prints the log.
const CLASSES: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar:\
                       /usr/share/java/netty-resolver.jar:/usr/share/java/slf4j-simple.jar";

/// It ends with the value.
pub(crate) struct ZooKeeper {
    daemon: Daemon,
    /// For clients.
    address: SocketAddr,
    /// Without TLS, for the question whether it serves; the same when there is none.
    plain: SocketAddr,
    cli_flags: Vec<String>,
    scratch: Scratch,
}

impl ZooKeeper {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::launch(Scratch::new(&format!("zookeeper-{name}")), address, address, "", Vec::new())
    }

    /// Lets in only those with a client's certificate, except for its tests.
    #[track_caller]
    pub(crate) fn with_tls(name: &str, certificates: &Certificates) -> Self {
        let scratch = Scratch::new(&format!("zookeeper-{name}"));
        // A key and its certificate come in one file.
        let store = |name: &str, key: &Path, cert: &Path| {
            let both = [fs::read(key).unwrap(), fs::read(cert).unwrap()].concat();
            scratch.file(name, 0o600, &both)
        };
        let server = store("server.pem", certificates.server_key(), certificates.server_cert());
        let client = store("client.pem", certificates.client_key(), certificates.client_cert());
        let ca = certificates.ca().display();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let plain = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let more = format!(
            "secureClientPortAddress={}\nsecureClientPort={}\n\
             serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={server}\nssl.trustStore.location={ca}\n",
            address.ip(),
            address.port()
        );
        let flags = [
            "client.secure=true",
            "clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
            &format!("ssl.keyStore.location={client}"),
            &format!("ssl.trustStore.location={ca}"),
        ];
        let flags = flags.iter().map(|flag| format!("-Dzookeeper.{flag}")).collect();
        Self::launch(scratch, address, plain, &more, flags)
    }

    #[track_caller]
    fn launch(
        scratch: Scratch,
        address: SocketAddr,
        plain: SocketAddr,
        more: &str,
        cli_flags: Vec<String>,
    ) -> Self {
        let line = server(scratch.path(), plain, more);
        let daemon = Daemon::start(line, scratch.path().join("log"), None);
        let mut zookeeper = Self { daemon, address, plain, cli_flags, scratch };
        zookeeper.wait();
        zookeeper
    }

    #[track_caller]
    fn wait(&mut self) {
        let plain = self.plain;
        self.daemon.wait_for("ZooKeeper", || mode(plain));
    }

    /// As a client's connect string has it.
    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again on the same port and data; returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.daemon.restart();
        self.wait();
    }

    /// Starts anew without its data.
    #[track_caller]
    pub(crate) fn forget(&mut self) {
        self.kill();
        fs::remove_dir_all(self.data()).unwrap();
        fs::create_dir_all(self.data()).unwrap();
        self.restart();
    }

    pub(crate) fn stop(&self) {
        self.daemon.stop();
    }

    pub(crate) fn go_on(&self) {
        self.daemon.go_on();
    }

    /// What zkCli says, which has to succeed. Takes about half a second: it is a JVM.
    #[track_caller]
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = self.try_cli(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_cli(&self, args: &[&str]) -> Output {
        let flags: Vec<_> = self.cli_flags.iter().map(String::as_str).collect();
        cli(&self.endpoint(), &flags, args)
    }

    /// Copies its data as a backup does: of a server that goes on.
    #[track_caller]
    pub(crate) fn snapshot(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        copy(&self.data(), folder);
    }

    /// Becomes what the backup holds, at the same address: even the transaction number goes back.
    #[track_caller]
    pub(crate) fn restore(&mut self, folder: &Path) {
        self.kill();
        fs::remove_dir_all(self.data()).unwrap();
        copy(folder, &self.data());
        self.restart();
    }

    fn data(&self) -> PathBuf {
        data(self.scratch.path())
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

#[track_caller]
fn copy(from: &Path, to: &Path) {
    // Logs are mostly holes.
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    run("cp", &["--archive", "--sparse=always", from, to]);
}

/// Writes the configuration of a server into `folder` and gives its command. `more` is what it has
/// to know beside that: of its peers, or of TLS.
pub(crate) fn server(folder: &Path, client: SocketAddr, more: &str) -> Vec<String> {
    let (data, config) = (data(folder), folder.join("zoo.cfg"));
    fs::create_dir_all(&data).unwrap();
    // A tick is a quarter of what is usual, so that sessions may be short and a test need not wait
    // long for an election: a follower that says nothing for four ticks is lost.
    let text = format!(
        "tickTime=500\ninitLimit=20\nsyncLimit=4\n\
         minSessionTimeout=1000\nmaxSessionTimeout=60000\n\
         dataDir={}\nclientPortAddress={}\nclientPort={}\n\
         admin.enableServer=false\n4lw.commands.whitelist=srvr,ruok,mntr\n{more}",
        data.display(),
        client.ip(),
        client.port()
    );
    fs::write(&config, text).unwrap();
    let mut line = java();
    // It makes its log 64 MiB long at once otherwise.
    line.push("-Dzookeeper.preAllocSize=1024".to_owned());
    line.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned());
    line.push(config.display().to_string());
    line
}

/// A JVM that starts fast and stays small.
fn java() -> Vec<String> {
    let flags = ["java", "-Xms16m", "-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
    let line = flags.iter().chain(&["-cp", CLASSES]);
    line.map(|word| (*word).to_owned()).collect()
}

pub(crate) fn cli(endpoints: &str, jvm: &[&str], args: &[&str]) -> Output {
    let java = java();
    let (program, flags) = java.split_first().unwrap();
    let mut line: Vec<_> = flags.iter().map(String::as_str).collect();
    // It tells of itself on standard error, at length.
    line.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    line.extend(jvm);
    line.extend(["org.apache.zookeeper.ZooKeeperMain", "-server", endpoints]);
    line.extend(args);
    daemon::output(program, &line)
}

/// What a server says to one of the words of four letters.
fn ask(server: SocketAddr, word: &str) -> Option<String> {
    // Whoever starts lets in before it listens: soon ask again.
    let timeout = Duration::from_millis(300);
    let mut stream = TcpStream::connect_timeout(&server, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).unwrap();
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Standalone, leader or follower; `None` when it does not serve.
pub(crate) fn mode(server: SocketAddr) -> Option<String> {
    said(&ask(server, "srvr")?, "Mode: ")
}

/// Which leader's time this is by its last transaction, if it serves.
pub(crate) fn epoch(server: SocketAddr) -> Option<u64> {
    let number = said(&ask(server, "srvr")?, "Zxid: 0x")?;
    Some(u64::from_str_radix(&number, 16).ok()? >> 32)
}

fn said(answer: &str, key: &str) -> Option<String> {
    answer.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned)
}
