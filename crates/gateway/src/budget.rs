//! The memory that all bodies together may hold.
//!
//! A limit on each body bounds nothing while there may be thousands of them. So every body takes what it holds
//! from one budget, byte by byte as it arrives, and gives it back when its request is answered. The length that
//! a caller declares takes nothing: a few large promises would otherwise lock everybody out.

use spinwell_core::{Code, Fault, Millis};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// When a caller who met a spent budget should try again: large bodies take their time.
const RETRY_AFTER: Millis = Millis(1000);

/// What is spent of how much.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    spent: AtomicUsize,
}

/// What one body has taken; dropping it gives all back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, spent: AtomicUsize::new(0) })
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// What it has taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `more` bytes, or none where so many are not left.
    pub(crate) fn take(&mut self, more: usize) -> Result<(), Fault> {
        let bytes_max = self.budget.bytes_max;
        let with_more = |spent: usize| spent.checked_add(more).filter(|&spent| spent <= bytes_max);
        // The counter orders nothing else, so it needs no order itself.
        let taken = self.budget.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more);
        taken.map_err(|_| {
            let message = format!("all bodies together hold at most {bytes_max} bytes; try again");
            Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER)
        })?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.spent.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget_and_come_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.take(4).is_ok() && other.take(6).is_ok());
        let fault = one.take(1).unwrap_err();
        assert_eq!((fault.code(), fault.retry_after_hint()), (Code::QueueFull, Some(RETRY_AFTER)));
        assert!(one.take(usize::MAX).is_err());
        drop(other);
        assert!(one.take(6).is_ok() && one.take(1).is_err());
        drop(one);
        assert!(budget.share().take(10).is_ok());
    }
}
