//! Whether this process should be sent requests.
//!
//! One word, not a set of flags: a process that is stopping cannot at the same time be ready, whatever its
//! parts say. Writers move it forward, readers ask at any time or wait for the end. Those who wait learn of it in the order in
//! which they began to: of a `watch` channel they would learn in an order that is drawn by lot, and a simulation would not be the
//! same twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tokio::sync::Notify;

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

impl Phase {
    const fn numbered(number: u8) -> Self {
        match number {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Leaving,
            _ => Phase::Stopping,
        }
    }
}

/// A cloneable view of the process's phase.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    /// The phase as a number.
    phase: AtomicU8,
    /// Told when there is another one.
    moved: Notify,
    /// Whether the process was ready, now or before. One that stops before has nothing to answer with.
    was_ready: AtomicBool,
}

impl Health {
    /// Moves on to `phase`. A process never goes back: an earlier phase is ignored.
    pub fn advance(&self, phase: Phase) {
        let before = self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        if phase as u8 <= before {
            return;
        }
        if phase == Phase::Ready {
            self.0.was_ready.store(true, Ordering::Release);
        }
        self.0.moved.notify_waiters();
    }

    /// Whether the process is ready or was so before.
    #[must_use]
    pub fn was_ready(&self) -> bool {
        self.0.was_ready.load(Ordering::Acquire)
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::numbered(self.0.phase.load(Ordering::Acquire))
    }

    /// The phase, as soon as it is another than `before`.
    pub async fn after(&self, before: Option<Phase>) -> Phase {
        loop {
            // Before it looks: it learns of what changes from here on.
            let moved = self.0.moved.notified();
            let now = self.phase();
            if Some(now) != before {
                return now;
            }
            moved.await;
        }
    }

    /// Comes when the process is to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let own = self.clone();
        async move {
            let mut phase = own.phase();
            while phase != Phase::Stopping {
                phase = own.after(Some(phase)).await;
            }
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
