//! How a subject stands: its strikes, and the measure that it is under.
//!
//! Strikes are evidence that came again. The first is logged, the second and third slow, the fourth blocks, each for twice as long
//! as the one before; a detector's ceiling holds it back. Counters begin anew at each strike, so that a fourth strike means four times
//! the evidence of the first, whatever the threshold: a threshold that was just wrong for an honest caller does not block him.

use super::finding::{Detector, Level, Response, Verdict};
use super::options::{Options, seconds};
use spinwell_core::Millis;

/// Strikes from which on a subject is slowed.
const SLOW_FROM: u32 = 2;
/// Strikes from which on it is blocked.
const BLOCK_FROM: u32 = 4;

/// Who came to an address so long before it was first struck, in seconds, or later, is new there. With less, a credential that was found
/// before the attack was noticed passes for an old friend; with more, colleagues who came this morning do not.
const STRANGER_S: u32 = 600;

/// How a subject stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Strikes that are not forgotten.
    strikes: u32,
    /// Second of the first event of the first of them.
    since_s: u32,
    /// Second from which on those who came first are new, for the measures of this episode.
    strangers_from_s: u32,
    /// Second of the last of them, moved on where one is forgotten.
    struck_s: u32,
    /// What it is under, until `until`.
    level: Level,
    /// Requests per second, where it is slowed.
    rate_per_second: u32,
    until: Millis,
    /// When it may send its next request, where it is slowed.
    next: Millis,
    /// Detectors that have found it since `announced_s`, a bit each.
    announced: u16,
    announced_s: u32,
}

/// What a strike is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike {
    pub(super) detector: Detector,
    /// Second of the first event that counted.
    pub(super) first_s: u32,
    pub(super) now: Millis,
    /// Requests per second, should it be slowed.
    pub(super) rate_per_second: u32,
    /// The most that follows for this subject.
    pub(super) ceiling: Level,
}

/// What follows from a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Struck {
    pub(super) response: Response,
    /// Second in which the episode began.
    pub(super) since_s: u32,
    pub(super) strikes: u32,
}

impl Standing {
    /// What a request meets.
    pub(super) fn verdict(&self, now: Millis) -> Verdict {
        match self.level {
            _ if now >= self.until => Verdict::Allow,
            Level::Log => Verdict::Allow,
            Level::Slow => Verdict::Slow { rate_per_second: self.rate_per_second },
            Level::Block => Verdict::Block { until: self.until },
        }
    }

    /// Takes the place of a request that has to keep the rate, or says how long it has to wait.
    pub(super) fn take_turn(&mut self, now: Millis) -> Option<Millis> {
        if now < self.next {
            return Some(Millis(self.next.0 - now.0));
        }
        self.next = Millis(now.0.saturating_add(1_000 / u64::from(self.rate_per_second.max(1))));
        None
    }

    /// How much it matters to remember: 0 to 3.
    pub(super) fn weight(&self, now_s: u32) -> u8 {
        match self.level {
            Level::Block if now_s < seconds(self.until) => 3,
            Level::Slow if now_s < seconds(self.until) => 2,
            _ => u8::from(self.strikes > 0),
        }
    }

    /// The second in which the episode began, while there is one.
    pub(super) fn since_s(&self) -> Option<u32> {
        (self.strikes > 0).then_some(self.since_s)
    }

    /// The second from which on those who came first are new, while there is an episode.
    pub(super) fn strangers_from_s(&self) -> Option<u32> {
        (self.strikes > 0).then_some(self.strangers_from_s)
    }

    /// Ends measures and forgets strikes.
    pub(super) fn lift(&mut self) {
        *self = Self::default();
    }

    /// Forgets strikes that are old. Time under a measure does not count: who was kept out did not behave.
    pub(super) fn fade(&mut self, now: Millis, options: &Options) {
        let memory_s = seconds(options.strike_memory).max(1);
        let from_s = self.struck_s.max(seconds(self.until));
        let forgotten = seconds(now).saturating_sub(from_s) / memory_s;
        if self.strikes > 0 && forgotten > 0 {
            self.strikes = self.strikes.saturating_sub(forgotten);
            self.struck_s = from_s.saturating_add(forgotten * memory_s);
        }
    }

    /// Takes a strike. `None` where only a line in the log would follow, and it was written a while ago.
    pub(super) fn strike(&mut self, strike: Strike, options: &Options) -> Option<Struck> {
        self.fade(strike.now, options);
        let now_s = seconds(strike.now);
        let is_first = self.announce(strike.detector, now_s, options);
        if strike.ceiling == Level::Log {
            let (since_s, strikes) = (self.since_s().unwrap_or(strike.first_s), self.strikes);
            return is_first.then_some(Struck { response: Response::Log, since_s, strikes });
        }
        if self.strikes == 0 {
            self.since_s = strike.first_s;
            self.strangers_from_s = strike.first_s.max(now_s.saturating_sub(STRANGER_S));
        }
        self.strikes = self.strikes.saturating_add(1);
        self.struck_s = now_s;
        let response = self.respond(strike, options);
        Some(Struck { response, since_s: self.since_s, strikes: self.strikes })
    }

    fn respond(&mut self, strike: Strike, options: &Options) -> Response {
        let wanted = match self.strikes {
            BLOCK_FROM.. => Level::Block,
            SLOW_FROM.. => Level::Slow,
            _ => Level::Log,
        };
        let level = wanted.min(strike.ceiling);
        let (from, first, longest) = match level {
            Level::Log => return Response::Log,
            Level::Slow => (SLOW_FROM, options.slow_for, options.slow_for_max),
            Level::Block => (BLOCK_FROM, options.block_for, options.block_for_max),
        };
        let doubled = first.0.saturating_mul(1 << (self.strikes - from).min(20));
        let until = Millis(strike.now.0.saturating_add(doubled.min(longest.0)));
        // A measure that holds is neither lowered nor cut short.
        let holds = strike.now < self.until;
        if !holds || level >= self.level {
            self.until = if holds && level == self.level { self.until.max(until) } else { until };
            (self.level, self.rate_per_second) = (level, strike.rate_per_second.max(1));
        }
        match self.level {
            Level::Log => Response::Log,
            Level::Slow => Response::Slow { rate_per_second: self.rate_per_second, until: self.until },
            Level::Block => Response::Block { until: self.until },
        }
    }

    /// Whether the detector has not found it for a while.
    fn announce(&mut self, detector: Detector, now_s: u32, options: &Options) -> bool {
        if now_s.saturating_sub(self.announced_s) >= seconds(options.repeat_after) {
            (self.announced, self.announced_s) = (0, now_s);
        }
        let bit = 1 << detector as u16;
        let is_first = self.announced & bit == 0;
        self.announced |= bit;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(standing: &mut Standing, detector: Detector, ms: u64) -> Option<Response> {
        let now = Millis(ms);
        let ceiling = detector.ceiling();
        let strike = Strike { detector, first_s: seconds(now), now, rate_per_second: 7, ceiling };
        standing.strike(strike, &Options::default()).map(|struck| struck.response)
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn what_comes_again_is_logged_then_slowed_then_blocked_each_time_for_longer() {
        let mut own = Standing::default();
        let slow = |until| Some(Response::Slow { rate_per_second: 7, until: Millis(until) });
        let block = |until| Some(Response::Block { until: Millis(until) });
        let mut next = |ms| strike(&mut own, Detector::ObjectEnumeration, ms);
        assert_eq!(next(0), Some(Response::Log));
        assert_eq!(next(1_000), slow(5 * MINUTE + 1_000));
        assert_eq!(next(2_000), slow(10 * MINUTE + 2_000));
        assert_eq!(next(3_000), block(5 * MINUTE + 3_000));
        assert_eq!(next(6 * MINUTE), block(16 * MINUTE));
        assert_eq!(own.verdict(Millis(16 * MINUTE - 1)), Verdict::Block { until: Millis(16 * MINUTE) });
        assert_eq!(own.verdict(Millis(16 * MINUTE)), Verdict::Allow);
    }

    #[test]
    fn strikes_fade_once_the_measure_is_over() {
        let mut own = Standing::default();
        for n in 0..4 {
            let _ = strike(&mut own, Detector::ObjectEnumeration, n);
        }
        let over = 5 * MINUTE;
        // Eight hours after the block two strikes are left, and the third one slows.
        let after = strike(&mut own, Detector::ObjectEnumeration, over + 481 * MINUTE);
        assert_eq!(after.map(Response::level), Some(Level::Slow));
        let later = strike(&mut own, Detector::ObjectEnumeration, over + 2_400 * MINUTE);
        assert_eq!(later, Some(Response::Log));
    }

    #[test]
    fn ceilings_hold_and_a_lower_measure_does_not_end_a_higher_one() {
        let mut own = Standing::default();
        let levels: Vec<_> =
            (0..9).map(|n| strike(&mut own, Detector::Extraction, n).map(Response::level)).collect();
        assert!(levels.iter().all(|level| *level <= Some(Level::Slow)));
        let block = strike(&mut own, Detector::PayloadAnomaly, 10);
        assert_eq!(block.map(Response::level), Some(Level::Block));
        assert_eq!(strike(&mut own, Detector::Extraction, 11), block);
    }

    #[test]
    fn what_is_only_logged_adds_no_strikes_and_is_said_once_in_a_while() {
        let mut own = Standing::default();
        let mut said = |ms| strike(&mut own, Detector::ManyAddresses, ms).is_some();
        assert_eq!([0, 1, 9 * MINUTE, 10 * MINUTE].map(&mut said), [true, false, false, true]);
        assert_eq!(own.since_s(), None);
    }

    #[test]
    fn who_is_slowed_gets_his_rate() {
        let mut own = Standing { rate_per_second: 4, ..Standing::default() };
        let passed = (0..10_000).filter(|ms| own.take_turn(Millis(*ms)).is_none()).count();
        assert_eq!(passed, 40);
        assert_eq!(own.take_turn(Millis(9_800)), Some(Millis(200)));
    }
}
