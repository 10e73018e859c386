//! Whether a control leads.
//!
//! One control of a region decides and gives orders, and which one a lease in the store says. A clock that is read after the answer
//! would be wrong: the answer may have been on its way for long. So a lease counts **from before it was asked for**, by this machine's
//! own clock: it ends here no later than in the store, whatever the clocks show, as long as they run equally fast. Two machines
//! never believe at the same moment that they lead. What a leader has sent by then may still arrive later; that is what the
//! generation is for, which whoever gets orders compares.
//!
//! ```
//! use spinwell_policy::leadership::{Answer, Leadership, Terms};
//! # #[allow(clippy::disallowed_methods, reason = "any instant will do")]
//! # let now = std::time::Instant::now();
//! let mut leadership = Leadership::new(Terms::default());
//! let ask = leadership.ask(now);
//! leadership.answered(ask, Answer::Granted(7));
//! assert_eq!(leadership.generation(now), Some(7));
//! assert_eq!(leadership.generation(now + Terms::default().length), None);
//! ```

use spinwell_core::Millis;
use std::time::{Duration, Instant};

/// How long a lease lasts, and how often it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts. Nobody leads for as long after a leader was lost.
    pub length: Duration,
    /// How often it is asked for, by the leader and by those who wait. A few answers may be lost before a lease is.
    pub renew_every: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { length: Duration::from_secs(2), renew_every: Duration::from_millis(500) }
    }
}

impl Terms {
    /// The length as stores take it.
    #[must_use]
    pub fn length_ms(&self) -> Millis {
        Millis(u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A lease that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    number: u64,
    sent: Instant,
}

/// What the store said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The lease is ours, under that generation.
    Granted(u64),
    /// Another one holds it.
    Denied,
}

/// Whether a control leads, by what it was answered.
#[derive(Debug)]
pub struct Leadership {
    terms: Terms,
    held: Option<Held>,
    /// The number of the last ask.
    asked: u64,
    /// The newest ask whose answer is known, or does not matter any more.
    settled: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    generation: u64,
    until: Instant,
}

impl Leadership {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms, held: None, asked: 0, settled: 0 }
    }

    /// How long a lease lasts, and how often it is to be asked for.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Takes note that the lease is about to be asked for. To be called before it is.
    pub fn ask(&mut self, now: Instant) -> Ask {
        self.asked += 1;
        Ask { number: self.asked, sent: now }
    }

    /// Takes note of an answer. One that comes behind the answer to a later ask says nothing any more.
    pub fn answered(&mut self, ask: Ask, answer: Answer) {
        if ask.number <= self.settled {
            return;
        }
        self.settled = ask.number;
        self.held = match answer {
            Answer::Granted(generation) => Some(Held { generation, until: ask.sent + self.terms.length }),
            Answer::Denied => None,
        };
    }

    /// Leads no more, whatever was asked before: it is about to give the lease back.
    pub fn resign(&mut self) {
        self.held = None;
        self.settled = self.asked;
    }

    /// The generation under which this control leads just now.
    #[must_use]
    pub fn generation(&self, now: Instant) -> Option<u64> {
        self.held.filter(|held| now < held.until).map(|held| held.generation)
    }
}

#[cfg(test)]
#[path = "leadership_tests.rs"]
mod tests;
