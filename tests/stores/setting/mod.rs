//! A store of any kind, the records of a datacenter in it, and servers that use them.

mod ending;
mod values;
mod watched;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

pub(crate) use self::ending::use_up;
pub(crate) use self::values::{Values, genesis_key, marker_key, record_key};
pub(crate) use self::watched::Watched;
use crate::common::{Finished, Scratch, Server, coreflake, feed};
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::ledger::unix_ms;
use crate::sips::take;
use crate::zookeeper::ZooKeeper;

/// For a command that asks a store once: a flush may take seconds on a machine that does other
/// things as well. A server tries again.
pub(crate) const PATIENT: [&str; 2] = ["--store-timeout-ms", "10000"];

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Etcd,
    ZooKeeper,
    Consul,
}

/// One of the three, of one server.
pub(crate) enum Store {
    Etcd(Etcd),
    ZooKeeper(ZooKeeper),
    Consul(Consul),
}

macro_rules! ask {
    ($store:expr, $one:ident => $call:expr) => {
        match $store {
            Store::Etcd($one) => $call,
            Store::ZooKeeper($one) => $call,
            Store::Consul($one) => $call,
        }
    };
}

/// Everything goes away with the value.
pub(crate) struct Setting {
    pub(crate) kind: Kind,
    pub(crate) store: Store,
    scratch: Scratch,
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec).unwrap() * 1_000 + u64::try_from(time.tv_nsec).unwrap() / 1_000_000
}

/// How often something is repeated: as `COREFLAKE_CYCLES` says, else `short`.
pub(crate) fn cycles(short: u32) -> u32 {
    std::env::var("COREFLAKE_CYCLES").map_or(short, |cycles| cycles.parse().unwrap())
}

impl Kind {
    /// As in `--store`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ZooKeeper => "zookeeper",
            Self::Consul => "consul",
        }
    }

    /// The flags of a server that finds the store at these addresses.
    pub(crate) fn flags(self, addresses: &[SocketAddr]) -> Vec<String> {
        let scheme = if self == Self::ZooKeeper { "" } else { "http://" };
        let endpoints: Vec<_> = addresses.iter().map(|at| format!("{scheme}{at}")).collect();
        self.flags_to(&endpoints.join(","))
    }

    fn flags_to(self, endpoints: &str) -> Vec<String> {
        ["--store", self.name(), "--store-endpoints", endpoints].map(str::to_owned).into()
    }

    /// What a request contains that writes a record, and no other does: how its bytes begin.
    pub(crate) const fn written(self) -> &'static [u8] {
        match self {
            Self::Etcd | Self::ZooKeeper => b"CFREC",
            // The same in base64.
            Self::Consul => b"Q0ZSRUMB",
        }
    }

    /// The shortest session that the store accepts of a server of IDs.
    pub(crate) const fn session_ms(self) -> &'static str {
        match self {
            Self::Etcd | Self::ZooKeeper => "2000",
            Self::Consul => "10000",
        }
    }
}

impl Store {
    #[track_caller]
    fn start(kind: Kind, name: &str) -> Self {
        match kind {
            Kind::Etcd => Self::Etcd(Etcd::start(name)),
            Kind::ZooKeeper => Self::ZooKeeper(ZooKeeper::start(name)),
            Kind::Consul => Self::Consul(Consul::start(name)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ask!(self, store => store.address())
    }

    pub(crate) fn endpoint(&self) -> String {
        ask!(self, store => store.endpoint())
    }

    pub(crate) fn kill(&mut self) {
        ask!(self, store => store.kill());
    }

    /// Returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        ask!(self, store => store.restart());
    }

    #[track_caller]
    pub(crate) fn snapshot(&self, path: &Path) {
        ask!(self, store => store.snapshot(path));
    }

    #[track_caller]
    pub(crate) fn restore(&mut self, path: &Path) {
        ask!(self, store => store.restore(path));
    }

    /// Starts anew, at the same address, and knows nothing any more.
    #[track_caller]
    pub(crate) fn forget(&mut self) {
        ask!(self, store => store.forget());
    }
}

impl Setting {
    /// A store with the records of datacenter 0.
    #[track_caller]
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        let setting = Self::empty(kind, name);
        setting.slots("init", &[]).assert_code(0);
        setting
    }

    /// A store that knows nothing yet.
    #[track_caller]
    pub(crate) fn empty(kind: Kind, name: &str) -> Self {
        Self::of(kind, Store::start(kind, name), name)
    }

    pub(crate) fn of(kind: Kind, store: Store, name: &str) -> Self {
        let scratch = Scratch::new(&format!("setting-{}-{name}", kind.name()));
        Self { kind, store, scratch }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The keys and values of the store, as somebody sees them who comes by another way.
    pub(crate) fn values(&self) -> Values<'_> {
        Values::of(&self.store)
    }

    /// The command of a server with a state directory of this name, for every start the same.
    pub(crate) fn command(&self, state: &str, args: &[&str]) -> Command {
        self.command_with(&self.kind.flags_to(&self.store.endpoint()), state, args)
    }

    fn command_with(&self, flags: &[String], state: &str, args: &[&str]) -> Command {
        let (flags, state) = (flags.iter().map(String::as_str), self.path(state));
        let all: Vec<_> = flags.chain(["--state-dir", state.to_str().unwrap()]).collect();
        Server::command(&[&all, args].concat())
    }

    #[track_caller]
    pub(crate) fn serve(&self, state: &str, args: &[&str]) -> Server {
        launch(self.command(state, args))
    }

    /// A server that finds the store elsewhere.
    #[track_caller]
    pub(crate) fn serve_at(&self, at: SocketAddr, state: &str, args: &[&str]) -> Server {
        launch(self.command_with(&self.kind.flags(&[at]), state, args))
    }

    /// Starts a server that has to end by itself, since the configuration makes no sense, and to
    /// say these words.
    #[track_caller]
    pub(crate) fn refuses(&self, state: &str, args: &[&str], words: &[&str]) -> Finished {
        let finished = feed(&mut self.command(state, args), b"");
        finished.assert_code(78).assert_says(words);
        assert_eq!(finished.stdout, "", "it is not ready");
        finished
    }

    /// Starts a server, checks that its first ID is above this time, and stops it.
    #[track_caller]
    pub(crate) fn serves_above(&self, floor_ms: u64, state: &str, args: &[&str]) {
        let server = self.serve(state, args);
        let id = take(server.tcp, 1)[0].first().get();
        assert!(unix_ms(id) > floor_ms, "{id} is of {}, not above {floor_ms}", unix_ms(id));
        server.stop();
    }

    /// Runs `coreflake slots COMMAND` on the store.
    pub(crate) fn slots(&self, command: &str, args: &[&str]) -> Finished {
        let flags = self.kind.flags_to(&self.store.endpoint());
        feed(coreflake().args(["slots", command]).args(flags).args(PATIENT).args(args), b"")
    }
}

#[track_caller]
fn launch(command: Command) -> Server {
    Server::launch(command).unwrap_or_else(|ended| panic!("not ready: {ended:#?}"))
}
