//! The page of metrics, in either format.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::http;

pub(crate) const PATH: &str = "/api/v1/metrics";
pub(crate) const TEXT: &str = "text/plain";
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text";

/// One family of series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) samples: usize,
}

/// The page as text.
#[track_caller]
pub(crate) fn fetch(server: SocketAddr, accept: &str) -> String {
    http::get(server, PATH, accept).body
}

/// The families on a page of Prometheus text, by name. The parts of a histogram are one family, and
/// its bounds no label.
#[track_caller]
pub(crate) fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            assert_eq!(families.insert(name.to_owned(), family), None, "{name} is there twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "no number: {line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
                let whole = name.strip_suffix(part)?;
                families.contains_key(whole).then_some(whole)
            });
            let family = families.get_mut(whole.unwrap_or(name)).expect("a type before samples");
            // No value of ours has a comma or a brace in it.
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let names = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            family.labels.extend(names.filter(|name| name != "le"));
            family.samples += 1;
        }
    }
    families
}
