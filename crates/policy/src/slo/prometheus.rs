//! Objectives as rule files of Prometheus: recording rules for the shares of bad events and the same alerts as ours.
//!
//! For those whose alerts come from a Prometheus of their own. It sees what it has scraped and extrapolates at the edges of windows, so
//! its alerts come within a scrape or two of ours and its figures agree to a fraction of a per cent; budgets to the request are ours alone.
//! Time slices are left out: no query over counters tells how the seconds between two scrapes were. So are bands over more events than a
//! query should read at once.

use super::alert::ALERT_NAME;
use super::goal::Goal;
use super::objective::{Indicator, Objective, Part};
use super::rules::{Rule, Severity};
use super::selector::{Selector, quoted};
use super::spans::text;
use spinwell_core::Millis;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Names that the rule files introduce.
mod names {
    /// The share of bad events in a window: `{PREFIX}5m`.
    pub(super) const ERRORS: &str = "spinwell:slo_bad:ratio_rate";
    /// How many events a window held: `{PREFIX}1h`.
    pub(super) const EVENTS: &str = "spinwell:slo_events:increase";
    /// The share that may be bad.
    pub(super) const BUDGET: &str = "spinwell:slo_budget:ratio";
}

/// A rule file, in YAML, with one group for each objective that can be told in it. Groups and rules are in the order of the objectives, and nothing in
/// it depends on when it is written.
#[must_use]
pub fn rule_file(objectives: &[Objective]) -> String {
    let mut file = String::from("groups:\n");
    let told: Vec<&Objective> = objectives.iter().filter(|own| is_told(own)).collect();
    if told.is_empty() {
        return "groups: []\n".to_owned();
    }
    for objective in told {
        // Writing to a string does not fail.
        let _ = group(&mut file, objective);
    }
    file
}

/// Whether an objective can be told in a rule file.
#[must_use]
pub fn is_told(objective: &Objective) -> bool {
    matches!(objective.indicator, Indicator::Ratio(_)) && !matches!(objective.goal, Goal::Within { .. })
}

fn group(file: &mut String, objective: &Objective) -> std::fmt::Result {
    writeln!(file, "  - name: {}", quoted(&format!("spinwell-slo-{}", objective.name)))?;
    writeln!(file, "    interval: 10s")?;
    writeln!(file, "    rules:")?;
    if let Some(budget) = objective.goal.budget() {
        recording(file, objective, names::BUDGET, &format!("vector({})", budget.share()))?;
    }
    for window in windows(objective) {
        recording(file, objective, &format!("{}{}", names::ERRORS, text(window)), &bad_share(objective, window))?;
        let events = sum("increase", &objective.indicator.events().total, window);
        recording(file, objective, &format!("{}{}", names::EVENTS, text(window)), &events)?;
    }
    objective.rules.iter().try_for_each(|rule| alert(file, objective, rule))
}

/// All windows of an objective's rules and the objective's own, the shortest first.
fn windows(objective: &Objective) -> BTreeSet<Millis> {
    let of_rule = |rule: &Rule| match *rule {
        Rule::Burn { long, short, .. } => vec![short, long],
        Rule::Outage { .. } | Rule::AnyEvent { .. } | Rule::OutOfBand => Vec::new(),
    };
    objective.rules.iter().flat_map(of_rule).collect()
}

/// What some counters went up by or how fast, summed. A counter that is not there is zero.
fn sum(function: &str, selectors: &[Selector], window: Millis) -> String {
    let each = |own: &Selector| format!("(sum({function}({own}[{}])) or vector(0))", text(window));
    selectors.iter().map(each).collect::<Vec<_>>().join(" + ")
}

/// The share of bad events within a window.
fn bad_share(objective: &Objective, window: Millis) -> String {
    let events = objective.indicator.events();
    let total = sum("rate", &events.total, window);
    match &events.part {
        Part::Bad(bad) => format!("({}) / ({total} > 0)", sum("rate", bad, window)),
        Part::Good(good) => format!("1 - ({}) / ({total} > 0)", sum("rate", good, window)),
    }
}

/// How many events were bad within a window.
fn bad_events(objective: &Objective, window: Millis) -> String {
    let events = objective.indicator.events();
    match &events.part {
        Part::Bad(bad) => sum("increase", bad, window),
        Part::Good(good) => {
            format!("({}) - ({})", sum("increase", &events.total, window), sum("increase", good, window))
        }
    }
}

fn recording(file: &mut String, objective: &Objective, name: &str, expression: &str) -> std::fmt::Result {
    writeln!(file, "      - record: {}", quoted(name))?;
    writeln!(file, "        expr: {}", quoted(expression))?;
    writeln!(file, "        labels:")?;
    labels(file, objective)
}

fn labels(file: &mut String, objective: &Objective) -> std::fmt::Result {
    writeln!(file, "          service: {}", quoted(&objective.service))?;
    writeln!(file, "          objective: {}", quoted(objective.name.as_str()))
}

/// The same alert as ours, with the same labels.
fn alert(file: &mut String, objective: &Objective, rule: &Rule) -> std::fmt::Result {
    let Some((expression, lasts)) = condition(objective, rule) else { return Ok(()) };
    writeln!(file, "      - alert: {}", quoted(ALERT_NAME))?;
    writeln!(file, "        expr: {}", quoted(&expression))?;
    if let Some(lasts) = lasts {
        writeln!(file, "        for: {}", text(lasts))?;
    }
    writeln!(file, "        labels:")?;
    labels(file, objective)?;
    writeln!(file, "          rule: {}", quoted(&rule.name()))?;
    writeln!(file, "          severity: {}", quoted(rule.severity().as_str()))?;
    let summary = format!("{} of {} is not kept", objective.name, objective.service);
    writeln!(file, "        annotations:")?;
    writeln!(file, "          summary: {}", quoted(&summary))?;
    writeln!(file, "          description: {}", quoted(&description(objective, rule)))
}

/// When a rule holds, and for how long it must.
fn condition(objective: &Objective, rule: &Rule) -> Option<(String, Option<Millis>)> {
    let chosen = format!(
        "{{service={},objective={}}}",
        quoted(&objective.service),
        quoted(objective.name.as_str())
    );
    match *rule {
        Rule::Burn { long, short, above, events_min, .. } => {
            let budget = objective.goal.budget()?;
            let limit = format!("{above} * {}", budget.share());
            let fast = |window| format!("{}{}{chosen} > {limit}", names::ERRORS, text(window));
            let many = format!("{}{}{chosen} >= {events_min}", names::EVENTS, text(long));
            Some((format!("{} and {} and {many}", fast(long), fast(short)), None))
        }
        Rule::Outage { lasts, asked_min } => {
            // Long enough to hold two scrapes; nobody succeeds and somebody asks.
            let (total, window) = (&objective.indicator.events().total, Millis(60_000));
            let asked = sum("increase", total, window);
            let bad = bad_share(objective, window);
            Some((format!("({bad}) >= 1 and ({asked}) >= {asked_min}"), Some(lasts)))
        }
        Rule::AnyEvent { quiet } => Some((format!("({}) > 0", bad_events(objective, quiet)), None)),
        Rule::OutOfBand => None,
    }
}

fn description(objective: &Objective, rule: &Rule) -> String {
    let promised = objective.goal.least();
    match *rule {
        Rule::Burn { severity: Severity::Page, above, long, short, .. }
        | Rule::Burn { severity: Severity::Ticket, above, long, short, .. } => format!(
            "the error budget of {promised} is spent more than {above} times as fast as it may be, in {} and {}",
            text(long),
            text(short)
        ),
        Rule::Outage { lasts, .. } => format!("nothing has succeeded for {}", text(lasts)),
        Rule::AnyEvent { .. } | Rule::OutOfBand => "something has happened that must not happen at all".to_owned(),
    }
}
