//! IDs that came one by one, as the runs that the ledger takes.

use std::num::NonZeroU32;

use coreflake_protocol::{Id, Run};

/// The same IDs in the same order, consecutive ones together.
pub(crate) fn runs(ids: &[Id]) -> impl Iterator<Item = Run> + '_ {
    ids.chunk_by(|id, next| id.get() + 1 == next.get()).filter_map(|chunk| {
        let count = u32::try_from(chunk.len()).ok().and_then(NonZeroU32::new)?;
        Run::new(*chunk.first()?, count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ids_are_one_run() {
        let ids = [5, 6, 7, 9, 9, 10, 3, i64::MAX as u64].map(|id| Id::new(id).unwrap());
        let pairs = runs(&ids).map(|run| (run.first().get(), run.count().get()));
        let expected = [(5, 3), (9, 1), (9, 2), (3, 1), (i64::MAX as u64, 1)];
        assert_eq!(pairs.collect::<Vec<_>>(), expected);
        assert_eq!(runs(&[]).count(), 0);
    }
}
