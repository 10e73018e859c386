//! Alerts: values that begin, fire and end.
//!
//! An alert fires as soon as its rule holds (or has held for [`Options::pending_for`]) and ends when it has not held for
//! [`Options::resolve_after`] in a row, so that what hovers about a threshold is one alert and not twenty. While nothing is heard of the
//! service, no alert ends: silence is no recovery.

use super::objective::ObjectiveName;
use super::rules::{Reason, Severity};
use super::spans::{MINUTE, between};
use spinwell_core::{Millis, UnixMillis};
use std::fmt;

/// How alerts begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For how long a rule must hold before its alert fires. 0 by default: the short windows and minimum counts are there for that.
    pub pending_for: Millis,
    /// For how long a rule must not hold before its alert ends.
    pub resolve_after: Millis,
    /// After so long without a reading nothing is known.
    pub silent_after: Millis,
}

impl Default for Options {
    fn default() -> Self {
        Self { pending_for: Millis(0), resolve_after: Millis(5 * MINUTE), silent_after: Millis(MINUTE) }
    }
}

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its rule holds, not for long enough yet.
    Pending,
    /// It fires.
    Firing,
    /// It has ended.
    Resolved,
}

/// Which alert: the same for every time that a rule of an objective holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertId {
    /// The objective.
    pub objective: ObjectiveName,
    /// The rule's name.
    pub rule: String,
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.objective, self.rule)
    }
}

/// One time that a rule held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Which one.
    pub id: AlertId,
    /// Whose level of service it is about.
    pub service: String,
    /// How soon somebody has to look.
    pub severity: Severity,
    /// Where it is.
    pub state: State,
    /// Since when its rule holds.
    pub pending_since: UnixMillis,
    /// When it began to fire: Alertmanager's `startsAt`.
    pub started: Option<UnixMillis>,
    /// When it ended: `endsAt`.
    pub ended: Option<UnixMillis>,
    /// Since when its rule does not hold any more, while it still fires.
    pub clear_since: Option<UnixMillis>,
    /// Whether announced maintenance went on when it began.
    pub in_maintenance: bool,
    /// Why, with the newest figures for which its rule held.
    pub reason: Reason,
}

/// The name that all alerts of service levels have in Alertmanager and in rule files.
pub const ALERT_NAME: &str = "SpinwellServiceLevel";

impl Alert {
    /// What Alertmanager knows it by. The labels of an alert never change, and no figure is among them: an alert whose labels change is another
    /// one to it, and the old one would never end.
    #[must_use]
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("alertname", ALERT_NAME.to_owned()),
            ("service", self.service.clone()),
            ("objective", self.id.objective.to_string()),
            ("rule", self.id.rule.clone()),
            ("severity", self.severity.as_str().to_owned()),
        ]
    }

    /// What people read: `summary` and `description`.
    #[must_use]
    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        let during = if self.in_maintenance { " (began during announced maintenance)" } else { "" };
        vec![
            ("summary", format!("{} of {} is not kept{during}", self.id.objective, self.service)),
            ("description", self.reason.to_string()),
        ]
    }

    /// Whether it fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.state == State::Firing
    }
}

/// One rule's alert, over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tracker {
    alert: Option<Alert>,
}

impl Tracker {
    /// With the alert that it had.
    pub(super) fn with(alert: Option<Alert>) -> Self {
        Self { alert }
    }

    /// The newest alert, if there ever was one.
    pub(super) fn alert(&self) -> Option<&Alert> {
        self.alert.as_ref()
    }

    /// The rule holds: `begin` makes the alert where there is none. Whether it has begun to fire.
    pub(super) fn holds(
        &mut self,
        reason: Reason,
        begin: impl FnOnce() -> Alert,
        options: Options,
        now: UnixMillis,
    ) -> bool {
        if self.alert.as_ref().is_none_or(|alert| alert.state == State::Resolved) {
            self.alert = Some(begin());
        }
        let Some(alert) = &mut self.alert else { return false };
        (alert.reason, alert.clear_since) = (reason, None);
        let fires = alert.state == State::Pending && between(alert.pending_since, now) >= options.pending_for;
        if fires {
            (alert.state, alert.started) = (State::Firing, Some(now));
        }
        fires
    }

    /// The rule does not hold. Whether the alert has ended.
    pub(super) fn is_clear(&mut self, options: Options, now: UnixMillis) -> bool {
        match self.alert.as_mut().map(|alert| (alert.state, alert)) {
            Some((State::Pending, _)) => {
                self.alert = None;
                false
            }
            Some((State::Firing, alert)) => {
                let since = *alert.clear_since.get_or_insert(now);
                let is_over = between(since, now) >= options.resolve_after;
                if is_over {
                    (alert.state, alert.ended) = (State::Resolved, Some(now));
                }
                is_over
            }
            Some((State::Resolved, _)) | None => false,
        }
    }

    /// Nothing is known: what has been calm until now has not been calm for long.
    pub(super) fn is_unknown(&mut self) {
        if let Some(alert) = &mut self.alert {
            alert.clear_since = None;
        }
    }
}
