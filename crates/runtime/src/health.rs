//! Whether this process should be sent requests.
//!
//! One word, not a set of flags: a process that is stopping cannot at the same time be ready, whatever its
//! parts say. Writers move it forward, readers ask at any time without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Models are being loaded, listeners opened.
    Starting,
    /// Send requests.
    Ready,
    /// Send no more requests; those in flight are finished.
    Stopping,
}

/// A cloneable view of the process's phase.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicU8>);

impl Health {
    /// Moves on to `phase`. A process never goes back: an earlier phase is ignored.
    pub fn advance(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_never_goes_back_to_an_earlier_phase() {
        let health = Health::default();
        assert_eq!(health.phase(), Phase::Starting);
        for (next, wanted) in [
            (Phase::Ready, Phase::Ready),
            (Phase::Stopping, Phase::Stopping),
            (Phase::Ready, Phase::Stopping),
        ] {
            health.clone().advance(next);
            assert_eq!(health.phase(), wanted);
        }
    }
}
