//! The one place that reads the clock for the serving crates.
//!
//! Whatever decides takes `now` as an argument; whatever measures asks here. So a search for `clock::now`
//! finds every place where time enters.

use spinwell_core::{Micros, UnixMicros, UnixMillis};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the edge that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The civil time.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the edge that reads the clock")]
pub fn unix() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The civil time, to the microsecond.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the edge that reads the clock")]
pub fn unix_micros() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// How long ago `start` was.
#[must_use]
pub fn since(start: Instant) -> Micros {
    now().saturating_duration_since(start).into()
}
