//! Whether this process should be sent requests.
//!
//! One word, not a set of flags: a process that is stopping cannot at the same time be ready, whatever its
//! parts say. Writers move it forward, readers ask at any time or wait for the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Models are being loaded, listeners opened.
    #[default]
    Starting,
    /// Send requests.
    Ready,
    /// Send no more requests; those that come all the same are answered, until everybody has noticed.
    Leaving,
    /// No more requests are taken; those in flight are finished.
    Stopping,
}

/// A cloneable view of the process's phase.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    phase: watch::Sender<Phase>,
    /// Whether the process was ready, now or before. One that stops before has nothing to answer with.
    was_ready: AtomicBool,
}

impl Health {
    /// Moves on to `phase`. A process never goes back: an earlier phase is ignored.
    pub fn advance(&self, phase: Phase) {
        self.0.phase.send_if_modified(|now| {
            let is_later = phase > *now;
            if is_later && phase == Phase::Ready {
                self.0.was_ready.store(true, Ordering::Release);
            }
            *now = phase.max(*now);
            is_later
        });
    }

    /// Whether the process is ready or was so before.
    #[must_use]
    pub fn was_ready(&self) -> bool {
        self.0.was_ready.load(Ordering::Acquire)
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// The phase, as soon as it is another than `before`; nothing where it never will be.
    pub async fn after(&self, before: Option<Phase>) -> Option<Phase> {
        let mut phase = self.0.phase.subscribe();
        phase.wait_for(|now| Some(*now) != before).await.ok().map(|now| *now)
    }

    /// Comes when the process is to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.0.phase.subscribe();
        async move {
            // The sender gone means the process is gone, too.
            let _ = phase.wait_for(|now| *now == Phase::Stopping).await;
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
            (Phase::Leaving, Phase::Leaving),
            (Phase::Stopping, Phase::Stopping),
            (Phase::Ready, Phase::Stopping),
        ] {
            health.clone().advance(next);
            assert_eq!(health.phase(), wanted);
        }
    }

    #[test]
    fn a_process_that_stops_before_it_was_ready_never_was() {
        for (phases, wanted) in [
            (&[Phase::Ready][..], true),
            (&[Phase::Ready, Phase::Stopping], true),
            (&[Phase::Leaving, Phase::Ready], false),
            (&[], false),
        ] {
            let health = Health::default();
            phases.iter().for_each(|phase| health.advance(*phase));
            assert_eq!(health.was_ready(), wanted, "{phases:?}");
        }
    }
}
