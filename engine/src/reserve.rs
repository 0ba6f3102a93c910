//! When to reserve more ticks, and how many.

use coreflake_protocol::Tick;

/// The bound to ask for now, or `None` while enough is left.
///
/// The bound is always `now + ahead`, never the old bound and something more: however often a node
/// crashes and starts again, the bound stays within `ahead` of the clock (TiKV PD adds to the old
/// bound instead and walks into the future in a crash loop).
pub fn target(now: Tick, hi: Tick, ahead_ticks: u64) -> Option<Tick> {
    let left = hi.since(now);
    let target = now.plus(ahead_ticks);
    (left < ahead_ticks - ahead_ticks / 3 && target > hi).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_window_is_used_before_the_next_is_asked_for() {
        let (now, hi) = (Tick::new(1_000), Tick::new(4_000));
        assert_eq!(target(now, hi, 3_000), None);
        assert_eq!(target(now.plus(1_000), hi, 3_000), None);
        assert_eq!(target(now.plus(1_001), hi, 3_000), Some(Tick::new(5_001)));
        assert_eq!(target(now.plus(9_000), hi, 3_000), Some(Tick::new(13_000)));
    }

    #[test]
    fn a_bound_ahead_of_the_clock_is_left_alone() {
        assert_eq!(target(Tick::new(10), Tick::new(4_000), 3_000), None);
    }
}
