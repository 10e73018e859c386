//! What is tried again, and when.
//!
//! Trouble that may pass is met by another try, after pauses that double up to a longest one: a node that is asked for the hundredth time
//! is asked no more often than that. Trouble that lasts is not met by another try at all. What is tried has a key that says
//! everything that matters to it (which bytes, to whom, in which life of it), so where any of that changes it is another thing, and is
//! tried at once.
//!
//! ```
//! use spinwell_policy::spread::{Tries, Trouble};
//! use std::time::{Duration, Instant};
//! # #[allow(clippy::disallowed_methods)]
//! # let start = Instant::now();
//! let mut tries = Tries::default();
//! tries.failed("bring 3 to n2", Trouble::Passing, start);
//! assert!(!tries.may(&"bring 3 to n2", start));
//! assert!(tries.may(&"bring 3 to n2", start + Duration::from_secs(2)) && tries.may(&"bring 4 to n2", start));
//! ```

use std::time::{Duration, Instant};

/// The first pause before something is tried again, and the longest.
pub const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Things that are remembered. Of more, those that failed first are forgotten, and tried as if they never had been.
pub const TRIES_MAX: usize = 1024;

/// Whether waiting helps against what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It may.
    Passing,
    /// The same would go wrong in the same way.
    Lasting,
}

/// Things that were tried and did not succeed, or that are still to be tried.
#[derive(Debug, Clone)]
pub struct Tries<K> {
    /// In the order in which they were first heard of.
    all: Vec<(K, Tried)>,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    failures: u32,
    /// When it is tried again; nothing where it is not.
    due: Option<Instant>,
}

impl<K> Default for Tries<K> {
    fn default() -> Self {
        Self { all: Vec::new() }
    }
}

impl<K: Clone + PartialEq> Tries<K> {
    /// Something is to be tried now. Where it has been tried already, its pauses begin anew.
    pub fn owe(&mut self, key: K, now: Instant) {
        *self.tried(key) = Tried { failures: 0, due: Some(now) };
    }

    /// Something was tried, and did not succeed.
    pub fn failed(&mut self, key: K, trouble: Trouble, now: Instant) {
        let tried = self.tried(key);
        tried.due = match trouble {
            Trouble::Passing => Some(now + pause_after(tried.failures)),
            Trouble::Lasting => None,
        };
        tried.failures += 1;
    }

    /// Something has succeeded, or matters no more.
    pub fn done(&mut self, key: &K) {
        self.retain(|known| known != key);
    }

    /// Forgets what does not matter any more.
    pub fn retain(&mut self, matters: impl Fn(&K) -> bool) {
        self.all.retain(|(key, _)| matters(key));
    }

    /// All that is known, in the order in which it was first heard of.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.all.iter().map(|(key, _)| key)
    }

    /// Whether something may be tried: it has not been, or its pause is over.
    #[must_use]
    pub fn may(&self, key: &K, now: Instant) -> bool {
        let known = self.all.iter().find(|(known, _)| known == key);
        known.is_none_or(|(_, tried)| tried.due.is_some_and(|due| due <= now))
    }

    /// What is to be tried by now.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<K> {
        let due = self.all.iter().filter(|(_, tried)| tried.due.is_some_and(|due| due <= now));
        due.map(|(key, _)| key.clone()).collect()
    }

    /// When the next of those is due that count.
    #[must_use]
    pub fn next(&self, counts: impl Fn(&K) -> bool) -> Option<Instant> {
        self.all.iter().filter(|(key, _)| counts(key)).filter_map(|(_, tried)| tried.due).min()
    }

    fn tried(&mut self, key: K) -> &mut Tried {
        let place = self.all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            if self.all.len() >= TRIES_MAX {
                self.all.remove(0);
            }
            self.all.push((key, Tried { failures: 0, due: None }));
            self.all.len() - 1
        });
        &mut self.all[place].1
    }
}

/// The pause after another failure, where there were so many before it.
fn pause_after(failures: u32) -> Duration {
    PAUSE.0.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX)).min(PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn zero() -> Instant {
        Instant::now()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn passing_trouble_is_met_after_pauses_that_double_up_to_the_longest() {
        let (mut tries, mut now) = (Tries::default(), zero());
        let mut pauses = Vec::new();
        for _ in 0..50 {
            tries.failed("a", Trouble::Passing, now);
            let due = tries.next(|_| true).unwrap();
            assert!(!tries.may(&"a", due - Duration::from_nanos(1)) && tries.may(&"a", due));
            assert_eq!((tries.due(due - Duration::from_nanos(1)), tries.due(due)), (vec![], vec!["a"]));
            pauses.push(due - now);
            now = due;
        }
        assert_eq!(pauses[..8], [2, 4, 8, 16, 32, 64, 128, 256].map(seconds));
        assert!(pauses[8..].iter().all(|pause| *pause == PAUSE.1));
    }

    #[test]
    fn lasting_trouble_is_not_met_by_another_try_and_another_key_is_another_thing() {
        let (mut tries, now) = (Tries::default(), zero());
        tries.failed(("n1", 1), Trouble::Lasting, now);
        let late = now + 1000 * PAUSE.1;
        assert!(!tries.may(&("n1", 1), late) && tries.due(late).is_empty() && tries.next(|_| true).is_none());
        assert!(tries.may(&("n1", 2), now), "its next life");
        tries.done(&("n1", 1));
        assert!(tries.may(&("n1", 1), now));
    }

    #[test]
    fn what_is_owed_is_due_at_once_and_its_pauses_begin_anew() {
        let (mut tries, now) = (Tries::default(), zero());
        tries.failed("a", Trouble::Passing, now);
        tries.failed("a", Trouble::Passing, now);
        tries.owe("a", now);
        assert_eq!(tries.due(now), ["a"]);
        tries.failed("a", Trouble::Passing, now);
        assert_eq!(tries.next(|_| true), Some(now + PAUSE.0));
        assert_eq!(tries.next(|key| *key != "a"), None, "what does not count wakes nobody");
        tries.owe("b", now);
        assert_eq!(tries.keys().collect::<Vec<_>>(), [&"a", &"b"]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let (mut tries, now) = (Tries::default(), zero());
        (0..=TRIES_MAX).for_each(|number| tries.failed(number, Trouble::Lasting, now));
        assert_eq!(tries.all.len(), TRIES_MAX);
        assert!(tries.may(&0, now) && !tries.may(&1, now) && !tries.may(&TRIES_MAX, now));
        tries.retain(|number| number % 2 == 0);
        assert_eq!(tries.all.len(), TRIES_MAX / 2);
    }
}
