//! Shedding where the queue does not drain, after CoDel (Nichols & Jacobson 2012, "Controlling queue delay").
//!
//! A queue that empties now and then is doing its work; one whose oldest request has been too old for a whole interval is
//! only making everybody wait. Then one request is shed, and more often the longer it lasts: the n-th one interval/√n
//! after the one before.
//!
//! Before anybody is shed, the door closes: as soon as the oldest request is too old, new ones are let in only as far as they
//! will not wait for longer than that themselves, by the estimate. It stays so until nobody has been turned away for an
//! interval. Otherwise it would open whenever the queue is just short enough, and let in more than can be answered.

use std::time::{Duration, Instant};

/// When the oldest request is too old, and for how long that is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shedding {
    target: Duration,
    interval: Duration,
    /// Since when the oldest has been too old.
    above_since: Option<Instant>,
    /// When the next is shed, and how many have been.
    next: Option<(Instant, u32)>,
    /// Until when the door is closed, if nobody is turned away before.
    closed_until: Option<Instant>,
}

impl Shedding {
    pub(super) fn new(target: Duration, interval: Duration) -> Self {
        Self { target, interval, above_since: None, next: None, closed_until: None }
    }

    /// Whether only those are let in who will not wait for too long, with the oldest waiting for so long.
    pub(super) fn is_closed(&mut self, oldest: Duration, now: Instant) -> bool {
        if oldest > self.target {
            self.close(now);
        }
        self.closed_until.is_some_and(|until| now < until)
    }

    /// Keeps the door closed: somebody was turned away, or would have to be.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed_until = Some(now + self.interval);
    }

    /// Whether a request is to be shed, with the oldest waiting for so long.
    pub(super) fn is_due(&mut self, oldest: Duration, now: Instant) -> bool {
        if oldest <= self.target {
            (self.above_since, self.next) = (None, None);
            return false;
        }
        let since = *self.above_since.get_or_insert(now);
        let (due, count) = self.next.unwrap_or((since + self.interval, 0));
        if now < due {
            return false;
        }
        let count = count.saturating_add(1);
        self.next = Some((due + self.interval.div_f64(f64::from(count).sqrt()), count));
        true
    }
}
