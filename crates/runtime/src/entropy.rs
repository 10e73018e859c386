//! The one place where randomness enters the serving crates.

use std::hash::{BuildHasher, RandomState};

/// A number that no other call and no other process gets, from the operating system. Not for secrets.
#[must_use]
pub fn seed() -> u64 {
    // The standard library keys its hash maps by the system's randomness; the hash of nothing shows no more of a key
    // than any hash does.
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_differ() {
        assert_ne!(super::seed(), super::seed());
    }
}
