//! How much of the machine nobody uses, as the kernel counts it.
//!
//! Two files of `/proc`, read at most once in a while: the shares are of the time between two readings. Elsewhere than on
//! Linux nothing is known, which is something else than nothing being free.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A share of less time than this would be noise: the kernel counts in hundredths of a second.
const PERIOD: Duration = Duration::from_millis(500);

/// The shares that nobody uses, in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Of the processors' time.
    pub cpu_free: Option<f64>,
    /// Of the memory.
    pub memory_free: Option<f64>,
}

/// What the machine calls its time since it was switched on; another text each time, where nobody knows.
#[must_use]
pub fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned());
    id.ok().filter(|id| !id.is_empty()).unwrap_or_else(|| format!("unknown-{:016x}", crate::entropy::seed()))
}

/// The machine that this process runs on.
#[derive(Debug, Default)]
pub struct Machine(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    ticks: Option<Ticks>,
    load: Load,
}

/// What the processors have done since the start of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Machine {
    /// How much nobody uses, as of the last half second or so.
    pub fn load(&self, now: Instant) -> Load {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_some_and(|at| now.saturating_duration_since(at) < PERIOD) {
            return seen.load;
        }
        let read = |path| fs::read_to_string(path).ok();
        let ticks = read("/proc/stat").as_deref().and_then(ticks);
        let cpu_free =
            seen.ticks.zip(ticks).and_then(|(before, now)| idle(before, now)).or(seen.load.cpu_free);
        let memory_free = read("/proc/meminfo").as_deref().and_then(available);
        *seen = Seen { at: Some(now), ticks, load: Load { cpu_free, memory_free } };
        seen.load
    }
}

/// The processors' line of `/proc/stat`: user, nice, system, idle, waiting for a disk, interrupts and what a hypervisor took.
/// What guests did, which follows, stands in the first two as well.
fn ticks(stat: &str) -> Option<Ticks> {
    let mut words = stat.lines().next()?.split_ascii_whitespace();
    (words.next()? == "cpu").then_some(())?;
    let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
    let idle = ticks.get(3)?.checked_add(*ticks.get(4)?)?;
    Some(Ticks { idle, all: ticks.iter().sum() })
}

/// The share of the time between two readings in which the processors were idle.
fn idle(before: Ticks, now: Ticks) -> Option<f64> {
    let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
    // The kernel's count of idle time may go back a little.
    let idle = now.idle.saturating_sub(before.idle);
    Some((idle as f64 / all as f64).min(1.0))
}

/// The share of memory that could be had without swapping, from `/proc/meminfo`.
fn available(meminfo: &str) -> Option<f64> {
    let of = |name: &str| -> Option<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let (total, available) = (of("MemTotal:")?, of("MemAvailable:")?);
    (total > 0.0).then(|| (available / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_what_the_kernel_says() {
        let before = ticks("cpu  10 0 10 70 10 0 0 0 5 5\ncpu0 1 2 3\n");
        assert_eq!(before, Some(Ticks { idle: 80, all: 100 }));
        let check = |stat: &str, wanted: Option<f64>| {
            assert_eq!(ticks(stat).zip(before).and_then(|(now, before)| idle(before, now)), wanted, "{stat}");
        };
        check("cpu  60 0 10 110 20 0 0 0 5 5", Some(0.5));
        check("cpu  60 0 60 60 10 0 0 0", Some(0.0));
        check("cpu  10 0 10 70 10 0 0 0", None);
        check("cpu  10 0", None);
        check("intr 5", None);
        check("", None);
        let meminfo = "MemTotal:       1000 kB\nMemFree:   10 kB\nMemAvailable:    250 kB\n";
        assert_eq!(available(meminfo), Some(0.25));
        assert_eq!(available("MemTotal:       1000 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    fn this_machine_tells() {
        let (machine, now) = (Machine::default(), Instant::now());
        let first = machine.load(now);
        assert!(first.cpu_free.is_none() && first.memory_free.is_some_and(|free| free > 0.0), "{first:?}");
        assert_eq!(machine.load(now), first);
    }
}
