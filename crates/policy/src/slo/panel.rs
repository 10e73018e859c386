//! What operators see: a panel for each objective, and one number for all.

use super::alert::Options;
use super::breach::Times;
use super::budget::{Budget, PRESENT};
use super::counts::Counts;
use super::goal::{Goal, PerMillion};
use super::objective::ObjectiveName;
use super::rules::{EVENTS_MIN, Severity};
use super::spans::DAY;
use super::watch::Watch;
use spinwell_core::{Millis, UnixMillis};

/// By how much of what the budget allows the last hour must differ from the last day to be a trend.
const TREND: f64 = 0.25;
/// What the present is compared with.
const BEFORE: Millis = Millis(DAY);

/// How an objective stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing, or too little, was counted to say.
    NotEnoughData,
    /// It is kept.
    Kept,
    /// It is kept over its window, but not for long if this goes on: an alert fires.
    AtRisk,
    /// It is not kept over its window.
    Missed,
}

impl Status {
    /// As text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotEnoughData => "not enough data",
            Self::Kept => "kept",
            Self::AtRisk => "at risk",
            Self::Missed => "missed",
        }
    }
}

/// How the last hour compares with the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// Too little was counted to say.
    Unknown,
    /// Less is bad.
    Improving,
    /// As before.
    Steady,
    /// More is bad.
    Worsening,
}

/// What operators see of an objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Its name.
    pub name: ObjectiveName,
    /// What people read.
    pub title: String,
    /// `request-based` or `time slices`.
    pub kind: &'static str,
    /// What share of the last hour's events was good.
    pub current: Option<f64>,
    /// What share must be good.
    pub threshold: Goal,
    /// What share of the events of its window was good.
    pub compliance: Option<f64>,
    /// The same without announced maintenance.
    pub compliance_without_maintenance: Option<f64>,
    /// How the last hour compares with the last day.
    pub trend: Trend,
    /// How it stands.
    pub status: Status,
    /// The gravest of its alerts that fire.
    pub firing: Option<Severity>,
    /// When its last breach began, of pages or tickets.
    pub last_breach: Option<UnixMillis>,
    /// What the pages among its breaches say about its window, or about the time since it is looked at.
    pub times: Times,
    /// Its error budget.
    pub budget: Budget,
    /// The same without announced maintenance.
    pub budget_without_maintenance: Budget,
    /// How much it counts in the health score.
    pub weight: u32,
}

impl Panel {
    /// Of an objective now.
    pub(super) fn of(watch: &Watch, options: Options, now: UnixMillis) -> Self {
        let objective = watch.objective();
        let (budget, without) = (watch.budget(now), watch.budget_without_maintenance(now));
        let firing = watch.alerts().filter(|alert| alert.is_firing()).map(|alert| alert.severity).max();
        let last = watch.last(PRESENT, now);
        let since = watch.since().max(now.before(objective.window));
        Self {
            name: objective.name.clone(),
            title: objective.title.clone(),
            kind: objective.indicator.kind(),
            current: last.good_share(),
            threshold: objective.goal,
            compliance: budget.counts.good_share(),
            compliance_without_maintenance: without.counts.good_share(),
            trend: trend(objective.goal, last, watch.last(BEFORE, now)),
            status: status(objective.goal, budget.counts, firing, watch.is_silent(options, now)),
            firing,
            last_breach: watch.breaches().iter().map(|breach| breach.began).max(),
            times: Times::of(watch.breaches(), Severity::Page, since, now),
            budget,
            budget_without_maintenance: without,
            weight: objective.weight,
        }
    }
}

fn status(goal: Goal, counts: Counts, firing: Option<Severity>, is_silent: bool) -> Status {
    match goal.is_met(counts) {
        Some(false) => Status::Missed,
        _ if firing.is_some() => Status::AtRisk,
        _ if is_silent => Status::NotEnoughData,
        None => Status::NotEnoughData,
        Some(true) => Status::Kept,
    }
}

fn trend(goal: Goal, last: Counts, before: Counts) -> Trend {
    if last.total < EVENTS_MIN || before.total < EVENTS_MIN {
        return Trend::Unknown;
    }
    let allowed = goal.budget().map_or(1e-6, PerMillion::share);
    let bad = |counts: Counts| counts.bad() as f64 / counts.total as f64;
    match (bad(last) - bad(before)) / allowed {
        more if more > TREND => Trend::Worsening,
        less if less < -TREND => Trend::Improving,
        _ => Trend::Steady,
    }
}

/// All that operators see, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// One for each objective, by name.
    pub panels: Vec<Panel>,
    /// How well all is.
    pub health: Health,
    /// The moment.
    pub generated_at: UnixMillis,
    /// When there will be newer figures.
    pub next_update: UnixMillis,
}

/// A part of the health score.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthPart {
    /// The objective.
    pub name: ObjectiveName,
    /// How well it is, 0 to 100; nothing where there is not enough data, and then it does not count.
    pub score: Option<f64>,
    /// How much it counts.
    pub weight: u32,
}

/// How well all is.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// From 0 to 100: the mean of the parts by their weights, and at most [`Self::PAGED_MAX`] while anybody is paged. Nothing where nothing
    /// is known.
    pub score: Option<f64>,
    /// The mean, before it was bounded.
    pub mean: Option<f64>,
    /// The objectives for which somebody is paged.
    pub paged: Vec<ObjectiveName>,
    /// The parts.
    pub parts: Vec<HealthPart>,
}

impl Health {
    /// The most that the score can be while anybody is paged: a mean over a dozen objectives would hide that one is at zero.
    pub const PAGED_MAX: f64 = 49.0;

    /// Of these panels.
    #[must_use]
    pub fn of(panels: &[Panel]) -> Self {
        let parts: Vec<HealthPart> = panels
            .iter()
            .map(|panel| HealthPart { name: panel.name.clone(), score: score(panel), weight: panel.weight })
            .collect();
        let known = parts.iter().filter_map(|part| Some((part.score?, f64::from(part.weight))));
        let (sum, weights) = known
            .fold((0.0, 0.0), |(sum, weights), (score, weight)| (sum + score * weight, weights + weight));
        let mean = (weights > 0.0).then(|| sum / weights);
        let paged: Vec<_> = panels.iter().filter(|panel| panel.firing == Some(Severity::Page)).collect();
        let bound = if paged.is_empty() { 100.0 } else { Self::PAGED_MAX };
        let paged = paged.into_iter().map(|panel| panel.name.clone()).collect();
        Self { score: mean.map(|mean| mean.min(bound)), mean, paged, parts }
    }
}

/// How well an objective is: the share of its budget that is left in per cent (100 where there is no budget and it is kept), halved
/// while a ticket is open, and 0 while somebody is paged or where it is missed.
fn score(panel: &Panel) -> Option<f64> {
    let left = panel.budget.left_share.unwrap_or(1.0).clamp(0.0, 1.0) * 100.0;
    match (panel.status, panel.firing) {
        (_, Some(Severity::Page)) | (Status::Missed, _) => Some(0.0),
        (Status::NotEnoughData, _) => None,
        (_, Some(Severity::Ticket)) => Some(left / 2.0),
        (_, None) => Some(left),
    }
}
