//! Which slots a server has.

use coreflake_protocol::{Layout, Slot};

use crate::args::{ServeArgs, WorkerMode, WorkerPool};
use crate::config::problem::Problem;

/// Which slots a server has: these, or free ones of a pool.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The datacenter part of all.
    pub datacenter_id: u16,
    /// The slots that may be had, ascending.
    pub pool: Vec<Slot>,
    /// How many of them.
    pub count: u16,
    /// Whether the pool has just so many: the ones that were asked for by their numbers.
    pub fixed: bool,
}

impl WorkerConfig {
    pub(super) fn of(args: &ServeArgs, layout: &Layout) -> Result<Self, Vec<Problem>> {
        let count = args.worker_slots.unwrap_or(1);
        let datacenter_id = args.datacenter_id.unwrap_or(0);
        let ids = [(datacenter_id, 0), (0, args.worker_id.unwrap_or(0))];
        let wrong = ids.into_iter().filter_map(|(datacenter_id, worker_id)| {
            let error = layout.slot(datacenter_id, worker_id).err()?;
            Some(Problem::of(&[error.field], error.to_string()))
        });
        let wrong: Vec<_> = wrong.collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Self::of_pool(args, layout, datacenter_id, count).map_err(|problem| vec![problem])
    }

    fn of_pool(
        args: &ServeArgs,
        layout: &Layout,
        datacenter_id: u64,
        count: u16,
    ) -> Result<Self, Problem> {
        let fixed = args.worker_mode != Some(WorkerMode::Dynamic);
        let pool = if fixed { Self::named(args, layout)? } else { Self::free(args, layout)? };
        let slot = |worker_id: u64| {
            let slot = layout.slot(datacenter_id, worker_id);
            slot.map_err(|error| Problem::of(&[error.field], error.to_string()))
        };
        let pool: Vec<_> = pool.map(slot).collect::<Result<_, _>>()?;
        let datacenter_id = pool.first().map_or(0, |slot| slot.datacenter_id());
        Ok(Self { datacenter_id, pool, count, fixed })
    }

    /// The slots with the numbers that were given.
    fn named(args: &ServeArgs, layout: &Layout) -> Result<core::ops::RangeInclusive<u64>, Problem> {
        if args.worker_pool.is_some() {
            let text = "worker-pool: a pool is there to take free worker IDs from; that is what \
                        --worker-mode dynamic does";
            return Err(Problem::of(&["worker.pool", "worker.mode"], text.to_owned()));
        }
        let first = args.worker_id.unwrap_or(0);
        let count = u64::from(args.worker_slots.unwrap_or(1));
        let last = first.saturating_add(count - 1);
        let max = layout.worker_id_max();
        if first <= max && last > max {
            return Err(Problem::of(
                &["worker.slots", "worker_id"],
                format!(
                    "worker-slots {count}: with worker-id {first} the last one would be {last}; 0 \
                     to {max} are allowed"
                ),
            ));
        }
        Ok(first..=last)
    }

    /// The slots of which free ones are taken.
    fn free(args: &ServeArgs, layout: &Layout) -> Result<core::ops::RangeInclusive<u64>, Problem> {
        if let Some(worker_id) = args.worker_id {
            return Err(Problem::of(
                &["worker_id", "worker.mode"],
                format!(
                    "worker-id {worker_id}: with --worker-mode dynamic a free one is taken; name \
                     those that may be with --worker-pool"
                ),
            ));
        }
        let max = layout.worker_id_max();
        let (first, last) = match args.worker_pool {
            None => (0, max),
            Some(WorkerPool { first, last }) => (first.into(), last.into()),
        };
        if last > max {
            return Err(Problem::of(
                &["worker.pool"],
                format!("worker-pool {first}-{last}: 0 to {max} are allowed"),
            ));
        }
        let (count, size) = (u64::from(args.worker_slots.unwrap_or(1)), last - first + 1);
        if count > size {
            return Err(Problem::of(
                &["worker.slots", "worker.pool"],
                format!("worker-slots {count}: the pool has {size} worker IDs"),
            ));
        }
        Ok(first..=last)
    }
}
