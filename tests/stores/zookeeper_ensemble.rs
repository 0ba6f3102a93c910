//! A ZooKeeper of three servers.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::process::Output;

use crate::ensemble::{Ensemble, Place};
use crate::network::within;
use crate::zookeeper::{cli, epoch, mode, server};

const CLIENT_PORT: u16 = 2181;

pub(crate) struct ZooKeeperEnsemble(Ensemble);

impl ZooKeeperEnsemble {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let line = |place: Place<'_>| {
            let peers = place.addresses.iter().enumerate();
            let peers = peers.map(|(index, at)| format!("server.{index}={}:2888:3888\n", at.ip()));
            let address = place.addresses[place.index];
            let line = server(&place.folder, address, &peers.collect::<String>());
            // Who of them it is, it reads beside its data.
            fs::write(place.folder.join("data/myid"), place.index.to_string()).unwrap();
            line
        };
        let is_ready = |address| mode(address).is_some();
        Self(Ensemble::start(&format!("zookeeper-{name}"), CLIENT_PORT, line, is_ready))
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.addresses().iter().map(ToString::to_string).collect()
    }

    /// The leader of the latest time that has a follower.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        self.0.find_leader(|addresses| {
            let modes: Vec<_> = addresses.iter().map(|address| mode(*address)).collect();
            let is = |index: &usize, what: &str| modes[*index].as_deref() == Some(what);
            let followed = (0..modes.len()).any(|index| is(&index, "follower"));
            let leaders = (0..modes.len()).filter(|index| followed && is(index, "leader"));
            leaders.max_by_key(|index| epoch(addresses[*index]))
        })
    }

    /// zkCli in the place of a client, with these members as endpoints.
    pub(crate) fn try_cli(&self, members: &[usize], args: &[&str]) -> Output {
        let endpoints: Vec<_> =
            members.iter().map(|index| self.endpoints()[*index].clone()).collect();
        within(self.client(), || cli(&endpoints.join(","), &[], args))
    }

    /// The same, which has to succeed, with all of them.
    #[track_caller]
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = self.try_cli(&[0, 1, 2], args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Deref for ZooKeeperEnsemble {
    type Target = Ensemble;

    fn deref(&self) -> &Ensemble {
        &self.0
    }
}

impl DerefMut for ZooKeeperEnsemble {
    fn deref_mut(&mut self) -> &mut Ensemble {
        &mut self.0
    }
}
