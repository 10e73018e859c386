//! When an issuer's keys are fetched again.
//!
//! Keys change without notice, so a token with an unknown key is a reason to ask; but anybody can write such a token, so
//! there is a pause between two tries for the same reason. Not between all: keys that change just after they were fetched for their age would
//! keep everybody out for as long. While the issuer does not answer, the keys that it had stay good for a
//! while: an outage there should not become one here, and a key that leaked must not stay good for ever.

use spinwell_core::{Micros, UnixMicros};

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefetchOptions {
    /// Never twice for the same reason within this.
    pub pause_min: Micros,
    /// Without any other reason after this.
    pub refresh_after: Micros,
    /// Keys that are older than this are not used.
    pub stale_max: Micros,
}

impl Default for RefetchOptions {
    fn default() -> Self {
        let seconds = |seconds: u64| Micros(seconds * 1_000_000);
        Self { pause_min: seconds(30), refresh_after: seconds(600), stale_max: seconds(24 * 3_600) }
    }
}

/// What gives rise to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Time has passed.
    Age,
    /// A token names a key that is not there.
    UnknownKey,
}

/// Whether to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// Now.
    Now,
    /// Not before this moment.
    NotBefore(UnixMicros),
}

/// What is known of an issuer's keys.
#[derive(Debug, Clone, Copy)]
pub struct Refetch {
    options: RefetchOptions,
    fetched: Option<UnixMicros>,
    /// The newest try for whatever reason.
    tried: Option<UnixMicros>,
    /// The newest try for an unknown key.
    asked: Option<UnixMicros>,
}

impl Refetch {
    /// Nothing was fetched yet.
    #[must_use]
    pub fn new(options: RefetchOptions) -> Self {
        Self { options, fetched: None, tried: None, asked: None }
    }

    /// Whether to fetch now. Whoever does says so with [`Self::trying`] first.
    #[must_use]
    pub fn decide(&self, why: Why, now: UnixMicros) -> Fetch {
        let RefetchOptions { pause_min, refresh_after, .. } = self.options;
        let rested = |tried: Option<UnixMicros>| tried.map_or(UnixMicros(0), |tried| tried.after(pause_min));
        let due = match (why, self.fetched) {
            (Why::UnknownKey, _) => rested(self.asked),
            (Why::Age, None) => rested(self.tried),
            (Why::Age, Some(fetched)) => fetched.after(refresh_after).max(rested(self.tried)),
        };
        if due <= now { Fetch::Now } else { Fetch::NotBefore(due) }
    }

    /// A try begins.
    pub fn trying(&mut self, why: Why, now: UnixMicros) {
        self.tried = Some(now);
        if why == Why::UnknownKey {
            self.asked = Some(now);
        }
    }

    /// The keys have come.
    pub fn fetched(&mut self, now: UnixMicros) {
        self.fetched = Some(now);
    }

    /// Whether the keys that are there may be used.
    #[must_use]
    pub fn usable(&self, now: UnixMicros) -> bool {
        self.fetched.is_some_and(|fetched| now <= fetched.after(self.options.stale_max))
    }

    /// Whether the keys have come since then.
    #[must_use]
    pub fn is_fetched_since(&self, then: UnixMicros) -> bool {
        self.fetched.is_some_and(|fetched| fetched >= then)
    }
}
