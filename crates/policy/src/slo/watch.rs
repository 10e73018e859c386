//! One objective, over time.

use super::alert::{Alert, AlertId, Options, State, Tracker};
use super::breach::{Acknowledged, BREACHES_MAX, Breach};
use super::budget::Budget;
use super::counts::Counts;
use super::history::{History, HistoryPast};
use super::objective::{Indicator, Objective, ObjectiveName};
use super::rules::{Look, Reason, Rule, Severity};
use super::run::{Allowance, Outage, Run};
use super::slices::Slices;
use super::sources::{Reading, Sources, SourcesPast, Taken};
use super::spans::{MINUTE, between};
use spinwell_core::{Millis, UnixMillis};
use std::sync::Arc;

/// What is graver comes first.
const SEVERITIES: [Severity; 2] = [Severity::Page, Severity::Ticket];

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
    /// Trouble that makes tickets, and trouble that pages.
    runs: [Run; 2],
    outage: Option<Outage>,
    /// One for each rule, in their order.
    trackers: Vec<Tracker>,
    /// In the order in which they were found. Of each severity, one may be open.
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
    /// The newest trouble that makes tickets, and the newest that pages.
    pub runs: [Run; 2],
    /// Since when nothing has succeeded, if so.
    pub outage: Option<Outage>,
    /// The newest alert of each rule that ever had one.
    pub alerts: Vec<Alert>,
    /// Breaches, in the order in which they were found.
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
            runs: [Run::default(); 2],
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
            runs: past.runs,
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
            runs: self.runs,
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
        for severity in SEVERITIES {
            let allowance = Allowance { goal: self.objective.goal, severity };
            self.runs[severity as usize].advance(allowance, counts, from, now);
        }
        self.outage = Outage::advance(self.outage, counts, from);
        if self.is_silent(options, now) {
            self.trackers.iter_mut().for_each(Tracker::is_unknown);
            return Vec::new();
        }
        let mut changes = self.judge(options, is_excused, now);
        changes.extend(SEVERITIES.into_iter().filter_map(|severity| self.follow(severity, now)));
        changes
    }

    /// Asks every rule.
    fn judge(&mut self, options: Options, in_maintenance: bool, now: UnixMillis) -> Vec<Change> {
        let Self { objective, history, outage, trackers, runs, breaches, .. } = self;
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
            let severity = rule.severity();
            if let Some(breach) = open(breaches, severity) {
                breach.goes_on(&runs[severity as usize]);
            }
        }
        changes
    }

    /// Begins and ends breaches as alerts of a severity do.
    fn follow(&mut self, severity: Severity, now: UnixMillis) -> Option<Change> {
        let Self { trackers, breaches, runs, objective, .. } = self;
        let run = &mut runs[severity as usize];
        let is_firing = |alert: &&Alert| alert.is_firing() && alert.severity == severity;
        let firing: Vec<_> = trackers.iter().filter_map(Tracker::alert).filter(is_firing).collect();
        let rules = firing.into_iter().map(|alert| alert.id.rule.clone());
        match open(breaches, severity) {
            Some(breach) if rules.len() == 0 => {
                breach.end(now);
                run.end();
                Some(Change::BreachEnded(breach.clone()))
            }
            Some(breach) => {
                rules.for_each(|rule| breach.add(rule));
                None
            }
            None if rules.len() == 0 => None,
            None => {
                let mut breach = Breach::found(objective.name.clone(), severity, run, now);
                rules.for_each(|rule| breach.add(rule));
                breach.goes_on(run);
                remember(breaches, breach.clone());
                Some(Change::BreachBegan(breach))
            }
        }
    }

    /// An operator is at whatever is open. Whether there is any that nobody had acknowledged.
    pub(super) fn acknowledge(&mut self, by: &Arc<str>, now: UnixMillis) -> bool {
        let waiting = |breach: &&mut Breach| breach.is_open() && breach.acknowledged.is_none();
        let mut is_any = false;
        for breach in self.breaches.iter_mut().filter(waiting) {
            breach.acknowledged = Some(Acknowledged { by: by.clone(), at: now });
            is_any = true;
        }
        is_any
    }

    /// The window after which it can be said whether a remedy has helped: the shortest short window of the burn rates that fire, or 5
    /// minutes.
    #[must_use]
    pub fn review_window(&self) -> Millis {
        let fires = self.trackers.iter().map(|own| own.alert().is_some_and(Alert::is_firing));
        let firing = self.objective.rules.iter().zip(fires).filter(|(_, fires)| *fires);
        let short = |rule: &Rule| if let Rule::Burn { short, .. } = rule { Some(*short) } else { None };
        firing.filter_map(|(rule, _)| short(rule)).min().unwrap_or(Millis(5 * MINUTE))
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

    /// Breaches, in the order in which they were found.
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

/// The breach of a severity that is open.
fn open(breaches: &mut [Breach], severity: Severity) -> Option<&mut Breach> {
    breaches.iter_mut().rev().find(|breach| breach.is_open() && breach.severity == severity)
}

/// Remembers a breach. The oldest that is over is forgotten where there are too many.
fn remember(breaches: &mut Vec<Breach>, breach: Breach) {
    if breaches.len() >= BREACHES_MAX
        && let Some(oldest) = breaches.iter().position(|breach| !breach.is_open())
    {
        breaches.remove(oldest);
    }
    breaches.push(breach);
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
