//! The one place that reads the clock here.
//!
//! Through tokio, because waits are tokio's as well: a test or a simulated network that holds or bends that time holds
//! and bends it for decisions too.

use std::time::Instant;

/// The monotonic time.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
