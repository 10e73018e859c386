//! The one place where randomness enters the serving crates.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::hash::{BuildHasher, RandomState};
use std::io;

/// A number that no other call and no other process gets, from the operating system. Not for secrets.
#[must_use]
pub fn seed() -> u64 {
    // The standard library keys its hash maps by the system's randomness; the hash of nothing shows no more of a key
    // than any hash does.
    RandomState::new().hash_one(())
}

/// 32 bytes for a secret.
///
/// # Errors
/// Where the system has none to give.
pub fn secret() -> io::Result<[u8; 32]> {
    bytes()
}

/// Random bytes, of the same source.
///
/// # Errors
/// Where the system has none to give.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_differ() {
        assert_ne!(super::seed(), super::seed());
        assert_ne!(super::secret().unwrap(), super::secret().unwrap());
    }
}
