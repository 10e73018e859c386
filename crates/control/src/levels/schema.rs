//! What the dashboard looks like, for the document of all routes.

use crate::api::{object, text, text_or_null, truth, whole};
use serde_json::{Value, json};

fn figure_or_null(about: &str) -> Value {
    json!({"type": ["number", "null"], "description": about})
}

fn whole_or_null(about: &str) -> Value {
    json!({"type": ["integer", "null"], "description": about})
}

fn list(items: &Value, about: &str) -> Value {
    json!({"type": "array", "items": items, "description": about})
}

fn budget(about: &str) -> Value {
    let mut budget = object(&json!({
        "since_ms": whole("When the window begins, since 1970."),
        "events": whole("Events that were counted in it."),
        "allowed": whole("Events that may be bad of so many."),
        "consumed": whole("Events that were."),
        "left": {"type": "integer", "description": "Events that may still be bad; less than zero where too many were."},
        "left_percent": figure_or_null("What share of the budget is left."),
        "burn_rate": figure_or_null("How fast it is spent in the last hour; 1 is as fast as it may be."),
        "exhausted_in_ms": whole_or_null("When it will be spent if that goes on."),
    }));
    budget["description"] = about.into();
    budget
}

fn objective() -> Value {
    let mut threshold = object(&json!({
        "is": {"enum": ["at least", "more than", "within"]},
        "percent": {"type": "number", "description": "The share that must be good."},
    }));
    threshold["properties"]["percent_max"] = json!({"type": "number", "description": "Of a band: the most."});
    threshold["properties"]["events_min"] = whole("Of a band: with fewer events nothing can be said.");
    let alert = object(&json!({
        "objective": text("The objective's name."),
        "rule": text("The rule that holds."),
        "severity": {"enum": ["page", "ticket"]},
        "since_ms": whole_or_null("When it began to fire, since 1970."),
        "reason": text("Why, with the figures that it rests on."),
        "in_maintenance": truth("Whether it began during announced maintenance."),
    }));
    object(&json!({
        "name": text("Its name."),
        "title": text("What people read."),
        "kind": {"enum": ["request-based", "time slices"]},
        "current_percent": figure_or_null("What share of the last hour's events was good."),
        "threshold": threshold,
        "compliance_percent": figure_or_null("What share of the events of its window was good."),
        "compliance_percent_without_maintenance": figure_or_null("The same without announced maintenance."),
        "trend": {"enum": ["unknown", "improving", "steady", "worsening"]},
        "status": {"enum": ["not enough data", "kept", "at risk", "missed"]},
        "last_breach_ms": whole_or_null("When its last breach began, since 1970."),
        "mttr_ms": whole_or_null("The mean time from the beginning of trouble until service was restored."),
        "availability_percent": figure_or_null("What share of the time was free of breaches."),
        "budget": budget("Its error budget."),
        "budget_without_maintenance": budget("The same without announced maintenance."),
        "alerts": list(&alert, "Its alerts that fire."),
    }))
}

/// The dashboard.
pub(crate) fn schema() -> Value {
    let part = object(&json!({
        "name": text("The objective."),
        "score": figure_or_null("From 0 to 100; null where there is not enough data."),
        "weight": whole("How much it counts."),
    }));
    let health = object(&json!({
        "score": figure_or_null("From 0 to 100; at most 49 while anybody is paged."),
        "mean": figure_or_null("The mean of the parts by their weights."),
        "paged": list(&text(""), "The objectives for which somebody is paged."),
        "parts": list(&part, "One for each objective."),
    }));
    let read = object(&json!({"source": text("Where."), "read_ms": whole("When, since 1970.")}));
    let unread = object(&json!({"source": text("Where."), "why": text_or_null("Why not.")}));
    let looks = object(&json!({
        "blind_since_ms": whole_or_null("Since when no page of metrics could be read."),
        "read": list(&read, "Pages that are read."),
        "unread": list(&unread, "Pages that cannot be read."),
    }));
    object(&json!({
        "objectives": list(&objective(), "By name."),
        "health": health,
        "looks": looks,
        "generated_at": whole("When this was made, since 1970."),
        "next_update": whole("When there will be newer figures."),
    }))
}
