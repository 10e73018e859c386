//! Documents of ours and of others.

use super::super::goal::{BurnRate, Goal, PerMillion};
use super::super::objective::{Indicator, Objective};
use super::super::rules::{Rule, Severity};
use super::super::{Selector, defaults};
use super::*;
use proptest::prelude::*;
use spinwell_core::Millis;

/// The field at a path such as `spec.objectives[0].target`.
fn at<'a>(tree: &'a mut Tree, path: &str) -> &'a mut Tree {
    path.split(['.', '[']).fold(tree, |tree, part| match tree {
        Tree::Map(fields) => {
            if !fields.iter().any(|(own, _)| own == part) {
                fields.push((part.to_owned(), Tree::Null));
            }
            fields.iter_mut().find(|(own, _)| own == part).map(|(_, value)| value).unwrap()
        }
        Tree::List(items) => &mut items[part.trim_end_matches(']').parse::<usize>().unwrap()],
        _ => panic!("nothing is in {tree:?}"),
    })
}

/// The document of availability, changed.
fn changed(change: impl Fn(&mut Tree)) -> Result<Vec<Objective>, Error> {
    let mut documents = write(&defaults::objectives()[..1]);
    let mut document = documents.remove(1);
    change(&mut document);
    read(&[document])
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let all = defaults::objectives();
    assert_eq!(read(&write(&all)), Ok(all));
    let bare = Objective { rules: Vec::new(), ..defaults::objectives().remove(0) };
    assert_eq!(read(&write(std::slice::from_ref(&bare))), Ok(vec![bare]));
}

#[test]
fn what_the_specification_knows_stands_in_its_fields() {
    let mut documents = write(&defaults::objectives());
    let availability = &mut documents[1];
    assert_eq!(*at(availability, "apiVersion"), Tree::text("openslo/v1"));
    assert_eq!(*at(availability, "spec.objectives[0].target"), Tree::Number(0.9995));
    assert_eq!(*at(availability, "spec.timeWindow[0].duration"), Tree::text("30d"));
    let good = at(availability, "spec.indicator.spec.ratioMetric.good.metricSource.spec.query");
    assert_eq!(*good, Tree::text(r#"sum(spinwell_requests_total{code="ok"})"#));
    let condition = at(availability, "spec.alertPolicies[0].spec.conditions[0].spec.condition");
    assert_eq!(*at(condition, "threshold"), Tree::Number(14.4));
    let targets: Vec<Tree> =
        documents[1..].iter_mut().map(|own| at(own, "spec.objectives[0].target").clone()).collect();
    assert!(targets.iter().all(|own| matches!(own, Tree::Number(target) if *target < 1.0)), "{targets:?}");
}

/// A document as somebody else would write it, with references.
fn foreign() -> Vec<Tree> {
    let source = |query: &str| {
        let source = Tree::map([
            ("metricSourceRef", Tree::text("main")),
            ("spec", Tree::map([("query", Tree::text(query))])),
        ]);
        Tree::map([("metricSource", source)])
    };
    let named = |name: &str| Tree::map([("name", Tree::text(name))]);
    let document = |kind: &str, name: &str, spec: Tree| {
        Tree::map([
            ("apiVersion", Tree::text("openslo/v1")),
            ("kind", Tree::text(kind)),
            ("metadata", named(name)),
            ("spec", spec),
        ])
    };
    let ratio = Tree::map([
        ("counter", Tree::Flag(true)),
        ("bad", source("failed")),
        ("total", source("failed + sum(worked)")),
    ]);
    let condition = Tree::map([
        ("kind", Tree::text("burnrate")),
        ("op", Tree::text("gt")),
        ("threshold", Tree::Number(2.0)),
        ("lookbackWindow", Tree::text("12h")),
    ]);
    let policy =
        Tree::map([("conditions", Tree::List(vec![Tree::map([("conditionRef", Tree::text("fast"))])]))]);
    let slo = Tree::map([
        ("service", Tree::text("shop")),
        ("indicatorRef", Tree::text("orders")),
        (
            "timeWindow",
            Tree::List(vec![Tree::map([("duration", Tree::text("4w")), ("isRolling", Tree::Flag(true))])]),
        ),
        ("budgetingMethod", Tree::text("Occurrences")),
        (
            "objectives",
            Tree::List(vec![
                Tree::map([("displayName", Tree::text("Most")), ("targetPercent", Tree::Number(99.9))]),
                Tree::map([("target", Tree::Number(0.95))]),
            ]),
        ),
        ("alertPolicies", Tree::List(vec![Tree::map([("alertPolicyRef", Tree::text("wake"))])])),
    ]);
    vec![
        document("SLO", "orders", slo),
        document("SLI", "orders", Tree::map([("ratioMetric", ratio)])),
        document("AlertPolicy", "wake", policy),
        document(
            "AlertCondition",
            "fast",
            Tree::map([("severity", Tree::text("ticket")), ("condition", condition)]),
        ),
        document("Service", "shop", Tree::map([])),
    ]
}

#[test]
fn documents_of_others_are_read_with_what_they_refer_to() {
    let read = read(&foreign()).unwrap();
    let rule = Rule::Burn {
        severity: Severity::Ticket,
        long: Millis(43_200_000),
        short: Millis(3_600_000),
        above: BurnRate { hundredths: 200 },
        events_min: 1_000,
    };
    let shown: Vec<_> = read.iter().map(|own| (own.name.as_str(), own.title.as_str(), own.goal)).collect();
    let at_least = |millionths| Goal::AtLeast(PerMillion::new(millionths).unwrap());
    assert_eq!(shown, [("orders-1", "Most", at_least(999_000)), ("orders-2", "orders-2", at_least(950_000))]);
    assert_eq!((read[0].window, &read[0].rules[..]), (Millis(28 * 86_400_000), &[rule][..]));
    let Indicator::Ratio(events) = &read[0].indicator else { panic!("a ratio") };
    assert_eq!(events.total, [Selector::all("failed"), Selector::all("worked")]);
}

#[test]
fn a_document_without_policies_has_the_usual_rules() {
    let read = changed(|own| {
        *at(own, "spec.alertPolicies") = Tree::Null;
        *at(own, "spec.objectives[0].target") = Tree::Number(1.0);
    });
    assert_eq!(read.unwrap()[0].rules, [Rule::ANY_EVENT]);
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    let check = |path: &str, value: Tree, field: &str, message: &str| {
        let error = changed(|own| *at(own, path) = value.clone()).unwrap_err();
        assert_eq!((error.field.as_str(), error.message.contains(message)), (field, true), "{error}");
    };
    let text = |text: &str| Tree::text(text);
    let same = |path: &str, value: Tree, message: &str| check(path, value, path, message);
    same("apiVersion", text("openslo/v2"), "must be openslo/v1");
    same("kind", text("Slo"), "no kind");
    same("metadata.name", text("No Name"), "lower-case");
    same("metadata.name", Tree::Null, "is missing");
    same("spec", text("x"), "is a text, must be fields");
    same("spec.service", Tree::Number(3.0), "is a number, must be a text");
    same("spec.timeWindow", Tree::List(vec![]), "exactly one");
    same("spec.timeWindow[0].duration", text("1M"), "no fixed length");
    same("spec.timeWindow[0].isRolling", Tree::Flag(false), "must be true");
    same("spec.timeWindow[0].calendar", Tree::map([]), "not supported");
    check("spec.timeWindow[0].duration", text("365d"), "spec.timeWindow", "92 d");
    same("spec.budgetingMethod", text("RatioTimeslices"), "Occurrences or Timeslices");
    check("spec.budgetingMethod", text("Timeslices"), "spec.objectives[0].timeSliceTarget", "is missing");
    same("spec.objectives", Tree::List(vec![]), "at least one");
    same("spec.objectives[0].target", Tree::Number(1.5), "share");
    same("spec.objectives[0].target", Tree::Number(0.999_999_5), "six digits");
    same("spec.objectives[0].targetPercent", Tree::Number(99.0), "beside target");
    same("spec.objectives[0].value", Tree::Number(1.0), "threshold");
    check("spec.objectives[0].target", Tree::Null, "spec.objectives[0]", "must be there");
    let ratio = "spec.indicator.spec.ratioMetric";
    same("spec.indicator.spec.thresholdMetric", Tree::map([]), "ratioMetric");
    same("spec.indicatorRef", text("x"), "beside indicator");
    same(&format!("{ratio}.raw"), Tree::map([]), "added up");
    same(&format!("{ratio}.counter"), Tree::Flag(false), "counters");
    same(&format!("{ratio}.bad"), Tree::map([]), "beside good");
    same(&format!("{ratio}.total.metricSource.type"), text("Datadog"), "Prometheus");
    same(&format!("{ratio}.total.metricSource.spec.query"), text("sum(rate(a[5m]))"), "name is missing");
    let condition = "spec.alertPolicies[0].spec.conditions[0].spec";
    same(&format!("{condition}.severity"), text("sev1"), "page or ticket");
    same(&format!("{condition}.condition.op"), text("lte"), "must be gt");
    same(&format!("{condition}.condition.alertAfter"), text("5m"), "must be 0m");
    same(&format!("{condition}.condition.threshold"), Tree::Number(f64::NAN), "burn rate");
    same(&format!("{condition}.condition.threshold"), Tree::Number(1.234), "two digits");
    check(
        &format!("{condition}.condition.threshold"),
        Tree::Number(3_000.0),
        "spec.alertPolicies",
        "never hold",
    );
    same("metadata.annotations.spinwell/weight", text("heavy"), "number");
    same("metadata.annotations.spinwell/outage", text("soon"), "30s 5");
    same("metadata.annotations.spinwell/wait", text("1"), "known");
    same("metadata.annotations.spinwell/goal", text("within"), "spinwell/high");
    let mut lost = foreign();
    lost.remove(3);
    let error = read(&lost).unwrap_err();
    assert_eq!(error.field, "documents[2].spec.conditions[0].conditionRef");
    let twice = [foreign(), foreign()].concat();
    assert_eq!(read(&twice).unwrap_err().field, "documents[5].metadata.name");
}

proptest! {
    /// Whatever is put into whatever field, it is read or refused.
    #[test]
    fn nothing_stops_the_reader(place in 0usize..200, value in 0usize..7) {
        let values = [
            Tree::Null, Tree::Flag(true), Tree::Number(-1e300), Tree::text("é\"+"), Tree::List(vec![]), Tree::Map(vec![]),
            Tree::List(vec![Tree::Null]),
        ];
        let mut documents = foreign();
        documents.extend(write(&defaults::objectives()));
        let mut count = place;
        let mut open: Vec<&mut Tree> = documents.iter_mut().collect();
        while let Some(tree) = open.pop() {
            if count == 0 {
                *tree = values[value].clone();
                break;
            }
            count -= 1;
            match tree {
                Tree::Map(fields) => open.extend(fields.iter_mut().map(|(_, value)| value)),
                Tree::List(items) => open.extend(items.iter_mut()),
                _ => {}
            }
        }
        let _ = read(&documents);
    }
}
