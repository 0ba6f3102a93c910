//! A real Prometheus that scrapes servers of the tests.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::common::{Scratch, free_port, until};
use crate::http;

/// Where the configuration that comes with the server lives.
pub(crate) fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// A Prometheus with the example configuration, except that it looks every second. It ends with
/// the value.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    scratch: Scratch,
}

/// An alert that fires: its name, and whom it is about.
pub(crate) type Firing = (String, SocketAddr);

impl Prometheus {
    #[track_caller]
    pub(crate) fn start(name: &str, targets: &[SocketAddr]) -> Self {
        let scratch = Scratch::new(&format!("prometheus-{name}"));
        let config = scratch.file("prometheus.yml", 0o600, config(targets).as_bytes());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = File::create(scratch.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.tsdb.path={}", scratch.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is missing: install the package prometheus");
        let mut prometheus = Self { child, address, scratch };
        until("Prometheus is ready", || {
            assert_eq!(prometheus.child.try_wait().unwrap(), None, "{}", prometheus.log());
            let answer = http::try_get(address, "/-/ready", "*/*").ok()?;
            (answer.status == 200).then_some(())
        });
        prometheus
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap()
    }

    /// What its API says under `path`, which has to be a success.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("/api/v1/{path}?{query}");
        let answer = http::try_get(self.address, &path, "*/*").unwrap();
        let mut said: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(said["status"], "success", "{parameters:?}: {said}");
        said["data"].take()
    }

    /// The numbers that a query gives now; those that are none are left out.
    #[track_caller]
    pub(crate) fn query(&self, query: &str) -> Vec<f64> {
        let data = self.ask("query", &[("query", query)]);
        let samples = data["result"].as_array().unwrap().iter();
        let numbers = samples.map(|sample| sample["value"][1].as_str().unwrap().parse::<f64>());
        numbers.map(Result::unwrap).filter(|number| !number.is_nan()).collect()
    }

    /// The alerts that fire now.
    #[track_caller]
    pub(crate) fn firing(&self) -> BTreeSet<Firing> {
        let data = self.ask("alerts", &[]);
        let alerts = data["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing").map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap().to_owned();
            (label("alertname"), label("instance").parse().unwrap())
        });
        firing.collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example with other targets, other intervals, and the rules where they are.
fn config(targets: &[SocketAddr]) -> String {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let rules = deployed("prometheus/coreflake.rules.yml");
    let changes = [
        ("scrape_interval: 15s", "scrape_interval: 1s\n  scrape_timeout: 1s".to_owned()),
        ("evaluation_interval: 15s", "evaluation_interval: 1s".to_owned()),
        ("- coreflake.rules.yml", format!("- \"{}\"", rules.display())),
        ("[\"127.0.0.1:8080\"]", format!("[{}]", targets.join(", "))),
    ];
    let example = fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
    changes.iter().fold(example, |config, (from, to)| {
        assert_eq!(config.matches(from).count(), 1, "`{from}` in the example");
        config.replace(from, to)
    })
}
