//! One-time tokens that were used, until they expire.
//!
//! The cache is bounded, and full it refuses: a token that was forgotten could be used again.

use spinwell_core::UnixMicros;
use std::collections::{BTreeMap, HashSet};

/// Why a one-time token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was used.
    #[error("this one was")]
    Used,
    /// Nobody can tell, because too many others were used lately.
    #[error("it cannot be told: {0} used ones are remembered, and none has expired")]
    Full(usize),
}

/// Which tokens were used.
#[derive(Debug)]
pub struct ReplayCache {
    used: HashSet<[u8; 32]>,
    /// By when each may be forgotten, the number telling those of one moment apart.
    until: BTreeMap<(UnixMicros, u64), [u8; 32]>,
    number: u64,
    len_max: usize,
}

impl ReplayCache {
    /// A cache of at most so many.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self { used: HashSet::new(), until: BTreeMap::new(), number: 0, len_max }
    }

    /// Marks a token as used, which can be forgotten at `until`, when it is refused for its age.
    ///
    /// # Errors
    /// Where it was used before, or that cannot be told.
    pub fn spend(&mut self, token: [u8; 32], until: UnixMicros, now: UnixMicros) -> Result<(), Replayed> {
        while let Some(first) = self.until.first_entry().filter(|first| first.key().0 <= now) {
            self.used.remove(&first.remove());
        }
        if self.used.contains(&token) {
            return Err(Replayed::Used);
        }
        if self.used.len() >= self.len_max {
            return Err(Replayed::Full(self.len_max));
        }
        self.used.insert(token);
        self.number += 1;
        self.until.insert((until, self.number), token);
        Ok(())
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}
