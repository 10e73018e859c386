//! Whether this process should be sent requests.
//!
//! Readers get one word, not a set of flags: a process that is stopping cannot at the same time be ready, whatever its
//! parts say. Behind it stand a phase, which writers only move forward, and whether the process is cut off from those without whom it can
//! answer nothing, which comes and goes. Readers ask at any time or wait for another word. Those who wait learn of it in the order in
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

/// Whether a process should be sent requests, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet.
    Starting,
    /// Yes.
    Ready,
    /// Not for now: it can reach nobody who could answer, and would refuse them.
    CutOff,
    /// No more; those that come all the same are answered.
    Leaving,
    /// No more, and none is taken.
    Stopping,
}

/// A cloneable view of how the process is.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    /// The phase as a number.
    phase: AtomicU8,
    /// Whether those cannot be reached without whom it can answer nothing.
    is_cut_off: AtomicBool,
    /// Told when either is another one.
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

    /// Those without whom the process can answer nothing cannot be reached, or can be again.
    pub fn set_cut_off(&self, is_cut_off: bool) {
        if self.0.is_cut_off.swap(is_cut_off, Ordering::AcqRel) != is_cut_off {
            self.0.moved.notify_waiters();
        }
    }

    /// Whether the process should be sent requests now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.phase() {
            Phase::Starting => Readiness::Starting,
            Phase::Ready if self.0.is_cut_off.load(Ordering::Acquire) => Readiness::CutOff,
            Phase::Ready => Readiness::Ready,
            Phase::Leaving => Readiness::Leaving,
            Phase::Stopping => Readiness::Stopping,
        }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::numbered(self.0.phase.load(Ordering::Acquire))
    }

    /// The phase, as soon as it is another than `before`.
    pub async fn after(&self, before: Option<Phase>) -> Phase {
        self.other_than(before, Self::phase).await
    }

    /// Whether the process should be sent requests, as soon as that is another word than `before`.
    pub async fn readiness_after(&self, before: Option<Readiness>) -> Readiness {
        self.other_than(before, Self::readiness).await
    }

    async fn other_than<T: PartialEq>(&self, before: Option<T>, look: impl Fn(&Self) -> T) -> T {
        loop {
            // Before it looks: it learns of what changes from here on.
            let moved = self.0.moved.notified();
            let now = look(self);
            if Some(&now) != before.as_ref() {
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
    fn who_is_cut_off_is_ready_again_later_and_neither_before_nor_after_its_life() {
        let health = Health::default();
        let check = |phase, wanted: [Readiness; 3]| {
            health.advance(phase);
            let got = [false, true, false].map(|is_cut_off| {
                health.set_cut_off(is_cut_off);
                health.readiness()
            });
            assert_eq!(got, wanted, "{phase:?}");
        };
        check(Phase::Starting, [Readiness::Starting; 3]);
        check(Phase::Ready, [Readiness::Ready, Readiness::CutOff, Readiness::Ready]);
        check(Phase::Leaving, [Readiness::Leaving; 3]);
        check(Phase::Stopping, [Readiness::Stopping; 3]);
    }

    #[tokio::test]
    async fn who_waits_learns_that_the_process_is_cut_off_and_that_it_is_no_more() {
        let health = Health::default();
        health.advance(Phase::Ready);
        for (is_cut_off, before, wanted) in
            [(true, Readiness::Ready, Readiness::CutOff), (false, Readiness::CutOff, Readiness::Ready)]
        {
            let (own, (begun, begins)) = (health.clone(), tokio::sync::oneshot::channel());
            let waiting = tokio::spawn(async move {
                begun.send(()).unwrap();
                own.readiness_after(Some(before)).await
            });
            begins.await.unwrap();
            health.set_cut_off(is_cut_off);
            assert_eq!(waiting.await.unwrap(), wanted);
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
