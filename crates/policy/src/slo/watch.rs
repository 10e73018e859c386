//! One objective, over time.

use super::alert::{Alert, AlertId, Options, State, Tracker};
use super::breach::{Acknowledged, BREACHES_MAX, Breach};
use super::budget::Budget;
use super::counts::Counts;
use super::history::{History, HistoryPast};
use super::objective::{Indicator, Objective, ObjectiveName};
use super::rules::{Look, Reason, Rule};
use super::run::{Outage, Run};
use super::slices::Slices;
use super::sources::{Reading, Sources, SourcesPast, Taken};
use super::spans::between;
use spinwell_core::{Millis, UnixMillis};
use std::sync::Arc;

/// Something that whoever carries this out has to tell, write down or act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An alert has begun to fire.
    Fires(Alert),
    /// An alert has ended.
    Resolved(Alert),
    /// A breach has begun.
    BreachBegan(Breach),
    /// A breach is over.
    BreachEnded(Breach),
}

/// One objective: what was counted, what is known of its troubles, its alerts and its breaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    objective: Objective,
    sources: Sources,
    /// Slices that are not judged yet, where the indicator is made of slices.
    slices: Slices,
    history: History,
    run: Run,
    outage: Option<Outage>,
    /// One for each rule, in their order.
    trackers: Vec<Tracker>,
    /// By their beginning. Only the last one may be open.
    breaches: Vec<Breach>,
    /// Since when it is looked at.
    since: UnixMillis,
    /// When a source was last heard of.
    heard: Option<UnixMillis>,
    /// When it was last advanced, and what had been counted then.
    advanced: (UnixMillis, Counts),
}

/// What is known of an objective, as plain data: whoever writes it down goes on from it after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchPast {
    /// The objective that it is about.
    pub objective: ObjectiveName,
    /// What was measured: [`Indicator::line`].
    pub indicator: String,
    /// The sources of its counts.
    pub sources: SourcesPast,
    /// Slices that are not judged yet.
    pub slices: Slices,
    /// What was counted.
    pub history: HistoryPast,
    /// The newest trouble.
    pub run: Run,
    /// Since when nothing has succeeded, if so.
    pub outage: Option<Outage>,
    /// The newest alert of each rule that ever had one.
    pub alerts: Vec<Alert>,
    /// Breaches, by their beginning.
    pub breaches: Vec<Breach>,
    /// Since when it is looked at.
    pub since: UnixMillis,
    /// When a source was last heard of.
    pub heard: Option<UnixMillis>,
    /// When it was last advanced, and what had been counted then.
    pub advanced: (UnixMillis, Counts),
}

impl Watch {
    /// Looks at an objective from now on.
    pub(super) fn new(objective: Objective, now: UnixMillis) -> Self {
        Self {
            sources: Sources::new(now),
            slices: Slices::new(now),
            history: History::new(objective.window),
            run: Run::default(),
            outage: None,
            trackers: objective.rules.iter().map(|_| Tracker::default()).collect(),
            breaches: Vec::new(),
            since: now,
            heard: None,
            advanced: (now, Counts::ZERO),
            objective,
        }
    }

    /// Goes on with what is known of an objective. Another goal, window or rules may have been set since; where another thing is measured,
    /// what is known is of no use, and it begins anew.
    pub(super) fn restored(objective: Objective, past: &WatchPast, now: UnixMillis) -> Self {
        if objective.indicator.line() != past.indicator {
            return Self::new(objective, now);
        }
        let mut history = History::new(objective.window);
        history.restore(&past.history);
        let alert = |rule: &Rule| past.alerts.iter().find(|alert| alert.id.rule == rule.name()).cloned();
        Self {
            sources: Sources::restored(&past.sources),
            slices: past.slices,
            history,
            run: past.run,
            outage: past.outage,
            trackers: objective.rules.iter().map(|rule| Tracker::with(alert(rule))).collect(),
            breaches: past.breaches.clone(),
            since: past.since,
            heard: past.heard,
            advanced: past.advanced,
            objective,
        }
    }

    /// As plain data.
    #[must_use]
    pub fn past(&self) -> WatchPast {
        WatchPast {
            objective: self.objective.name.clone(),
            indicator: self.objective.indicator.line(),
            sources: self.sources.past(),
            slices: self.slices,
            history: self.history.past(),
            run: self.run,
            outage: self.outage,
            alerts: self.alerts().cloned().collect(),
            breaches: self.breaches.clone(),
            since: self.since,
            heard: self.heard,
            advanced: self.advanced,
        }
    }

    /// The objective.
    #[must_use]
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Takes what a process has counted since it started. The events are taken to have happened when they were read.
    pub(super) fn read(&mut self, reading: &Reading, is_excused: bool, now: UnixMillis) -> Taken {
        let (taken, from, to) = self.sources.take(reading, now);
        if taken == Taken::Late {
            return taken;
        }
        self.heard = Some(now);
        match self.objective.indicator {
            Indicator::Ratio(_) => self.history.count(from, to, is_excused, now),
            Indicator::TimeSlices { .. } => self.slices.count(from, to),
        }
        taken
    }

    /// Judges what was read until now: which alerts begin and end.
    pub(super) fn advance(&mut self, options: Options, is_excused: bool, now: UnixMillis) -> Vec<Change> {
        if let Indicator::TimeSlices { length, per_second, .. } = self.objective.indicator {
            let judged = self.slices.judge(length, per_second, now);
            if judged.total > 0 {
                self.history.count(Counts::ZERO, judged, is_excused, now);
            }
        }
        let (from, before) = std::mem::replace(&mut self.advanced, (now, self.history.all()));
        let counts = self.history.all().since(before);
        self.run.advance(self.objective.goal, counts, from, now);
        self.outage = Outage::advance(self.outage, counts, from);
        if self.is_silent(options, now) {
            self.trackers.iter_mut().for_each(Tracker::is_unknown);
            return Vec::new();
        }
        let mut changes = self.judge(options, is_excused, now);
        changes.extend(self.follow(now));
        changes
    }

    /// Asks every rule.
    fn judge(&mut self, options: Options, in_maintenance: bool, now: UnixMillis) -> Vec<Change> {
        let Self { objective, history, outage, trackers, run, breaches, .. } = self;
        let look = Look { goal: objective.goal, history, outage: *outage, window: objective.window, now };
        let mut changes = Vec::new();
        for (rule, tracker) in objective.rules.iter().zip(trackers) {
            let Some(reason) = rule.holds(&look) else {
                let has_ended = tracker.is_clear(options, now);
                changes.extend(tracker.alert().filter(|_| has_ended).cloned().map(Change::Resolved));
                continue;
            };
            let begin = || begun(objective, rule, reason, in_maintenance, now);
            let fires = tracker.holds(reason, begin, options, now);
            changes.extend(tracker.alert().filter(|_| fires).cloned().map(Change::Fires));
            if let Some(breach) = breaches.last_mut().filter(|breach| breach.is_open()) {
                breach.goes_on(run);
            }
        }
        changes
    }

    /// Begins and ends breaches as alerts do.
    fn follow(&mut self, now: UnixMillis) -> Option<Change> {
        let firing = self.trackers.iter().filter_map(Tracker::alert).filter(|alert| alert.is_firing());
        let firing: Vec<_> = firing.map(|alert| (alert.id.rule.clone(), alert.severity)).collect();
        let is_open = self.breaches.last().is_some_and(Breach::is_open);
        if !is_open && !firing.is_empty() {
            self.breaches.push(Breach::found(self.objective.name.clone(), &self.run, now));
            let too_many = self.breaches.len().saturating_sub(BREACHES_MAX);
            self.breaches.drain(..too_many);
        }
        let breach = self.breaches.last_mut().filter(|breach| breach.is_open())?;
        if firing.is_empty() {
            breach.end(now);
            self.run.end();
            return Some(Change::BreachEnded(breach.clone()));
        }
        firing.into_iter().for_each(|(rule, severity)| breach.add(rule, severity));
        if is_open {
            return None;
        }
        breach.goes_on(&self.run);
        Some(Change::BreachBegan(breach.clone()))
    }

    /// An operator is at the breach that is open. Whether there is one that nobody had acknowledged.
    pub(super) fn acknowledge(&mut self, by: &Arc<str>, now: UnixMillis) -> bool {
        let open =
            self.breaches.last_mut().filter(|breach| breach.is_open() && breach.acknowledged.is_none());
        let Some(breach) = open else { return false };
        breach.acknowledged = Some(Acknowledged { by: by.clone(), at: now });
        true
    }

    /// Whether nothing has been heard for so long that nothing is known.
    #[must_use]
    pub fn is_silent(&self, options: Options, now: UnixMillis) -> bool {
        self.heard.is_none_or(|heard| between(heard, now) > options.silent_after)
    }

    /// The newest alert of each rule that ever had one.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.trackers.iter().filter_map(Tracker::alert)
    }

    /// Breaches, by their beginning.
    #[must_use]
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Since when it is looked at.
    #[must_use]
    pub const fn since(&self) -> UnixMillis {
        self.since
    }

    /// What was counted in the last `window`: up to 3 days, or the objective's. See [`super::Budget::since`] for what "the last" is.
    #[must_use]
    pub fn last(&self, window: Millis, now: UnixMillis) -> Counts {
        self.history.last(window, now)
    }

    /// When the last `window` begins.
    #[must_use]
    pub fn edge(&self, window: Millis, now: UnixMillis) -> UnixMillis {
        self.history.edge(window, now)
    }

    /// The error budget as measured.
    #[must_use]
    pub fn budget(&self, now: UnixMillis) -> Budget {
        Budget::measured(self.objective.goal, self.objective.window, &self.history, now)
    }

    /// The error budget without what was counted during announced maintenance. How fast it is spent is not told twice.
    #[must_use]
    pub fn budget_without_maintenance(&self, now: UnixMillis) -> Budget {
        Budget::without_maintenance(self.objective.goal, self.objective.window, &self.history, now)
    }
}

/// An alert whose rule begins to hold.
fn begun(objective: &Objective, rule: &Rule, reason: Reason, in_maintenance: bool, now: UnixMillis) -> Alert {
    Alert {
        id: AlertId { objective: objective.name.clone(), rule: rule.name() },
        service: objective.service.clone(),
        severity: rule.severity(),
        state: State::Pending,
        pending_since: now,
        started: None,
        ended: None,
        clear_since: None,
        in_maintenance,
        reason,
    }
}
