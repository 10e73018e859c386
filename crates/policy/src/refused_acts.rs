//! Which refusals of acts are written down one by one.
//!
//! What an administrator does is on record before it is done, and so is that somebody who may not has tried. But trying costs a caller
//! nothing, and each line costs the ledger an entry for good. So each caller has a bucket of them; what does not fit is counted, and his
//! next line says how many there were. That somebody tries a great deal, the detectors say besides.

use crate::quota::{Quotas, Rate};
use spinwell_core::Micros;
use std::collections::HashMap;
use std::sync::Arc;

/// Lines that each caller has: so many at once, and one a second.
pub const RATE: Rate = Rate { per_second: 1, burst: 20 };

/// Refusals of all callers.
#[derive(Debug, Default)]
pub struct RefusedActs {
    quotas: Quotas<Arc<str>>,
    /// Those that were not written down since the last one of the same caller that was.
    left_out: HashMap<Arc<str>, u64>,
    left_out_ever: u64,
}

impl RefusedActs {
    /// For how many refusals of this caller a line is to stand that is written now, this one and those that were left out before it;
    /// nothing where none is written for it now. `now` is of any clock that does not go back.
    pub fn refused(&mut self, now: Micros, caller: &Arc<str>) -> Option<u64> {
        match self.quotas.take(now, caller, RATE, 1) {
            Ok(()) => Some(1 + self.left_out.remove(caller).unwrap_or(0)),
            Err(_) => {
                *self.left_out.entry(caller.clone()).or_insert(0) += 1;
                self.left_out_ever += 1;
                None
            }
        }
    }

    /// How many had no line of their own so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out_ever
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_tries_without_end_gets_a_line_a_second_and_every_try_is_counted() {
        let mut acts = RefusedActs::default();
        let [tries, other] = ["acme/mallory", "acme/bob"].map(Arc::from);
        let lines: Vec<u64> =
            (0..100_000).filter_map(|milli| acts.refused(Micros(milli * 1_000), &tries)).collect();
        assert_eq!(lines.len(), 20 + 99, "a burst, and then one a second");
        assert_eq!(lines[..20], [1; 20]);
        assert_eq!(acts.refused(Micros(50_000_000), &other), Some(1), "nobody pays for another");
        let next = acts.refused(Micros(200_000_000), &tries).unwrap();
        assert_eq!(lines.iter().sum::<u64>() + next, 100_001);
        assert_eq!(acts.left_out(), 100_000 - 119);
    }
}
