//! The one place that reads the clock for the serving crates.
//!
//! Whatever decides takes `now` as an argument; whatever measures asks here. So a search for `clock::now`
//! finds every place where time enters.
//!
//! The monotonic clock is tokio's, by which every timer runs: so the two agree also where tokio's clock is paused and moves by
//! hand, in tests and simulations. In a build without tokio's `test-util`, which is every build of the binary, that clock is a
//! call of `std::time::Instant::now` and nothing else; with it, and nowhere paused, one more load of a flag. A thread
//! outside of any runtime reads the machine's clock either way.

use spinwell_core::{Micros, UnixMicros, UnixMillis};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
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

/// When this process started, the same for all its life: when this was first asked, which `main` does before anything else. Whoever reads
/// counters knows by it whether they have begun anew.
pub fn started() -> UnixMillis {
    static STARTED: OnceLock<UnixMillis> = OnceLock::new();
    *STARTED.get_or_init(unix)
}

/// A moment as people and logs write it, to the second, in UTC: `2026-11-27T05:39:11Z`.
#[must_use]
pub fn civil(moment: UnixMillis) -> String {
    // Certificates may name any year up to 9999, strangers' ones any number.
    let seconds = i64::try_from(moment.0 / 1000).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// How long ago `start` was.
#[must_use]
pub fn since(start: Instant) -> Micros {
    now().saturating_duration_since(start).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_with_the_timers() {
        let start = now();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(since(start), Micros(3_600_000_000));
        let elsewhere = std::thread::spawn(now).join().unwrap();
        assert!(elsewhere < now(), "a thread of its own has the machine's time");
    }

    #[test]
    fn a_process_starts_once() {
        let (started, now) = (started(), unix());
        assert!(started.0 > 0 && started <= now);
        while unix() == now {
            std::hint::spin_loop();
        }
        assert_eq!(super::started(), started);
    }

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(civil(UnixMillis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(civil(UnixMillis(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert!(civil(UnixMillis(u64::MAX)).ends_with("s after 1970"));
    }
}
