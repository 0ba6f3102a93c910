//! The report for people.

use std::fmt;

use crate::lanes::Lane;
use crate::report::{Latency, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting(f)?;
        self.rates(f)?;
        self.latencies(f)?;
        self.lane_table(f)?;
        self.verification(f)?;
        if let Some(slo) = self.slo_p99 {
            let verdict = if slo.met { "met" } else { "MISSED" };
            writeln!(f, "\np99 objective   {} us: {verdict}", slo.objective_us)?;
        }
        if !(self.warnings.is_empty() && self.failures.is_empty()) {
            writeln!(f)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for failure in &self.failures {
            writeln!(f, "FAILED: {failure}")?;
        }
        Ok(())
    }
}

impl Report {
    fn setting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "target          {}", self.target)?;
        writeln!(f, "mode            {}", self.mode_note)?;
        writeln!(
            f,
            "connections     {} x {} requests in flight, {} threads",
            self.connections, self.pipeline, self.threads
        )?;
        writeln!(f, "ids per request {} of kind {}", self.count, self.kind)?;
        writeln!(
            f,
            "measured        {:.3} s after {:.3} s of warmup",
            self.seconds, self.warmup_seconds
        )
    }

    fn rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nrequests        {:<12} {:.1} /s", self.requests, self.requests_per_second)?;
        if let (Some(rate), Some(achieved)) = (self.rate, self.achieved()) {
            write!(f, " of {rate} /s asked ({:.2} %)", achieved * 100.0)?;
        }
        writeln!(f, "\nids             {:<12} {:.1} /s", self.ids, self.ids_per_second)?;
        writeln!(
            f,
            "errors          {:<12} {} lost, {} unmatched, {} unsent",
            self.errors, self.lost, self.unmatched, self.unsent
        )?;
        for (code, count) in &self.errors_by_code {
            writeln!(f, "  {code:<24} {count}")?;
        }
        Ok(())
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns =
            ["p50", "p90", "p99", "p99.9", "max", "mean"].map(|name| format!("{name:>10}"));
        writeln!(f, "\nlatency in us    {}", columns.join(" "))?;
        let (corrected, uncorrected) = ("from intended", "from sent");
        let first = if self.rate.is_some() { corrected } else { uncorrected };
        let rows = [(first, self.latency_us), (uncorrected, self.latency_uncorrected_us)];
        for (name, latency) in rows {
            if let Some(Latency { p50, p90, p99, p99_9, max, mean }) = latency {
                let columns = [p50, p90, p99, p99_9, max, mean].map(|us| format!("{us:>10.1}"));
                writeln!(f, "  {name:<14} {}", columns.join(" "))?;
            }
        }
        Ok(())
    }

    fn lane_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lanes.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n  slot    lane connections          ids        waits  pool claims  (by the server, \
             with warmup)"
        )?;
        for lane in &self.lanes {
            let Lane { datacenter_id, worker_id, lane, connections, ids, waits, pool_claims } =
                lane;
            let [ids, waits, pool_claims] = [ids, waits, pool_claims]
                .map(|count| count.map_or_else(|| "?".to_owned(), |count| count.to_string()));
            let slot = format!("{datacenter_id}/{worker_id}");
            writeln!(
                f,
                "  {slot:<7} {lane:>4} {connections:>11} {ids:>12} {waits:>12} {pool_claims:>12}"
            )?;
        }
        Ok(())
    }

    fn verification(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nverification, warmup included")?;
        let whole_run = self.whole_run;
        writeln!(f, "  attempted          {} requests", whole_run.attempted)?;
        writeln!(f, "  acknowledged       {} requests, {} IDs", whole_run.requests, whole_run.ids)?;
        if let (Some(distinct), Some(intervals)) = (self.distinct, self.intervals) {
            writeln!(f, "  distinct           {distinct} IDs in {intervals} intervals")?;
        }
        match self.duplicates {
            Some(duplicates) => writeln!(f, "  duplicates         {duplicates}")?,
            None => writeln!(f, "  duplicates         not checked: --verify does")?,
        }
        writeln!(f, "  order violations   {}", self.order_violations)?;
        if let Some(foreign_ids) = self.foreign_ids {
            writeln!(f, "  foreign IDs        {foreign_ids}")?;
        }
        if let (Some(smallest), Some(largest)) = (&self.smallest_id, &self.largest_id) {
            writeln!(f, "  smallest, largest  {smallest}, {largest}")?;
        }
        Ok(())
    }
}
