//! The process as the kernel sees it, under the names that every exporter uses.

use core::fmt;

use procfs::WithCurrentSystemInfo;
use procfs::process::Process as KernelProcess;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use tracing::debug;

use crate::metrics::page::Page;

/// This process.
#[derive(Debug)]
pub(super) struct Process;

/// What is read of it.
struct Look {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_files: usize,
    open_files_max: f64,
}

impl Look {
    #[allow(clippy::cast_precision_loss)] // Clock ticks and a limit, for people.
    fn take() -> procfs::ProcResult<Self> {
        let process = KernelProcess::myself()?;
        let stat = process.stat()?;
        let per_second = procfs::ticks_per_second() as f64;
        let boot_seconds = procfs::boot_time_secs()? as f64;
        let limit = process.limits()?.max_open_files.soft_limit;
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / per_second,
            start_seconds: boot_seconds + stat.starttime as f64 / per_second,
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads,
            open_files: process.fd_count()?,
            open_files_max: match limit {
                procfs::process::LimitValue::Unlimited => f64::INFINITY,
                procfs::process::LimitValue::Value(limit) => limit as f64,
            },
        })
    }
}

impl Collector for Process {
    #[allow(clippy::cast_precision_loss)] // Bytes and counts, for people.
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let look = match Look::take() {
            Ok(look) => look,
            // Without /proc there is nothing to say; everything else is said all the same.
            Err(error) => {
                debug!(%error, "the process cannot be looked at");
                return Ok(());
            }
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let mut page = Page::new(encoder);
        page.counter("process_cpu", "CPU time used, user and system", seconds, look.cpu_seconds)?;
        let help = "When the process was started, since the Unix epoch";
        page.gauge("process_start_time", help, seconds, look.start_seconds)?;
        let resident = look.resident_bytes as f64;
        page.gauge("process_resident_memory", "Resident memory", bytes, resident)?;
        let virtual_memory = look.virtual_bytes as f64;
        page.gauge("process_virtual_memory", "Virtual memory", bytes, virtual_memory)?;
        page.gauge("process_threads", "Threads", None, look.threads as f64)?;
        page.gauge("process_open_fds", "Open files", None, look.open_files as f64)?;
        page.gauge("process_max_fds", "Open files allowed", None, look.open_files_max)
    }
}
