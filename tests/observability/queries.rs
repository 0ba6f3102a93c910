//! The queries of the dashboard and of the document, run by a real Prometheus.

use std::time::Duration;

use crate::common::{Server, until};
use crate::fake::Fake;
use crate::greed::Greed;
use crate::prometheus::Prometheus;
use crate::{dashboard, document, doors};

#[test]
fn every_query_of_the_dashboard_and_of_the_document_has_data() {
    let time = Fake::ahead_ms(40);
    let server = Server::start(&["--ntp-server", &time.name(), "--ntp-interval-ms", "500"]);
    doors::ask_all(&server);
    let _load = Greed::start(server.tcp, 1, 10, Duration::from_millis(5));
    let prometheus = Prometheus::start("queries", &[server.http()]);
    let documented = document::queries();
    let queries = documented.iter().map(|(name, query)| (name.clone(), query.clone()));
    for (name, query) in queries.chain(dashboard::queries()) {
        until(&format!("{name}: data of {query}"), || {
            (!prometheus.query(&query).is_empty()).then_some(())
        });
    }

    // What the numbers of the document are, as far as that is known. What a busy machine has spoilt
    // is right a second later; what is wrong stays wrong.
    for (name, expected) in [
        ("clock_drift_ms", 10.0..70.0),
        ("ntp_sync_status", 1.0..1.1),
        ("id_generation_latency_ms", 0.001..1_000.0),
        // There may be a stall in what is taken for a second.
        ("ids_per_second", 1.0..4_000.0),
        ("total_ids_generated", 400.0..1e9),
    ] {
        until(&format!("{name} in {expected:?}"), || {
            let numbers = prometheus.query(&documented[name]);
            numbers.first().is_some_and(|number| expected.contains(number)).then_some(())
        });
    }
    let age_ms = prometheus.query(&format!("1000 * time() - {}", documented["last_id_timestamp"]));
    assert!((-1_000.0..10_000.0).contains(&age_ms[0]), "{age_ms:?}");
    assert_eq!(prometheus.query("sum(coreflake_errors_total)"), [3.0], "asked for on purpose");

    // Only OpenMetrics tells units: so that is what was read.
    let about = prometheus.ask("metadata", &[("metric", "coreflake_uptime_seconds")]);
    assert_eq!(about["coreflake_uptime_seconds"][0]["unit"], "seconds", "{about}");
    let targets = prometheus.ask("targets", &[]);
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
}
