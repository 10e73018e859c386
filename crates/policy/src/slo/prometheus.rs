//! Objectives as rule files of Prometheus: recording rules for the shares of bad events and the same alerts as ours.
//!
//! For those whose alerts come from a Prometheus of their own, which has to scrape every 10 s or more often: it sees an outage of 30 s between
//! three scrapes. It extrapolates at the edges of windows, so its alerts come within a scrape or two of ours and its figures agree to a fraction
//! of a per cent; budgets to the request are ours alone. Time slices are left out: no query over counters tells how the seconds
//! between two scrapes were.
//!
//! ```
//! use spinwell_policy::slo::{defaults, prometheus};
//! let file = prometheus::rule_file(&defaults::objectives());
//! assert!(file.starts_with("groups:\n  - name: \"spinwell-slo-availability\""));
//! assert!(file.contains("rule: \"burn_1h_5m\"\n          severity: \"page\""));
//! ```

use super::alert::ALERT_NAME;
use super::goal::Goal;
use super::objective::{Indicator, Objective, Part};
use super::rules::Rule;
use super::selector::{Selector, quoted};
use super::spans::text;
use spinwell_core::Millis;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Names that the rule files introduce.
mod names {
    /// The share of bad events in a window, whose length follows: `..5m`.
    pub(super) const ERRORS: &str = "spinwell:slo_bad:ratio_rate";
    /// How many events a window held, whose length follows.
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
    matches!(objective.indicator, Indicator::Ratio(_))
}

fn group(file: &mut String, objective: &Objective) -> std::fmt::Result {
    writeln!(file, "  - name: {}", quoted(&format!("spinwell-slo-{}", objective.name)))?;
    writeln!(file, "    interval: 10s")?;
    writeln!(file, "    rules:")?;
    if let Some(budget) = objective.goal.budget() {
        recording(file, objective, names::BUDGET, &format!("vector({})", budget.share()))?;
    }
    for window in windows(objective) {
        recording(
            file,
            objective,
            &format!("{}{}", names::ERRORS, text(window)),
            &bad_share(objective, window),
        )?;
        let events = sum("increase", &objective.indicator.events().total, window);
        recording(file, objective, &format!("{}{}", names::EVENTS, text(window)), &events)?;
    }
    objective.rules.iter().try_for_each(|rule| alert(file, objective, rule))
}

/// All windows over which an objective's rules ask for shares, the shortest first.
fn windows(objective: &Objective) -> BTreeSet<Millis> {
    let of_rule = |rule: &Rule| match *rule {
        Rule::Burn { long, short, .. } => vec![short, long],
        Rule::OutOfBand => vec![objective.window],
        Rule::Outage { .. } | Rule::AnyEvent { .. } => Vec::new(),
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

/// How many events were bad within a window, and how many good.
fn bad_and_good(objective: &Objective, window: Millis) -> (String, String) {
    let events = objective.indicator.events();
    let total = sum("increase", &events.total, window);
    let (Part::Good(part) | Part::Bad(part)) = &events.part;
    let part = sum("increase", part, window);
    let rest = format!("({total}) - ({part})");
    if matches!(events.part, Part::Good(_)) { (rest, part) } else { (part, rest) }
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
    let Some(expression) = condition(objective, rule) else { return Ok(()) };
    writeln!(file, "      - alert: {}", quoted(ALERT_NAME))?;
    writeln!(file, "        expr: {}", quoted(&expression))?;
    writeln!(file, "        labels:")?;
    labels(file, objective)?;
    writeln!(file, "          rule: {}", quoted(&rule.name()))?;
    writeln!(file, "          severity: {}", quoted(rule.severity().as_str()))?;
    let summary = format!("{} of {} is not kept", objective.name, objective.service);
    writeln!(file, "        annotations:")?;
    writeln!(file, "          summary: {}", quoted(&summary))?;
    writeln!(file, "          description: {}", quoted(&description(objective, rule)))
}

/// When a rule holds. Events that something was extrapolated to are no whole numbers.
fn condition(objective: &Objective, rule: &Rule) -> Option<String> {
    let (service, name) = (quoted(&objective.service), quoted(objective.name.as_str()));
    let recorded =
        |what: &str, window| format!("{what}{}{{service={service},objective={name}}}", text(window));
    match *rule {
        Rule::Burn { long, short, above, events_min, .. } => {
            let budget = objective.goal.budget()?.share();
            let fast = |window| format!("{} > {above} * {budget}", recorded(names::ERRORS, window));
            let many = format!("{} >= {events_min}", recorded(names::EVENTS, long));
            Some(format!("{} and {} and {many}", fast(long), fast(short)))
        }
        Rule::Outage { lasts, asked_min } => {
            let (bad, good) = bad_and_good(objective, lasts);
            Some(format!("({good}) < 0.5 and ({bad}) >= {asked_min}"))
        }
        Rule::AnyEvent { quiet } => Some(format!("({}) > 0.5", bad_and_good(objective, quiet).0)),
        Rule::OutOfBand => {
            let Goal::Within { low, high, events_min } = objective.goal else { return None };
            let (bad_max, bad_min) = (1.0 - low.share(), 1.0 - high.share());
            let bad = recorded(names::ERRORS, objective.window);
            let many = format!("{} >= {events_min}", recorded(names::EVENTS, objective.window));
            Some(format!("({bad} > {bad_max:.6} or {bad} < {bad_min:.6}) and {many}"))
        }
    }
}

fn description(objective: &Objective, rule: &Rule) -> String {
    let promised = objective.goal.least();
    match *rule {
        Rule::Burn { above, long, short, .. } => {
            let (long, short) = (text(long), text(short));
            format!(
                "the error budget of {promised} is spent more than {above} times as fast as it may be, in {long} and {short}"
            )
        }
        Rule::Outage { lasts, .. } => format!("nothing has succeeded for {}", text(lasts)),
        Rule::AnyEvent { .. } => "something has happened that must not happen at all".to_owned(),
        Rule::OutOfBand => "the share is not within its band".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::defaults;
    use super::*;

    #[test]
    fn a_group_is_written_as_prometheus_reads_it() {
        let integrity: Vec<Objective> = defaults::objectives()
            .into_iter()
            .filter(|own| own.name.as_str() == defaults::INTEGRITY)
            .collect();
        assert_eq!(
            rule_file(&integrity),
            r#"groups:
  - name: "spinwell-slo-integrity"
    interval: 10s
    rules:
      - alert: "SpinwellServiceLevel"
        expr: "((sum(increase(spinwell_integrity_mismatched_total[1h])) or vector(0))) > 0.5"
        labels:
          service: "predictions"
          objective: "integrity"
          rule: "any_event"
          severity: "page"
        annotations:
          summary: "integrity of predictions is not kept"
          description: "something has happened that must not happen at all"
"#
        );
        assert_eq!(
            rule_file(&[]),
            "groups: []
"
        );
    }

    #[test]
    fn every_alert_but_those_of_slices_has_its_rule_with_the_same_labels() {
        let all = defaults::objectives();
        let file = rule_file(&all);
        for objective in &all {
            for rule in &objective.rules {
                let labels = format!(
                    "objective: \"{}\"\n          rule: \"{}\"\n          severity: \"{}\"\n",
                    objective.name,
                    rule.name(),
                    rule.severity().as_str()
                );
                assert_eq!(file.contains(&labels), is_told(objective), "{labels}");
            }
        }
        let told: Vec<&str> = all.iter().filter(|own| !is_told(own)).map(|own| own.name.as_str()).collect();
        assert_eq!(told, [defaults::THROUGHPUT]);
    }

    #[test]
    fn the_figures_in_the_file_are_the_objectives() {
        let file = rule_file(&defaults::objectives());
        let check = |text: &str| assert!(file.contains(text), "{text}");
        check(
            r#"> 14.4 * 0.0005 and spinwell:slo_bad:ratio_rate5m{service=\"predictions\",objective=\"availability\"} > 14.4 * 0.0005"#,
        );
        check(
            r#"spinwell:slo_events:increase1h{service=\"predictions\",objective=\"availability\"} >= 1000"#,
        );
        check(r#"spinwell_request_duration_seconds_bucket{le=\"0.05\"}[3d]"#);
        check(
            r#"(spinwell:slo_bad:ratio_rate7d{service=\"predictions\",objective=\"interval-coverage\"} > 0.060000 or"#,
        );
        check(r#"sum(increase(spinwell_requests_total{code=\"ok\"}[30s]))"#);
        assert!(!file.contains("latency-p50\"\n          rule: \"burn_1h_5m"), "half of all may be slow");
    }
}
