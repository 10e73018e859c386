//! The one place that reads the clock for the serving crates.
//!
//! Whatever decides takes `now` as an argument; whatever measures asks here. So a search for `clock::now`
//! finds every place where time enters.

use spinwell_core::Micros;
use std::time::Instant;

/// The monotonic time.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the edge that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// How long ago `start` was.
#[must_use]
pub fn since(start: Instant) -> Micros {
    now().saturating_duration_since(start).into()
}
