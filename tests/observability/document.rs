//! The document of the metrics, compared with a running server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::Server;
use crate::doors;
use crate::page::{self, Family, TEXT};

/// The rows of the table under this heading, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What stands in the backquotes of a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The query for each of the usual metrics.
pub(crate) fn queries() -> BTreeMap<String, String> {
    let rows = table("What is usually asked");
    rows.iter().map(|row| (quoted(&row[0]).remove(0), quoted(&row[1]).remove(0))).collect()
}

/// The families that are documented, as they are on the page.
fn documented() -> BTreeMap<String, Family> {
    let rows = table("All series");
    let family = |row: &Vec<String>| {
        let kind = if row[1] == "info" { "gauge" } else { &row[1] }.to_owned();
        let labels = quoted(&row[2]).into_iter().collect();
        (quoted(&row[0]).remove(0), Family { kind, labels, samples: 0 })
    };
    rows.iter().map(family).collect()
}

#[test]
fn every_series_is_documented_and_every_documented_series_is_there() {
    let server = Server::start(&[]);
    doors::ask_all(&server);
    let mut families = page::families(&page::fetch(server.http(), TEXT));
    for (name, family) in &mut families {
        assert!(family.samples > 0, "{name} has no sample");
        family.samples = 0;
    }
    let documented = documented();
    for (name, family) in &families {
        assert_eq!(documented.get(name), Some(family), "{name} in the document, and on the page");
    }
    for name in documented.keys() {
        assert!(families.contains_key(name), "{name} is not on the page");
    }
    server.stop();
}

#[test]
fn every_usual_metric_has_a_query() {
    let wanted = [
        "id_generation_latency_ms",
        "id_generation_rate",
        "sequence_overflow_count",
        "clock_regression_count",
        "cpu_usage_percent",
        "memory_usage_bytes",
        "goroutines_count",
        "uptime_seconds",
        "last_id_timestamp",
        "clock_drift_ms",
        "ntp_sync_status",
        "total_ids_generated",
        "ids_per_second",
        "error_rate",
    ];
    let queries = queries();
    assert_eq!(queries.len(), wanted.len());
    for name in wanted {
        assert!(queries.contains_key(name), "{name}");
    }
}

#[test]
fn every_alert_is_documented_with_its_severity() {
    let rules = fs::read_to_string(crate::prometheus::deployed("prometheus/coreflake.rules.yml"));
    let rules = rules.unwrap();
    let alerts = rules.split("- alert: ").skip(1).map(|rule| {
        let severity = rule.split("severity: ").nth(1).unwrap().lines().next().unwrap();
        (rule.lines().next().unwrap().to_owned(), severity.to_owned())
    });
    let documented =
        table("Alerts").into_iter().map(|row| (quoted(&row[0]).remove(0), row[2].clone()));
    assert_eq!(alerts.collect::<Vec<_>>(), documented.collect::<Vec<_>>());
}
