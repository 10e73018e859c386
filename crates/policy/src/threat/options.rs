//! What is looked for, and what follows: limits with their units, and why they are what they are.

use super::finding::{Detector, Level};
use super::observation::PrincipalId;
use super::window::Lengths;
use spinwell_core::Millis;
use std::net::IpAddr;

/// A limit within the short window, and one within the long window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So much within the short window ([`Options::fast`]).
    pub fast: u32,
    /// So much within the long window ([`Options::slow`]).
    pub slow: u32,
    /// So much more for every thousand requests beside it in that window, where those are counted: who asks much errs more often. 0
    /// where it is not said.
    pub per_thousand: u32,
}

impl Limits {
    const fn new(fast: u32, slow: u32) -> Self {
        Self { fast, slow, per_thousand: 0 }
    }
}

/// What threats are looked for by. Defaults are for one gateway. Gateways know nothing of each other: an attack that is spread over g of
/// them needs g times as much to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Addresses that are remembered, at most. 16,384 take 5 MiB.
    pub addresses_max: usize,
    /// Principals that are remembered, at most. 4,096 take 2.3 MiB, and up to 8 MiB more once they send windows.
    pub principals_max: usize,
    /// Attacked keys and identities that are remembered, at most.
    pub identities_max: usize,
    /// The short window: 1 min.
    pub fast: Millis,
    /// The long window: 1 h.
    pub slow: Millis,
    /// Different refused credentials from an address: 10 a minute, 40 an hour, and one more for every four principals that were good
    /// there within the hour. A client with an expired key is one, however often it tries.
    pub credentials: Limits,
    /// Different credentials for one key, and different addresses that they are from: 10 a minute, 30 an hour, of both.
    pub identity: Limits,
    /// Different refused credentials, within the long window, from all addresses at which nobody was good: 150. What the internet sends by
    /// itself is less. More than that, and for an hour a quarter of `credentials` is enough at such an address.
    pub stranger_credentials: u32,
    /// Different names that do not exist or belong to others: 20 a minute, 60 an hour, and one more for every thousand
    /// requests.
    pub missing: Limits,
    /// Points of bad payloads (shape bomb 10, oversize 5, malformed 2; the same body again within the short window: none, but for
    /// bombs): 100 a minute, 600 an hour, and ten more for every thousand requests.
    pub payloads: Limits,
    /// Payloads with values that are not finite: 600 a minute, 6,000 an hour.
    pub not_finite: Limits,
    /// Different sequences with a gap: 30 a minute, 90 an hour. A client that begins anew jumps once in each of its sequences.
    pub step_jumps: Limits,
    /// Different addresses of one principal: 50 a minute, 120 an hour. Functions in a cloud use many.
    pub addresses: Limits,
    /// Times its quota that a principal may ask for: 2, since gateways count each for itself and clients retry.
    pub rate_times: u32,
    /// So long it may ask for once its quota more than that: 30 s.
    pub rate_burst: Millis,
    /// Requests per second without credentials from an address: 20.
    pub anonymous_per_second: u32,
    /// How long a principal is watched before its past is one to be compared with: 24 h. Before, only its quota is. At
    /// least 1 h.
    pub learning: Millis,
    /// Times its usual peak of an hour that is not usual: 4.
    pub habit_times: u32,
    /// Fresh windows within an hour below which there is no extraction: 2,000. A readout of N features is not determined by fewer
    /// than N rows of answers; models here have hundreds to thousands.
    pub fresh_min: u32,
    /// Different objects within an hour below which there is no scraping: 200.
    pub objects_min: u32,
    /// How long a subject is slowed the first time: 5 min. Each time doubles it.
    pub slow_for: Millis,
    /// How long it is slowed at most: 1 h.
    pub slow_for_max: Millis,
    /// How long it is blocked the first time: 5 min. Each time doubles it.
    pub block_for: Millis,
    /// How long it is blocked at most: 24 h.
    pub block_for_max: Millis,
    /// The share of its quota that a slowed principal gets, in percent: 10, and at least one request a second.
    pub slow_percent: u32,
    /// Requests per second that a slowed address gets, for all who are bound by it: 1.
    pub slow_address_per_second: u32,
    /// One strike is forgotten after so long without another, not counting the time under a measure: 4 h. With less than a few
    /// long windows, who stays just above a limit of the long window never gets a second strike.
    pub strike_memory: Millis,
    /// So long a finding from which nothing but a line in the log follows is not repeated: 10 min.
    pub repeat_after: Millis,
    /// Addresses about which is only logged, such as the edge proxy's. Of IPv6 the /64 counts.
    pub allowed_addresses: Vec<IpAddr>,
    /// Principals about which is only logged.
    pub allowed_principals: Vec<PrincipalId>,
    /// The most that follows, for detectors for which it is to be less than their own ceiling.
    pub ceilings: Vec<(Detector, Level)>,
}

impl Default for Options {
    fn default() -> Self {
        let minutes = |minutes: u64| Millis(minutes * 60_000);
        Self {
            addresses_max: 16_384,
            principals_max: 4_096,
            identities_max: 1_024,
            fast: minutes(1),
            slow: minutes(60),
            credentials: Limits::new(10, 40),
            identity: Limits::new(10, 30),
            stranger_credentials: 150,
            missing: Limits { per_thousand: 1, ..Limits::new(20, 60) },
            payloads: Limits { per_thousand: 10, ..Limits::new(100, 600) },
            not_finite: Limits::new(600, 6_000),
            step_jumps: Limits::new(30, 90),
            addresses: Limits::new(50, 120),
            rate_times: 2,
            rate_burst: Millis(30_000),
            anonymous_per_second: 20,
            learning: minutes(24 * 60),
            habit_times: 4,
            fresh_min: 2_000,
            objects_min: 200,
            slow_for: minutes(5),
            slow_for_max: minutes(60),
            block_for: minutes(5),
            block_for_max: minutes(24 * 60),
            slow_percent: 10,
            slow_address_per_second: 1,
            strike_memory: minutes(240),
            repeat_after: minutes(10),
            allowed_addresses: Vec::new(),
            allowed_principals: Vec::new(),
            ceilings: Vec::new(),
        }
    }
}

/// Options that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidOptions {
    /// It must not be so small.
    TooSmall {
        /// Which.
        option: &'static str,
        /// The least that it may be.
        min: u64,
    },
    /// It must not be so large.
    TooLarge {
        /// Which.
        option: &'static str,
        /// The most that it may be.
        max: u64,
    },
    /// A ceiling may only be lowered: what the detector's own one leaves out may hurt the innocent.
    CeilingRaised(Detector),
}

impl std::fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooSmall { option, min } => write!(f, "{option} must be at least {min}"),
            Self::TooLarge { option, max } => write!(f, "{option} must be at most {max}"),
            Self::CeilingRaised(detector) => {
                write!(f, "the ceiling of {} can only be lowered", detector.as_str())
            }
        }
    }
}

impl std::error::Error for InvalidOptions {}

/// The most different members that a limit may ask for: 64 bits tell no more apart.
const DISTINCT_MAX: u64 = 150;
/// The longest that anything may take: a year, so that seconds fit their 32 bits.
const SPAN_MAX_MS: u64 = 366 * 86_400_000;

impl Options {
    /// Whether they can be.
    ///
    /// # Errors
    /// Names the first option that cannot.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        for (option, value, min, max) in self.bounds() {
            match value {
                _ if value < min => return Err(InvalidOptions::TooSmall { option, min }),
                _ if value > max => return Err(InvalidOptions::TooLarge { option, max }),
                _ => {}
            }
        }
        let raised = self.ceilings.iter().find(|(detector, level)| *level > detector.ceiling());
        raised.map_or(Ok(()), |(detector, _)| Err(InvalidOptions::CeilingRaised(*detector)))
    }

    /// The most that follows from a detector.
    pub(super) fn ceiling(&self, detector: Detector) -> Level {
        let lowered = self.ceilings.iter().filter(|(own, _)| *own == detector).map(|(_, level)| *level);
        lowered.min().unwrap_or(Level::Block).min(detector.ceiling())
    }

    pub(super) fn lengths(&self) -> Lengths {
        Lengths { fast_s: seconds(self.fast), slow_s: seconds(self.slow) }
    }

    /// Each option with the least and the most that it may be.
    fn bounds(&self) -> Vec<(&'static str, u64, u64, u64)> {
        let distinct = [
            ("credentials", self.credentials),
            ("identity", self.identity),
            ("missing", self.missing),
            ("step_jumps", self.step_jumps),
            ("addresses", self.addresses),
        ];
        let shares = [("missing.per_thousand", self.missing), ("payloads.per_thousand", self.payloads)];
        let points = [("payloads", self.payloads), ("not_finite", self.not_finite)];
        let tables = [
            ("addresses_max", self.addresses_max),
            ("principals_max", self.principals_max),
            ("identities_max", self.identities_max),
        ];
        let spans = [
            ("fast", self.fast),
            ("slow", self.slow),
            ("rate_burst", self.rate_burst),
            ("slow_for", self.slow_for),
            ("block_for", self.block_for),
            ("strike_memory", self.strike_memory),
            ("repeat_after", self.repeat_after),
        ];
        let numbers = [
            ("rate_times", self.rate_times, 1, 1_000),
            ("anonymous_per_second", self.anonymous_per_second, 1, 1_000_000),
            ("habit_times", self.habit_times, 2, 1_000),
            ("fresh_min", self.fresh_min, 100, u32::MAX),
            ("objects_min", self.objects_min, 20, 800),
            ("stranger_credentials", self.stranger_credentials, 20, 3_000),
            ("slow_percent", self.slow_percent, 1, 100),
            ("slow_address_per_second", self.slow_address_per_second, 1, 1_000),
        ];
        let both = |limits: Limits| [u64::from(limits.fast), u64::from(limits.slow)];
        let mut bounds = Vec::new();
        for (option, limits) in distinct {
            bounds.extend(both(limits).map(|value| (option, value, 2, DISTINCT_MAX)));
        }
        bounds.extend(shares.map(|(option, limits)| (option, limits.per_thousand.into(), 0, 1_000)));
        for (option, limits) in points {
            bounds.extend(both(limits).map(|value| (option, value, 10, u64::from(u32::MAX / 2))));
        }
        bounds.extend(tables.map(|(option, value)| (option, value as u64, 8, 1 << 24)));
        bounds.extend(spans.map(|(option, span)| (option, span.0, 1_000, SPAN_MAX_MS)));
        bounds.push(("learning", self.learning.0, 3_600_000, SPAN_MAX_MS));
        bounds.push(("slow", self.slow.0, self.fast.0, SPAN_MAX_MS));
        bounds.push(("slow_for_max", self.slow_for_max.0, self.slow_for.0, SPAN_MAX_MS));
        bounds.push(("block_for_max", self.block_for_max.0, self.block_for.0, SPAN_MAX_MS));
        bounds.extend(numbers.map(|(option, value, min, max)| (option, value.into(), min, u64::from(max))));
        bounds
    }
}

/// Whole seconds of a span or moment.
pub(super) fn seconds(span: Millis) -> u32 {
    u32::try_from(span.0 / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut Options), expected: Result<(), InvalidOptions>) {
        let mut options = Options::default();
        change(&mut options);
        assert_eq!(options.validate(), expected);
    }

    #[test]
    fn defaults_can_be_and_what_cannot_is_named() {
        let small = |option, min| Err(InvalidOptions::TooSmall { option, min });
        check(|_| {}, Ok(()));
        check(|own| own.addresses_max = 7, small("addresses_max", 8));
        check(|own| own.credentials.fast = 1, small("credentials", 2));
        check(|own| own.slow = Millis(30_000), small("slow", 60_000));
        check(|own| own.block_for_max = Millis(1), small("block_for_max", 300_000));
        check(
            |own| own.missing.slow = 151,
            Err(InvalidOptions::TooLarge { option: "missing", max: DISTINCT_MAX }),
        );
        check(|own| own.ceilings = vec![(Detector::CredentialStuffing, Level::Slow)], Ok(()));
        check(
            |own| own.ceilings = vec![(Detector::IdentityAttack, Level::Block)],
            Err(InvalidOptions::CeilingRaised(Detector::IdentityAttack)),
        );
    }
}
