//! How much each may ask for, tenant or caller: a bucket each, which fills evenly and never holds more than a burst.
//!
//! The bucket is kept as one moment, the generic cell rate algorithm (ITU-T I.371, annex A): when it would be full again. So a bucket that
//! nobody uses needs no room and no clock.

use spinwell_core::Micros;
use std::collections::HashMap;
use std::hash::Hash;

/// So many full buckets are swept away at once.
const SWEEP: usize = 1_024;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, at least 1.
    pub per_second: u32,
    /// Requests at once after a rest, at least 1.
    pub burst: u32,
}

/// The buckets of all.
#[derive(Debug)]
pub struct Quotas<W> {
    /// By when each is full again, in nanoseconds: at high rates a request takes less than a microsecond.
    full_at: HashMap<W, u64>,
}

impl<W> Default for Quotas<W> {
    fn default() -> Self {
        Self { full_at: HashMap::new() }
    }
}

impl<W: Clone + Eq + Hash> Quotas<W> {
    /// Takes somebody's requests out of his bucket, all of them or none. More than a burst are taken where the bucket is full, and it
    /// is in debt then. `now` is of any clock that does not go back.
    ///
    /// # Errors
    /// How long to wait until there is room for them.
    pub fn take(&mut self, now: Micros, who: &W, rate: Rate, requests: usize) -> Result<(), Micros> {
        let now = now.0.saturating_mul(1_000);
        let each = (SECOND * 1_000 / u64::from(rate.per_second.max(1))).max(1);
        let room = each.saturating_mul(u64::from(rate.burst.max(1)));
        let cost = each.saturating_mul(requests as u64);
        let full_at = self.full_at.get(who).copied().unwrap_or(0).max(now);
        let next = full_at.saturating_add(cost);
        let allowed = now.saturating_add(room.max(if full_at == now { cost } else { 0 }));
        if next > allowed {
            // A call of more than a burst waits for a full bucket.
            let fits_at = if cost > room { full_at } else { next - room };
            return Err(Micros(fits_at.saturating_sub(now).div_ceil(1_000)));
        }
        if self.full_at.len() >= SWEEP && !self.full_at.contains_key(who) {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        self.full_at.insert(who.clone(), next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::TenantId;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn tenant(name: &str) -> TenantId {
        TenantId(name.into())
    }

    #[test]
    fn a_burst_goes_through_and_then_the_rate_holds() {
        let mut quotas = Quotas::default();
        let mut take = |at, name: &str, count| quotas.take(Micros(at), &tenant(name), RATE, count);
        assert_eq!(take(0, "a", 3), Ok(()));
        assert_eq!(take(0, "a", 1), Err(Micros(100_000)));
        assert_eq!(take(0, "b", 2), Ok(()), "each has a bucket of its own");
        assert_eq!(take(99_999, "a", 1), Err(Micros(1)));
        assert_eq!(take(100_000, "a", 1), Ok(()));
        assert_eq!(take(10_000_000, "a", 3), Ok(()), "it holds no more than a burst");
        assert_eq!(take(10_000_000, "a", 1), Err(Micros(100_000)));
    }

    #[test]
    fn a_large_call_is_taken_by_a_full_bucket_and_paid_for_afterwards() {
        let mut quotas = Quotas::default();
        let mut take = |at, count| quotas.take(Micros(at), &tenant("a"), RATE, count);
        assert_eq!(take(0, 20), Ok(()));
        assert_eq!(take(0, 1), Err(Micros(1_800_000)));
        assert_eq!(take(1_800_000, 1), Ok(()));
        assert_eq!(take(1_800_000, 20), Err(Micros(300_000)), "until it is full");
    }

    #[test]
    fn in_the_long_run_nobody_gets_more_than_the_rate() {
        let mut quotas = Quotas::default();
        let rate = Rate { per_second: 3_333, burst: 50 };
        let taken = (0..1_000_000_u64).filter(|at| quotas.take(Micros(*at), &tenant("a"), rate, 1).is_ok());
        assert!((3_333..=3_333 + 51).contains(&taken.count()));
    }

    #[test]
    fn full_buckets_are_swept_away() {
        let mut quotas = Quotas::default();
        for number in 0..10 * SWEEP as u64 {
            let now = Micros(number * 1_000_000);
            assert_eq!(quotas.take(now, &tenant(&number.to_string()), RATE, 1), Ok(()));
        }
        assert!(quotas.full_at.len() <= SWEEP);
    }
}
