//! A network of a test's own: machines on one switch, each a network namespace, whose cables can be
//! pulled. It needs the administrator: where that is not possible a test fails.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::daemon;

/// The machines see only each other, so each network can have the same addresses.
pub(crate) struct Network {
    switch: String,
    machines: Vec<String>,
}

impl Network {
    #[track_caller]
    pub(crate) fn new() -> Self {
        // The number of the process would not do: it comes again, and one that was killed has left
        // its namespaces.
        let switch = format!("coreflake-{:016x}", fastrand::u64(..));
        // From here on it is removed, whatever fails.
        let network = Self { switch, machines: Vec::new() };
        ip(&["netns", "add", &network.switch]);
        network.on_the_switch(&["link", "add", "switch", "type", "bridge"]);
        network.on_the_switch(&["link", "set", "switch", "up"]);
        network
    }

    /// One machine more, at [`Network::address`].
    #[track_caller]
    pub(crate) fn add(&mut self) -> usize {
        let index = self.machines.len();
        let machine = format!("{}-{index}", self.switch);
        self.machines.push(machine);
        let machine = &self.machines[index];
        let (port, address) = (port(index), format!("{}/24", self.address(index)));
        ip(&["netns", "add", machine]);
        let pair = ["type", "veth", "peer", "name", "cable", "netns", machine];
        self.on_the_switch(&[&["link", "add", &port][..], &pair].concat());
        self.on_the_switch(&["link", "set", &port, "master", "switch", "up"]);
        ip(&["-n", machine, "address", "add", &address, "dev", "cable"]);
        ip(&["-n", machine, "link", "set", "cable", "up"]);
        ip(&["-n", machine, "link", "set", "lo", "up"]);
        index
    }

    pub(crate) fn address(&self, machine: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 231, 0, u8::try_from(1 + machine).unwrap())
    }

    /// The name of its namespace.
    pub(crate) fn namespace(&self, machine: usize) -> &str {
        &self.machines[machine]
    }

    /// Pulls the cable of a machine: what is under way is lost, and nobody is told.
    #[track_caller]
    pub(crate) fn cut(&self, machine: usize) {
        self.on_the_switch(&["link", "set", &port(machine), "down"]);
    }

    #[track_caller]
    pub(crate) fn mend(&self, machine: usize) {
        self.on_the_switch(&["link", "set", &port(machine), "up"]);
    }

    #[track_caller]
    fn on_the_switch(&self, args: &[&str]) {
        ip(&[&["-n", &self.switch], args].concat());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.machines.iter().chain([&self.switch]) {
            let _ = daemon::output("ip", &["netns", "delete", namespace]);
        }
    }
}

fn port(machine: usize) -> String {
    format!("port{machine}")
}

#[track_caller]
fn ip(args: &[&str]) {
    let output = daemon::output("ip", args);
    assert!(
        output.status.success(),
        "ip {args:?} failed: {}\nThis test makes network namespaces: run it as root. It is not \
         skipped, because then nothing would show what it shows.",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Moves this thread, and all that it starts from now on, into a namespace.
#[track_caller]
pub(crate) fn enter(namespace: &str) {
    let file = File::open(Path::new("/var/run/netns").join(namespace)).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// Does something in a namespace: on a thread of its own, since the way back would need rights that
/// the way there does not. Sockets and processes that it makes stay in there.
#[track_caller]
pub(crate) fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        enter(namespace);
        work()
    };
    let done = thread::scope(|scope| scope.spawn(inside).join());
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The command in a namespace, with the same process id. Its environment is what was set for it,
/// and no more: what it would have inherited cannot be asked.
pub(crate) fn in_namespace(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.env_clear().env("PATH", daemon::path());
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        inside.current_dir(directory);
    }
    inside
}
