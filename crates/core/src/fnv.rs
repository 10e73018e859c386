//! A hash that never changes, for numbers that stand in files or that several processes must agree on.

use std::hash::Hasher;

/// FNV-1a in 64 bits (Fowler, Noll & Vo). It guards against chance, not against somebody who looks for a collision.
///
/// ```
/// use spinwell_core::Fnv;
/// use std::hash::Hasher;
/// let mut hasher = Fnv::default();
/// hasher.write(b"foobar");
/// assert_eq!(hasher.finish(), 0x85944171f73967e8);
/// ```
#[derive(Debug, Clone)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
