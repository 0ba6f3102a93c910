//! What a server says of itself while something happens to its store.

use std::fs;

use coreflake_protocol::ErrorCode;
use serde_json::Value;

use crate::common::frames::generate;
use crate::common::{PATIENCE, Peer, Server, until};
use crate::curl::curl;

/// Looks at a server from outside.
pub(crate) trait Watched {
    /// What it answers to a question after its health.
    fn health(&self) -> Value;

    /// `good`, `doubtful` or `broken`.
    fn store_state(&self) -> String;

    /// The workers whose slots it has.
    fn workers(&self) -> Vec<u64>;

    /// The sum of a metric.
    fn metric(&self, name: &str) -> f64;

    /// How many threads it has.
    fn threads(&self) -> usize;

    /// Waits until its store is in this state.
    fn wait_for_store(&self, state: &str);

    /// Asks for an ID until it is refused, for the end of the window and nothing else.
    fn wait_for_refusal(&self);

    /// Asks for an ID until there is one.
    fn wait_for_id(&self);
}

impl Watched for Server {
    #[track_caller]
    fn health(&self) -> Value {
        let url = format!("http://{}/api/v1/health", self.http());
        let answer = curl(&url, PATIENCE, &[]).expect("it answers");
        serde_json::from_str(&answer.body).unwrap()
    }

    fn store_state(&self) -> String {
        self.health()["store_state"].as_str().unwrap().to_owned()
    }

    fn workers(&self) -> Vec<u64> {
        let health = self.health();
        health["worker_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    }

    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/api/v1/metrics", self.http());
        let page = curl(&url, PATIENCE, &[]).expect("it answers").body;
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        };
        let lines: Vec<_> = page.lines().filter(of_name).collect();
        assert!(!lines.is_empty(), "no {name}: {page}");
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.id())).unwrap().count()
    }

    #[track_caller]
    fn wait_for_store(&self, state: &str) {
        until(&format!("the store is {state}"), || (self.store_state() == state).then_some(()));
    }

    #[track_caller]
    fn wait_for_refusal(&self) {
        let mut peer = Peer::connect(self.tcp);
        until("the end of the window", || {
            let reply = peer.ask(&generate(7, 1));
            let error = reply.error()?;
            assert_eq!(error.known_code(), Some(ErrorCode::WindowExhausted), "{error:?}");
            assert!(error.retry_after_ms > 0, "{error:?}");
            Some(())
        });
    }

    #[track_caller]
    fn wait_for_id(&self) {
        let mut peer = Peer::connect(self.tcp);
        until("an ID", || peer.ask(&generate(7, 1)).error().is_none().then_some(()));
    }
}
