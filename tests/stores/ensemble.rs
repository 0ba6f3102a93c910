//! Three members of a store, each on a machine of its own, and one machine more for its clients.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::common::{Scratch, until};
use crate::daemon::Daemon;
use crate::network::{Network, within};

pub(crate) const MEMBERS: usize = 3;

/// What the ensembles of all stores have in common. It ends with the value.
pub(crate) struct Ensemble {
    // The processes go before the machines, the machines before the files.
    members: Vec<Daemon>,
    addresses: Vec<SocketAddr>,
    network: Network,
    client: usize,
    is_ready: fn(SocketAddr) -> bool,
    _scratch: Scratch,
}

/// A member that is about to start.
pub(crate) struct Place<'a> {
    pub(crate) index: usize,
    /// Its own, for its files.
    pub(crate) folder: PathBuf,
    /// Where the members serve their clients.
    pub(crate) addresses: &'a [SocketAddr],
}

impl Ensemble {
    /// Starts the commands that `line` gives, and waits until `is_ready` says, in the place of a
    /// client, that each of them serves.
    #[track_caller]
    pub(crate) fn start(
        name: &str,
        port: u16,
        line: impl Fn(Place<'_>) -> Vec<String>,
        is_ready: fn(SocketAddr) -> bool,
    ) -> Self {
        let scratch = Scratch::new(&format!("ensemble-{name}"));
        let mut network = Network::new();
        let machines: Vec<_> = (0..MEMBERS).map(|_| network.add()).collect();
        let client = network.add();
        let address = |machine: &usize| SocketAddr::from((network.address(*machine), port));
        let addresses: Vec<_> = machines.iter().map(address).collect();
        let members = machines.iter().map(|&index| {
            let folder = scratch.path().join(index.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let log = folder.join("log");
            let line = line(Place { index, folder, addresses: &addresses });
            Daemon::start(line, log, Some(network.namespace(index).to_owned()))
        });
        let members = members.collect();
        let mut ensemble =
            Self { members, addresses, network, client, is_ready, _scratch: scratch };
        for index in 0..MEMBERS {
            ensemble.wait(index);
        }
        ensemble
    }

    /// Waits until a member serves.
    #[track_caller]
    pub(crate) fn wait(&mut self, index: usize) {
        let namespace = self.network.namespace(self.client).to_owned();
        let (address, is_ready) = (self.addresses[index], self.is_ready);
        self.members[index].wait_for("the member serves", || {
            within(&namespace, || is_ready(address)).then_some(())
        });
    }

    /// Where a member serves clients, as they see it.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The namespace of the machine for clients: for [`within`], `enter` and `in_namespace`.
    pub(crate) fn client(&self) -> &str {
        self.network.namespace(self.client)
    }

    /// The namespace of one machine more for clients, and its number for [`Network::cut`].
    #[track_caller]
    pub(crate) fn add_client(&mut self) -> (String, usize) {
        let machine = self.network.add();
        (self.network.namespace(machine).to_owned(), machine)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Starts a member again. Whether it finds the others is another matter: see
    /// [`Ensemble::wait`].
    #[track_caller]
    pub(crate) fn restart(&mut self, index: usize) {
        self.members[index].restart();
    }

    /// A frozen member keeps its connections, and what comes in meanwhile.
    pub(crate) fn freeze(&self, index: usize) {
        self.members[index].stop();
    }

    pub(crate) fn thaw(&self, index: usize) {
        self.members[index].go_on();
    }

    /// Cuts a member off from the others and from the clients.
    #[track_caller]
    pub(crate) fn partition(&self, index: usize) {
        self.network.cut(index);
    }

    #[track_caller]
    pub(crate) fn heal(&self, index: usize) {
        self.network.mend(index);
    }

    /// Cuts the clients off from all members.
    #[track_caller]
    pub(crate) fn partition_clients(&self) {
        self.network.cut(self.client);
    }

    #[track_caller]
    pub(crate) fn heal_clients(&self) {
        self.network.mend(self.client);
    }

    /// Waits until `leader` gives one, asked in the place of a client.
    #[track_caller]
    pub(crate) fn find_leader(
        &self,
        leader: impl Fn(&[SocketAddr]) -> Option<usize> + Sync,
    ) -> usize {
        until("a leader", || within(self.client(), || leader(&self.addresses)))
    }
}
