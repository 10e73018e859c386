//! Breaches: from when trouble began until it was over, and what their history says.
//!
//! Four moments of a breach are kept apart, because they say different things: when it *began*, was *detected* (an alert fired), was
//! *acknowledged* (an operator said that he is at it) and when service was *restored*. The alerts end later, when they have been
//! calm for long enough; that is `ended`, and no figure is made of it.

use super::objective::ObjectiveName;
use super::rules::Severity;
use super::run::Run;
use super::spans::between;
use spinwell_core::{Millis, Ratio, UnixMillis};
use std::sync::Arc;

/// Breaches of an objective that are remembered; the oldest are forgotten first.
pub const BREACHES_MAX: usize = 1_000;
/// Trouble so many times smaller than the greatest of a breach is noise beside it.
const NOISE: i128 = 100;

/// An operator is at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who.
    pub by: Arc<str>,
    /// Since when.
    pub at: UnixMillis,
}

/// A time in which an objective was not kept: while any of its pages fires, or any of its tickets. The two are counted apart: one ends when the
/// service works again, the other when the budget is not spent too fast any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The objective.
    pub objective: ObjectiveName,
    /// Whether it is of pages or of tickets.
    pub severity: Severity,
    /// The rules that found it, in the order in which they did.
    pub rules: Vec<String>,
    /// When trouble began, as far as the counts say.
    pub began: UnixMillis,
    /// When the first alert fired.
    pub detected: UnixMillis,
    /// When an operator said that he is at it.
    pub acknowledged: Option<Acknowledged>,
    /// When service was as it should be again, as far as the counts say; known when the breach has ended.
    pub restored: Option<UnixMillis>,
    /// When the last alert ended.
    pub ended: Option<UnixMillis>,
    /// The end of the last slot in which it got worse.
    pub worse_until: UnixMillis,
    /// How bad it was at its worst: [`Run::peak`].
    pub peak: i128,
}

impl Breach {
    /// One that is found now.
    pub(super) fn found(objective: ObjectiveName, severity: Severity, run: &Run, now: UnixMillis) -> Self {
        // Trouble of which the counts know nothing, such as a band that is left, begins when it is seen.
        let began = if run.sum > 0 { run.began.min(now) } else { now };
        Self {
            objective,
            severity,
            rules: Vec::new(),
            began,
            detected: now,
            acknowledged: None,
            restored: None,
            ended: None,
            worse_until: began,
            peak: 0,
        }
    }

    /// Another alert of it fires.
    pub(super) fn add(&mut self, rule: String) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// One of its rules holds. Long windows remember for hours what is over, and now and then something goes wrong in a service that works:
    /// other trouble than the one that was found is part of the breach only where it is worth speaking of beside it.
    pub(super) fn goes_on(&mut self, run: &Run) {
        if run.peak.saturating_mul(NOISE) < self.peak {
            return;
        }
        self.peak = self.peak.max(run.peak);
        self.worse_until = self.worse_until.max(run.until);
    }

    /// All its alerts have ended.
    pub(super) fn end(&mut self, now: UnixMillis) {
        // Of what the counts know nothing, such as a band that was left, the end of its alerts is known.
        self.restored = Some(if self.worse_until > self.began { self.worse_until } else { now });
        self.ended = Some(now);
    }

    /// Whether its alerts still fire.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// From its beginning to now, or until service was restored.
    #[must_use]
    pub fn lasted(&self, now: UnixMillis) -> Millis {
        between(self.began, self.restored.unwrap_or(now))
    }
}

/// What a history of breaches says about a time. Spans are means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Times {
    /// Breaches that began in it.
    pub breaches: usize,
    /// MTTD: from the beginning of trouble to the first alert.
    pub to_detect: Option<Millis>,
    /// MTTA: from the first alert until an operator said that he is at it, of breaches where one did.
    pub to_acknowledge: Option<Millis>,
    /// MTTR: from the beginning of trouble until service was restored, of breaches that are over.
    pub to_restore: Option<Millis>,
    /// MTBF: time that was free of breaches ÷ breaches.
    pub between_failures: Option<Millis>,
    /// The share of time that was free of breaches: MTBF ÷ (MTBF + mean length of a breach).
    pub availability: Option<Ratio>,
}

impl Times {
    /// What breaches of that severity say about the time from `since` to `now`. Tickets burn slowly, the service works meanwhile: ask for pages
    /// where availability is meant. Of breaches that overlap the beginning, the part within counts.
    #[must_use]
    pub fn of(breaches: &[Breach], severity: Severity, since: UnixMillis, now: UnixMillis) -> Self {
        let all = || breaches.iter().filter(|breach| breach.severity == severity);
        let within: Vec<&Breach> =
            all().filter(|breach| breach.began >= since && breach.began <= now).collect();
        let observed = between(since, now);
        let down = covered(all().map(|breach| {
            let until = breach.restored.unwrap_or(now);
            (breach.began.max(since), until.min(now))
        }));
        let up = Millis(observed.0.saturating_sub(down.0));
        let restored = within.iter().filter(|breach| breach.restored.is_some());
        let acknowledged = within.iter().filter_map(|breach| {
            let acknowledged = breach.acknowledged.as_ref()?;
            Some(between(breach.detected, acknowledged.at))
        });
        Self {
            breaches: within.len(),
            to_detect: mean(within.iter().map(|breach| between(breach.began, breach.detected))),
            to_acknowledge: mean(acknowledged),
            to_restore: mean(restored.map(|breach| breach.lasted(now))),
            between_failures: (!within.is_empty()).then(|| Millis(up.0 / within.len() as u64)),
            availability: (observed.0 > 0).then(|| Ratio::new(up.0 as f64 / observed.0 as f64)).flatten(),
        }
    }
}

/// How much time spans cover together.
fn covered(spans: impl Iterator<Item = (UnixMillis, UnixMillis)>) -> Millis {
    let mut spans: Vec<_> = spans.filter(|(from, to)| from < to).collect();
    spans.sort_unstable();
    let (mut sum, mut upto) = (0, UnixMillis(0));
    for (from, to) in spans {
        sum += between(from.max(upto), to).0;
        upto = upto.max(to);
    }
    Millis(sum)
}

fn mean(spans: impl Iterator<Item = Millis>) -> Option<Millis> {
    let (sum, count) = spans.fold((0u64, 0u64), |(sum, count), span| (sum.saturating_add(span.0), count + 1));
    sum.checked_div(count).map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Began, detected, acknowledged, restored, in seconds; 0 is never.
    fn breach(severity: Severity, moments: [u64; 4]) -> Breach {
        let [began, detected, acknowledged, restored] = moments.map(|seconds| UnixMillis(seconds * 1_000));
        let acknowledged =
            Some(acknowledged).filter(|at| at.0 > 0).map(|at| Acknowledged { by: "ann".into(), at });
        let restored = Some(restored).filter(|at| at.0 > 0);
        let name = ObjectiveName::new("availability").unwrap();
        Breach {
            severity,
            began,
            detected,
            acknowledged,
            restored,
            ..Breach::found(name, severity, &Run::default(), began)
        }
    }

    #[test]
    fn each_mean_is_of_its_own_moments() {
        let history = [
            breach(Severity::Page, [100, 130, 160, 400]),
            breach(Severity::Page, [1_000, 1_010, 0, 1_100]),
            breach(Severity::Ticket, [2_000, 5_000, 0, 9_000]),
        ];
        let times = Times::of(&history, Severity::Page, UnixMillis(0), UnixMillis(10_000_000));
        let seconds = |seconds: u64| Some(Millis(seconds * 1_000));
        assert_eq!(times.breaches, 2);
        assert_eq!((times.to_detect, times.to_acknowledge), (seconds(20), seconds(30)));
        assert_eq!((times.to_restore, times.between_failures), (seconds(200), seconds(4_800)));
        assert_eq!(times.availability, Ratio::new(0.96));
        let tickets = Times::of(&history, Severity::Ticket, UnixMillis(0), UnixMillis(10_000_000));
        assert_eq!((tickets.breaches, tickets.availability), (1, Ratio::new(0.3)));
    }

    #[test]
    fn what_is_not_over_counts_until_now_and_what_overlaps_counts_once() {
        let history = [breach(Severity::Page, [50, 60, 0, 300]), breach(Severity::Page, [200, 210, 0, 0])];
        let times = Times::of(&history, Severity::Page, UnixMillis(100_000), UnixMillis(1_100_000));
        assert_eq!((times.breaches, times.to_restore), (1, None));
        assert_eq!(times.availability, Ratio::new(0.0));
        let none = Times::of(&[], Severity::Page, UnixMillis(0), UnixMillis(1_000));
        assert_eq!((none.to_detect, none.between_failures, none.availability), (None, None, Ratio::new(1.0)));
        assert_eq!(Times::of(&[], Severity::Page, UnixMillis(5), UnixMillis(5)).availability, None);
    }
}
