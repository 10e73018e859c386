//! What is remembered of an address, of a principal, and of an identity that others try.

use super::habits::Habits;
use super::observation::{Anomaly, Answer, Request};
use super::options::{Options, seconds};
use super::standing::Standing;
use super::table::{Rank, Record};
use super::threats::hash;
use super::window::{Crowd, Lengths, Spread, Trip};
use super::{Detector, Limits};
use spinwell_core::Millis;

/// Requests over a limit, as a bucket that leaks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    /// What is in it, in thousandths of a request.
    level: u64,
    at: Millis,
    /// Second in which it was last empty.
    began_s: u32,
    /// Requests since.
    count: u32,
}

impl Rate {
    /// Counts a request of one who is allowed `per_second`; `Some` where that is beyond what times and burst allow.
    pub(super) fn add(&mut self, now: Millis, per_second: u32, options: &Options) -> Option<Trip> {
        let leak = u64::from(per_second) * u64::from(options.rate_times);
        self.level = self.level.saturating_sub(now.0.saturating_sub(self.at.0).saturating_mul(leak));
        if self.level == 0 {
            (self.began_s, self.count) = (seconds(now), 0);
        }
        self.at = self.at.max(now);
        self.level = self.level.saturating_add(1_000);
        self.count = self.count.saturating_add(1);
        // Requests per second times milliseconds are thousandths of requests.
        if per_second == 0 || self.level <= u64::from(per_second).saturating_mul(options.rate_burst.0) {
            return None;
        }
        let limit = u32::try_from(leak).unwrap_or(u32::MAX);
        let trip = Trip { first_s: self.began_s, count: self.count, distinct: self.count, limit };
        (self.level, self.count, self.began_s) = (0, 0, seconds(now));
        Some(trip)
    }
}

/// What is counted of whoever asks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probes {
    rate: Rate,
    /// Names that do not exist.
    missing: Spread,
    /// Points of bad payloads.
    payloads: Spread,
    not_finite: Spread,
}

impl Probes {
    /// Counts a request; what was found by it.
    pub(super) fn add(
        &mut self,
        request: Request,
        seed: u64,
        now: Millis,
        per_second: u32,
        options: &Options,
    ) -> Option<(Detector, Trip)> {
        let (now_s, lengths) = (seconds(now), options.lengths());
        let rate = self.rate.add(now, per_second, options);
        self.missing.add_beside(now_s, lengths);
        self.payloads.add_beside(now_s, lengths);
        let found = match request.answer {
            Answer::Missing => {
                self.missing.add(now_s, lengths, hash(seed, request.object.0), 1);
                self.missing.take_distinct(options.missing, 0).map(|trip| (Detector::ObjectEnumeration, trip))
            }
            Answer::Payload { anomaly, body } => self.payload(anomaly, hash(seed, body), now_s, options),
            Answer::Answered(_) | Answer::StepJump | Answer::Other => None,
        };
        found.or_else(|| rate.map(|trip| (Detector::ImpossibleRate, trip)))
    }

    fn payload(
        &mut self,
        anomaly: Anomaly,
        body: u64,
        now_s: u32,
        options: &Options,
    ) -> Option<(Detector, Trip)> {
        let lengths = options.lengths();
        if anomaly == Anomaly::NotFinite {
            self.not_finite.add(now_s, lengths, body, anomaly.points());
            let trip = self.not_finite.take_count(options.not_finite);
            return trip.map(|trip| (Detector::PayloadNotFinite, trip));
        }
        let is_new = self.payloads.is_new(now_s, lengths, body);
        let points = if is_new || anomaly == Anomaly::ShapeBomb { anomaly.points() } else { 0 };
        self.payloads.add(now_s, lengths, body, points);
        self.payloads.take_count(options.payloads).map(|trip| (Detector::PayloadAnomaly, trip))
    }

    fn evidence(&self, now_s: u32, lengths: Lengths) -> u32 {
        self.missing.evidence(now_s, lengths) + self.payloads.evidence(now_s, lengths)
    }
}

/// An address.
#[derive(Debug, Default)]
pub(super) struct Address {
    pub(super) standing: Standing,
    pub(super) probes: Probes,
    /// Credentials that were refused.
    pub(super) credentials: Spread,
    /// How many of them were of keys that exist, and how many not, since that was last found.
    known: u32,
    unknown: u32,
    /// Principals that were good there within this hour and the one before.
    good: [Crowd<1>; 2],
    good_s: u32,
    /// Whether credentials are tried from it, in this episode.
    pub(super) is_trying: bool,
    seen_s: u32,
    /// The long window, so that its rank can be told.
    lengths: Option<Lengths>,
}

impl Address {
    pub(super) fn see(&mut self, now: Millis, options: &Options) {
        (self.seen_s, self.lengths) = (seconds(now), Some(options.lengths()));
        self.standing.fade(now, options);
        self.is_trying &= self.standing.since_s().is_some();
    }

    /// A principal was good there.
    pub(super) fn welcome(&mut self, principal: u64, now_s: u32, options: &Options) {
        let slow_s = options.lengths().slow_s;
        let elapsed = now_s.saturating_sub(self.good_s);
        if elapsed >= slow_s {
            let before = if elapsed < 2 * slow_s { self.good[0] } else { Crowd::default() };
            (self.good, self.good_s) = ([Crowd::default(), before], now_s);
        }
        self.good[0].add(principal);
    }

    /// About how many principals were good there.
    pub(super) fn good(&self) -> u32 {
        self.good[0].len().max(self.good[1].len())
    }

    /// Counts a credential that was refused.
    pub(super) fn refuse(
        &mut self,
        credential: u64,
        is_known: bool,
        now_s: u32,
        limits: Limits,
        options: &Options,
    ) -> Option<(Detector, Trip)> {
        if self.credentials.add(now_s, options.lengths(), credential, 1) {
            *(if is_known { &mut self.known } else { &mut self.unknown }) += 1;
        }
        let trip = self.credentials.take_distinct(limits, self.good() / 4)?;
        let is_stuffing = self.known >= self.unknown;
        (self.known, self.unknown) = (0, 0);
        Some((if is_stuffing { Detector::CredentialStuffing } else { Detector::KeyEnumeration }, trip))
    }
}

impl Record for Address {
    fn rank(&self, now_s: u32) -> Rank {
        let evidence =
            |lengths| self.credentials.evidence(now_s, lengths) + self.probes.evidence(now_s, lengths);
        let evidence = self.lengths.map_or(0, evidence);
        Rank { standing: self.standing.weight(now_s), evidence, seen_s: self.seen_s }
    }
}

/// An address that a principal comes from.
#[derive(Debug, Clone, Copy, Default)]
struct Home {
    /// A part of its hash; zero where there is none.
    tag: u32,
    first_s: u32,
    last_s: u32,
    /// Whether it was said that it is new there while the address tries credentials.
    is_said: bool,
}

/// A principal.
#[derive(Debug, Default)]
pub(super) struct Principal {
    pub(super) standing: Standing,
    pub(super) probes: Probes,
    pub(super) habits: Habits,
    /// Sequences in which steps jumped.
    pub(super) jumps: Spread,
    /// Addresses that it came from.
    addresses: Spread,
    /// Those that it came from last.
    homes: [Home; 8],
    /// When it may send its next request from an address that is under a measure and is not its home.
    pub(super) next_abroad: Millis,
    seen_s: u32,
    lengths: Option<Lengths>,
}

impl Principal {
    /// It came from an address; what was found by that.
    pub(super) fn see(&mut self, address: u64, now: Millis, options: &Options) -> Option<(Detector, Trip)> {
        let (now_s, lengths) = (seconds(now), options.lengths());
        (self.seen_s, self.lengths) = (now_s, Some(lengths));
        self.standing.fade(now, options);
        let tag = address as u32 | 1;
        match self.homes.iter_mut().find(|home| home.tag == tag) {
            Some(home) => home.last_s = now_s,
            None => {
                let oldest = self.homes.iter_mut().min_by_key(|home| (home.tag != 0, home.last_s));
                oldest
                    .into_iter()
                    .for_each(|home| *home = Home { tag, first_s: now_s, last_s: now_s, is_said: false });
            }
        }
        self.addresses.add(now_s, lengths, address, 1);
        self.addresses.take_distinct(options.addresses, 0).map(|trip| (Detector::ManyAddresses, trip))
    }

    /// Whether it came from the address before that second, and lately.
    pub(super) fn is_home(&self, address: u64, before_s: u32) -> bool {
        self.homes.iter().any(|home| home.tag == address as u32 | 1 && home.first_s < before_s)
    }

    /// Whether it did not, which is said once.
    pub(super) fn is_newly_abroad(&mut self, address: u64, before_s: u32) -> bool {
        let home = self.homes.iter_mut().find(|home| home.tag == address as u32 | 1);
        home.is_some_and(|home| home.first_s >= before_s && !std::mem::replace(&mut home.is_said, true))
    }
}

impl Record for Principal {
    fn rank(&self, now_s: u32) -> Rank {
        let evidence = self.lengths.map_or(0, |lengths| self.probes.evidence(now_s, lengths));
        Rank { standing: self.standing.weight(now_s), evidence, seen_s: self.seen_s }
    }
}

/// A key or identity that others try.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) standing: Standing,
    credentials: Spread,
    addresses: Spread,
    seen_s: u32,
}

impl Identity {
    /// Counts a credential that was refused.
    pub(super) fn refuse(
        &mut self,
        credential: u64,
        address: u64,
        now_s: u32,
        options: &Options,
    ) -> Option<Trip> {
        let (lengths, limits): (Lengths, Limits) = (options.lengths(), options.identity);
        self.seen_s = now_s;
        self.credentials.add(now_s, lengths, credential, 1);
        self.addresses.add(now_s, lengths, address, 1);
        if !self.credentials.has_distinct(limits) || !self.addresses.has_distinct(limits) {
            return None;
        }
        self.addresses = Spread::default();
        self.credentials.take_distinct(limits, 0)
    }
}

impl Record for Identity {
    fn rank(&self, _now_s: u32) -> Rank {
        Rank { standing: self.standing.weight(self.seen_s), evidence: 0, seen_s: self.seen_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_large_as_options_say_that_tables_become() {
        assert!(size_of::<Address>() <= 320 && size_of::<Principal>() <= 576 && size_of::<Identity>() <= 160);
    }
}
