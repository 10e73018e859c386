//! The dashboard as JSON.

use serde_json::{Value, json};
use spinwell_core::{Ratio, UnixMillis};
use spinwell_policy::slo::{Alert, Budget, Dashboard, Goal, Panel, PerMillion, Trend};
use std::collections::BTreeMap;

/// A share in per cent.
fn percent(share: f64) -> f64 {
    share * 100.0
}

/// What must be good, in per cent.
fn goal(goal: Goal) -> Value {
    let share = |of: PerMillion| f64::from(of.get()) / 1e4;
    match goal {
        Goal::AtLeast(least) => json!({"is": "at least", "percent": share(least)}),
        Goal::MoreThan(least) => json!({"is": "more than", "percent": share(least)}),
        Goal::Within { low, high, events_min } => json!({
            "is": "within", "percent": share(low), "percent_max": share(high), "events_min": events_min,
        }),
    }
}

fn budget(budget: &Budget) -> Value {
    json!({
        "since_ms": budget.since.0,
        "events": budget.counts.total,
        "allowed": budget.allowed,
        "consumed": budget.consumed,
        "left": budget.left,
        "left_percent": budget.left_share.map(percent),
        "burn_rate": budget.burn,
        "exhausted_in_ms": budget.exhausted_in.map(|span| span.0),
    })
}

fn alert(alert: &Alert) -> Value {
    json!({
        "objective": alert.id.objective.as_str(),
        "rule": alert.id.rule,
        "severity": alert.severity.as_str(),
        "since_ms": alert.started.map(|at| at.0),
        "reason": alert.reason.to_string(),
        "in_maintenance": alert.in_maintenance,
    })
}

fn panel(panel: &Panel, alerts: &[&Alert]) -> Value {
    let trend = match panel.trend {
        Trend::Unknown => "unknown",
        Trend::Improving => "improving",
        Trend::Steady => "steady",
        Trend::Worsening => "worsening",
    };
    let own = alerts.iter().filter(|alert| alert.id.objective == panel.name);
    json!({
        "name": panel.name.as_str(),
        "title": panel.title,
        "kind": panel.kind,
        "current_percent": panel.current.map(percent),
        "threshold": goal(panel.threshold),
        "compliance_percent": panel.compliance.map(percent),
        "compliance_percent_without_maintenance": panel.compliance_without_maintenance.map(percent),
        "trend": trend,
        "status": panel.status.as_str(),
        "last_breach_ms": panel.last_breach.map(|at| at.0),
        "mttr_ms": panel.times.to_restore.map(|span| span.0),
        "availability_percent": panel.times.availability.map(Ratio::get).map(percent),
        "budget": budget(&panel.budget),
        "budget_without_maintenance": budget(&panel.budget_without_maintenance),
        "alerts": own.map(|own| alert(own)).collect::<Vec<_>>(),
    })
}

/// All that operators see, with the alerts that fire.
pub(super) fn of(dashboard: &Dashboard, alerts: &[&Alert]) -> Value {
    let health = &dashboard.health;
    let part = |part: &spinwell_policy::slo::HealthPart| json!({"name": part.name.as_str(), "score": part.score, "weight": part.weight});
    json!({
        "objectives": dashboard.panels.iter().map(|own| panel(own, alerts)).collect::<Vec<_>>(),
        "health": {
            "score": health.score,
            "mean": health.mean,
            "paged": health.paged.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "parts": health.parts.iter().map(part).collect::<Vec<_>>(),
        },
        "generated_at": dashboard.generated_at.0,
        "next_update": dashboard.next_update.0,
    })
}

/// Whose pages are read, and whose are not. `blind` is since when none could be.
pub(super) fn looks(
    blind: Option<UnixMillis>,
    read: &BTreeMap<String, UnixMillis>,
    unread: &BTreeMap<String, String>,
) -> Value {
    let read = read.iter().map(|(source, at)| json!({"source": source, "read_ms": at.0}));
    let unread = unread.iter().map(|(source, why)| json!({"source": source, "why": why}));
    json!({
        "blind_since_ms": blind.map(|at| at.0),
        "read": read.collect::<Vec<_>>(),
        "unread": unread.collect::<Vec<_>>(),
    })
}
