//! Writing families of samples that are read when somebody asks.

use core::fmt;

use coreflake_protocol::Slot;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// One label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Where a collector writes.
#[derive(Debug)]
pub(super) struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// A counter with one sample per label. Its name has no `_total`: that is the format's affair.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Label<'l>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, kind)?;
        for (label, count) in samples {
            family.encode_family(&[label])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// A counter without labels, in whole things or in seconds.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        count: f64,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), unit, kind)?;
        family.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    /// A gauge without labels.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        self.encoder.encode_descriptor(name, &sentence(help), unit, kind)?.encode_gauge(&value)
    }

    /// A gauge with a unit and one sample per label.
    pub(super) fn gauges_of<'l>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Label<'l>, f64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), unit, kind)?;
        for (label, value) in samples {
            family.encode_family(&[label])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A gauge with one sample per label.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Label<'l>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, kind)?;
        for (label, value) in samples {
            family.encode_family(&[label])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// What does not change while the server runs, as labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[Label<'_>]) -> fmt::Result {
        let kind = MetricType::Info;
        self.encoder.encode_descriptor(name, &sentence(help), None, kind)?.encode_info(&labels)
    }

    /// A gauge that is 1 for each of these slots.
    pub(super) fn slots(&mut self, name: &str, help: &str, slots: &[Slot]) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.encoder.encode_descriptor(name, &sentence(help), None, kind)?;
        for slot in slots {
            let (datacenter, worker) = (slot.datacenter_id(), slot.worker_id());
            let labels =
                [("datacenter_id", datacenter.to_string()), ("worker_id", worker.to_string())];
            family.encode_family(&labels)?.encode_gauge(&1_u64)?;
        }
        Ok(())
    }

    /// A histogram of seconds with one set of buckets per label: `(upper bound, count)` each, the
    /// last bound being infinite, counted in one bucket only.
    pub(super) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Label<'l>, f64, Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut family =
            self.encoder.encode_descriptor(name, &sentence(help), Some(&Unit::Seconds), kind)?;
        for (label, sum, buckets) in samples {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let labels = [label];
            let mut family = family.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// The other families' help, written by the library, ends like one.
fn sentence(help: &str) -> String {
    format!("{help}.")
}
