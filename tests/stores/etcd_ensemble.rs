//! An etcd of three members.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::curl::curl;
use crate::ensemble::{Ensemble, MEMBERS};
use crate::etcd::{PATIENT, etcdctl, is_healthy, server};
use crate::network::within;

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

pub(crate) struct EtcdEnsemble(Ensemble);

impl EtcdEnsemble {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let line = |place: crate::ensemble::Place<'_>| {
            let peer = |index: usize| format!("http://{}:{PEER_PORT}", place.addresses[index].ip());
            let named = |index: usize| format!("member{index}");
            let cluster: Vec<_> =
                (0..MEMBERS).map(|index| format!("{}={}", named(index), peer(index))).collect();
            let client = format!("http://{}", place.addresses[place.index]);
            let data = place.folder.join("data");
            server(&named(place.index), &data, &client, &peer(place.index), &cluster.join(","))
        };
        let is_ready = |address| is_healthy(&format!("http://{address}/health"), &[]);
        Self(Ensemble::start(&format!("etcd-{name}"), CLIENT_PORT, line, is_ready))
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.addresses().iter().map(|address| format!("http://{address}")).collect()
    }

    /// The member that most follow.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        self.0.find_leader(|addresses| {
            let seen: Vec<_> = addresses.iter().map(|address| status(*address)).collect();
            let mut leaders = seen.iter().enumerate().filter_map(|(index, status)| {
                let leader = &status.as_ref()?.member;
                let follows = |other: &Option<Status>| {
                    other.as_ref().is_some_and(|other| &other.leader == leader)
                };
                (2 * seen.iter().filter(|other| follows(other)).count() > MEMBERS).then_some(index)
            });
            leaders.next()
        })
    }

    /// etcdctl in the place of a client, with these members as endpoints.
    pub(crate) fn try_ctl(&self, members: &[usize], args: &[&str]) -> Output {
        let endpoints: Vec<_> =
            members.iter().map(|index| self.endpoints()[*index].clone()).collect();
        within(self.client(), || etcdctl(&endpoints.join(","), args))
    }

    /// The same, which has to succeed, with all of them.
    #[track_caller]
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let output = self.try_ctl(&[0, 1, 2], &[&PATIENT[..], args].concat());
        assert!(output.status.success(), "etcdctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What a member says of itself.
struct Status {
    member: String,
    leader: String,
}

fn status(member: SocketAddr) -> Option<Status> {
    let url = format!("http://{member}/v3/maintenance/status");
    let answer = curl(&url, Duration::from_millis(500), &["--data", "{}"])?;
    let said: Value = serde_json::from_str(&answer.body).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Status { member: text(&said["header"]["member_id"])?, leader: text(&said["leader"])? })
}

impl Deref for EtcdEnsemble {
    type Target = Ensemble;

    fn deref(&self) -> &Ensemble {
        &self.0
    }
}

impl DerefMut for EtcdEnsemble {
    fn deref_mut(&mut self) -> &mut Ensemble {
        &mut self.0
    }
}
