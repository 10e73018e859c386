//! Objectives to documents.

use super::super::goal::{Goal, PerMillion};
use super::super::objective::{Events, Indicator, Objective, Part};
use super::super::rules::Rule;
use super::super::selector::Selector;
use super::super::spans::{DAY, HOUR, MINUTE, text};
use super::tree::Tree;
use super::{API_VERSION, annotations, query};
use spinwell_core::Millis;

/// Where alerts go.
const TARGET_NAME: &str = "alertmanager";
/// The most that a target can be in a document.
const TARGET_MAX: f64 = 0.999_999;

/// A document for each objective, and one for where alerts go.
#[must_use]
pub fn write(objectives: &[Objective]) -> Vec<Tree> {
    let target = document(
        "AlertNotificationTarget",
        Tree::map([("name", Tree::text(TARGET_NAME))]),
        Tree::map([("target", Tree::text(TARGET_NAME))]),
    );
    std::iter::once(target).chain(objectives.iter().map(objective)).collect()
}

fn document(kind: &str, metadata: Tree, spec: Tree) -> Tree {
    Tree::map([
        ("apiVersion", Tree::text(API_VERSION)),
        ("kind", Tree::text(kind)),
        ("metadata", metadata),
        ("spec", spec),
    ])
}

fn metadata(name: &str, title: &str, annotations: Vec<(String, Tree)>) -> Tree {
    let mut fields =
        vec![("name".to_owned(), Tree::text(name)), ("displayName".to_owned(), Tree::text(title))];
    if !annotations.is_empty() {
        fields.push(("annotations".to_owned(), Tree::Map(annotations)));
    }
    Tree::Map(fields)
}

fn objective(own: &Objective) -> Tree {
    let name = own.name.as_str();
    let slices = matches!(own.indicator, Indicator::TimeSlices { .. });
    let method = if slices { "Timeslices" } else { "Occurrences" };
    let window =
        Tree::map([("duration", Tree::text(shorthand(own.window))), ("isRolling", Tree::Flag(true))]);
    let policies = own.rules.iter().filter_map(|rule| policy(name, rule)).collect();
    let spec = Tree::map([
        ("description", Tree::text(own.description.as_str())),
        ("service", Tree::text(own.service.as_str())),
        ("indicator", indicator(name, own.indicator.events())),
        ("timeWindow", Tree::List(vec![window])),
        ("budgetingMethod", Tree::text(method)),
        ("objectives", Tree::List(vec![target(own)])),
        ("alertPolicies", Tree::List(policies)),
    ]);
    document("SLO", metadata(name, &own.title, extras(own)), spec)
}

/// Seconds are no part of the shorthand, and windows have none.
fn shorthand(span: Millis) -> String {
    let unit = [(DAY, "d"), (HOUR, "h")].into_iter().find(|(unit, _)| span.0.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((MINUTE, "m"));
    format!("{}{name}", span.0 / unit)
}

fn indicator(name: &str, events: &Events) -> Tree {
    let source = |selectors: &[Selector]| {
        let spec = Tree::map([("query", Tree::text(query::write(selectors)))]);
        let source = Tree::map([("type", Tree::text("Prometheus")), ("spec", spec)]);
        Tree::map([("metricSource", source)])
    };
    let (part, selectors) = match &events.part {
        Part::Good(good) => ("good", good),
        Part::Bad(bad) => ("bad", bad),
    };
    let ratio = [("counter", Tree::Flag(true)), (part, source(selectors)), ("total", source(&events.total))];
    Tree::map([
        ("metadata", Tree::map([("name", Tree::text(format!("{name}-events")))])),
        ("spec", Tree::map([("ratioMetric", Tree::map(ratio))])),
    ])
}

/// What share must be good.
fn target(own: &Objective) -> Tree {
    let target = own.goal.least().share().min(TARGET_MAX);
    let mut fields = vec![
        ("displayName".to_owned(), Tree::text(own.title.as_str())),
        ("target".to_owned(), Tree::Number(target)),
    ];
    if let Indicator::TimeSlices { length, .. } = own.indicator {
        // A number is in minutes, and the shorthand knows no seconds.
        let minutes = length.0 as f64 / MINUTE as f64;
        fields.push(("timeSliceTarget".to_owned(), Tree::Number(1.0)));
        fields.push(("timeSliceWindow".to_owned(), Tree::Number(minutes)));
    }
    Tree::Map(fields)
}

/// What the specification has no field for.
fn extras(own: &Objective) -> Vec<(String, Tree)> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: String| all.push((name.to_owned(), Tree::Text(value)));
    match own.goal {
        Goal::AtLeast(_) => {}
        Goal::MoreThan(_) => add(annotations::GOAL, annotations::MORE_THAN.to_owned()),
        Goal::Within { high, events_min, .. } => {
            add(annotations::GOAL, annotations::WITHIN.to_owned());
            add(annotations::HIGH, high.share().to_string());
            add(annotations::EVENTS_MIN, events_min.to_string());
        }
    }
    if own.goal.least() == PerMillion::ALL {
        add(annotations::TARGET, "1".to_owned());
    }
    if let Indicator::TimeSlices { per_second, .. } = own.indicator {
        add(annotations::SLICE_PER_SECOND, per_second.to_string());
    }
    for rule in &own.rules {
        match rule {
            Rule::Burn { .. } => {}
            Rule::Outage { lasts, asked_min } => {
                add(annotations::OUTAGE, format!("{} {asked_min}", text(*lasts)));
            }
            Rule::AnyEvent { quiet } => add(annotations::ANY_EVENT, text(*quiet)),
            Rule::OutOfBand => add(annotations::OUT_OF_BAND, "true".to_owned()),
        }
    }
    add(annotations::WEIGHT, own.weight.to_string());
    all
}

/// A burn rate as a policy with one condition.
fn policy(objective: &str, rule: &Rule) -> Option<Tree> {
    let Rule::Burn { severity, long, short, above, events_min } = *rule else { return None };
    let name = format!("{objective}-{}", rule.name().replace('_', "-"));
    let condition = Tree::map([
        ("kind", Tree::text("burnrate")),
        ("op", Tree::text("gt")),
        ("threshold", Tree::Number(f64::from(above.hundredths) / 100.0)),
        ("lookbackWindow", Tree::text(shorthand(long))),
        ("alertAfter", Tree::text("0m")),
    ]);
    let extras = vec![
        (annotations::SHORT_WINDOW.to_owned(), Tree::text(shorthand(short))),
        (annotations::EVENTS_MIN.to_owned(), Tree::text(events_min.to_string())),
    ];
    let spec = Tree::map([("severity", Tree::text(severity.as_str())), ("condition", condition)]);
    let condition = document("AlertCondition", metadata(&name, &rule.name(), extras), spec);
    let target = Tree::map([("targetRef", Tree::text(TARGET_NAME))]);
    let spec = Tree::map([
        ("alertWhenBreaching", Tree::Flag(true)),
        ("alertWhenResolved", Tree::Flag(true)),
        ("alertWhenNoData", Tree::Flag(false)),
        ("conditions", Tree::List(vec![condition])),
        ("notificationTargets", Tree::List(vec![target])),
    ]);
    Some(document("AlertPolicy", metadata(&name, &rule.name(), Vec::new()), spec))
}
