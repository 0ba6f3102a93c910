//! Where things lie in a shared store.

/// The keys of one datacenter. Each begins with a slash, as the mission's tree does; a store whose
/// keys do not takes it off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    datacenter: String,
}

impl Keys {
    /// `prefix` begins with a slash and does not end with one.
    pub(crate) fn new(prefix: &str, datacenter_id: u16) -> Self {
        Self { datacenter: format!("{prefix}/datacenters/dc{datacenter_id}") }
    }

    /// Everything of the datacenter lies below this one: it ends with a slash.
    pub(crate) fn all(&self) -> String {
        format!("{}/", self.datacenter)
    }

    /// The folder of the datacenter.
    pub(crate) fn datacenter(&self) -> &str {
        &self.datacenter
    }

    /// What the namespace is.
    pub(crate) fn genesis(&self) -> String {
        format!("{}/genesis", self.datacenter)
    }

    /// The folder of the records, without a slash at its end.
    pub(crate) fn records(&self) -> String {
        format!("{}/slots", self.datacenter)
    }

    /// The record of a slot.
    pub(crate) fn record(&self, worker_id: u16) -> String {
        format!("{}/slots/worker{worker_id}", self.datacenter)
    }

    /// The folder of the markers, without a slash at its end.
    pub(crate) fn markers(&self) -> String {
        format!("{}/workers", self.datacenter)
    }

    /// The live marker of a slot.
    pub(crate) fn marker(&self, worker_id: u16) -> String {
        format!("{}/workers/worker{worker_id}", self.datacenter)
    }

    /// The worker that the last part of a key names: `worker5`, and nothing that only looks so.
    pub(crate) fn worker_id(name: &str) -> Option<u16> {
        let digits = name.strip_prefix("worker")?;
        let worker_id: u16 = digits.parse().ok()?;
        (worker_id.to_string() == digits).then_some(worker_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_the_mission_can_be_read_off() {
        let keys = Keys::new("/id-generator", 3);
        assert_eq!(keys.marker(5), "/id-generator/datacenters/dc3/workers/worker5");
        assert_eq!(keys.record(5), "/id-generator/datacenters/dc3/slots/worker5");
        assert!(keys.genesis().starts_with(&keys.all()));
    }

    #[test]
    fn only_what_is_written_so_is_a_worker() {
        assert_eq!(Keys::worker_id("worker31"), Some(31));
        for name in ["worker", "worker05", "worker+5", "worker-1", "worker65536", "5", "Worker5"] {
            assert_eq!(Keys::worker_id(name), None, "{name}");
        }
    }
}
