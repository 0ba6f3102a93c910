//! When to reserve more time, and how much.

/// The bound to ask for now, or `None` while enough is left. All in milliseconds.
///
/// The bound is always `now_ms + ahead_ms`, never the old bound and something more: however often a
/// node crashes and starts again, the bound stays within `ahead_ms` of the clock (TiKV PD adds to
/// the old bound instead and walks into the future in a crash loop).
pub fn target(now_ms: u64, hi_ms: u64, ahead_ms: u64) -> Option<u64> {
    let left_ms = hi_ms.saturating_sub(now_ms);
    let target_ms = now_ms.saturating_add(ahead_ms);
    (left_ms < ahead_ms - ahead_ms / 3 && target_ms > hi_ms).then_some(target_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_window_is_used_before_the_next_is_asked_for() {
        let (now, hi) = (1_000, 4_000);
        assert_eq!(target(now, hi, 3_000), None);
        assert_eq!(target(now + 1_000, hi, 3_000), None);
        assert_eq!(target(now + 1_001, hi, 3_000), Some(5_001));
        assert_eq!(target(now + 9_000, hi, 3_000), Some(13_000));
    }

    #[test]
    fn a_bound_ahead_of_the_clock_is_left_alone() {
        assert_eq!(target(10, 4_000, 3_000), None);
    }
}
