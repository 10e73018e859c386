//! Changes as OCSF events: an alert is a Detection Finding (2004), a breach a Compliance Finding (2003).
//!
//! Numbers are whole: the ledger's canonical JSON has no others. So figures stand in words, as people are told them.

use serde_json::json;
use spinwell_core::UnixMillis;
use spinwell_ledger::ocsf::{self, Class, Source};
use spinwell_ledger::{EntryError, Event};
use spinwell_policy::slo::{Alert, Breach, Change, Severity};

const CREATE: (u64, &str) = (1, "Create");
const CLOSE: (u64, &str) = (3, "Close");

pub(super) fn of(source: Source<'_>, change: &Change) -> Result<Event, EntryError> {
    match change {
        Change::Fires(alert) => of_alert(source, alert, CREATE),
        Change::Resolved(alert) => of_alert(source, alert, CLOSE),
        Change::BreachBegan(breach) => of_breach(source, breach, CREATE),
        Change::BreachEnded(breach) => of_breach(source, breach, CLOSE),
    }
}

fn finding(
    source: Source<'_>,
    class: (u64, &'static str),
    activity: (u64, &'static str),
    severity: Severity,
) -> serde_json::Value {
    let mut object = ocsf::base(source, Class { category: (2, "Findings"), class, activity });
    let (id, word) = match severity {
        Severity::Page => (4, "High"),
        Severity::Ticket => (3, "Medium"),
    };
    object["severity_id"] = id.into();
    object["severity"] = word.into();
    let (id, word) = if activity == CREATE { (1, "New") } else { (4, "Resolved") };
    object["status_id"] = id.into();
    object["status"] = word.into();
    object
}

fn of_alert(source: Source<'_>, alert: &Alert, activity: (u64, &'static str)) -> Result<Event, EntryError> {
    let mut object = finding(source, (2004, "Detection Finding"), activity, alert.severity);
    let started = alert.started.unwrap_or(alert.pending_since);
    let last = alert.ended.unwrap_or(source.at);
    object["finding_info"] = json!({
        "uid": format!("{}/{}", alert.id, started.0), "title": alert.id.to_string(),
        "desc": alert.reason.to_string(),
        "first_seen_time": alert.pending_since.0, "last_seen_time": last.0,
        "analytic": {"name": alert.id.rule, "type_id": 1, "type": "Rule"},
    });
    object["is_alert"] = true.into();
    object["unmapped"] = json!({
        "objective": alert.id.objective.as_str(), "rule": alert.id.rule, "service": alert.service,
        "severity": alert.severity.as_str(), "in_maintenance": alert.in_maintenance,
    });
    ocsf::event(object)
}

fn of_breach(
    source: Source<'_>,
    breach: &Breach,
    activity: (u64, &'static str),
) -> Result<Event, EntryError> {
    let mut object = finding(source, (2003, "Compliance Finding"), activity, breach.severity);
    let objective = breach.objective.as_str();
    let last = breach.ended.unwrap_or(source.at);
    object["finding_info"] = json!({
        "uid": format!("{objective}/{}/{}", breach.severity.as_str(), breach.detected.0),
        "title": format!("{objective} is not kept"),
        "first_seen_time": breach.began.0, "last_seen_time": last.0,
    });
    let status = if breach.is_open() { (3, "Fail") } else { (1, "Pass") };
    object["compliance"] = json!({
        "control": objective, "standards": ["Spinwell service levels"],
        "status_id": status.0, "status": status.1,
    });
    let at = |moment: Option<UnixMillis>| moment.map(|at| at.0);
    object["unmapped"] = json!({
        "rules": breach.rules, "severity": breach.severity.as_str(), "began": breach.began.0,
        "detected": breach.detected.0, "lasted_ms": breach.lasted(source.at).0,
    });
    for (key, moment) in [("restored", breach.restored), ("ended", breach.ended)] {
        if let Some(at) = at(moment) {
            object["unmapped"][key] = at.into();
        }
    }
    ocsf::event(object)
}
