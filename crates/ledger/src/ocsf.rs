//! Events in the terms of OCSF 1.9, as far as every process writes them alike.
//!
//! Numbers are whole: the ledger's canonical JSON has no others.

use crate::{EntryError, Event};
use serde_json::{Map, Value, json};
use spinwell_core::UnixMillis;

/// OCSF's version.
pub const VERSION: &str = "1.9.0";

/// Who writes an event, and when.
#[derive(Debug, Clone, Copy)]
pub struct Source<'s> {
    /// The name of the process, which is its log's.
    pub log: &'s str,
    /// The program's version.
    pub version: &'s str,
    /// Now.
    pub at: UnixMillis,
}

/// A class of events, and what happens in one: numbers and words of OCSF.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// The category.
    pub category: (u64, &'static str),
    /// The class.
    pub class: (u64, &'static str),
    /// The activity.
    pub activity: (u64, &'static str),
}

/// What all events have.
#[must_use]
pub fn base(source: Source<'_>, Class { category, class, activity }: Class) -> Value {
    json!({
        "category_uid": category.0, "category_name": category.1,
        "class_uid": class.0, "class_name": class.1,
        "activity_id": activity.0, "activity_name": activity.1, "type_uid": class.0 * 100 + activity.0,
        "severity_id": 1, "severity": "Informational", "time": source.at.0,
        "metadata": {
            "version": VERSION, "log_name": source.log,
            "product": {"name": "Spinwell", "vendor_name": "Spinwell", "version": source.version},
        },
    })
}

/// Where an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase<'c> {
    /// It is about to be done.
    Begun,
    /// It is done.
    Done,
    /// It has failed, with this code.
    Failed(&'c str),
}

/// Somebody does something to something: API Activity (6003).
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// OCSF's number and word for what is done: Create 1, Read 2, Update 3, Delete 4.
    pub activity: (u64, &'static str),
    /// Who.
    pub principal: &'a str,
    /// With which API key, by its id; empty where with none.
    pub key: &'a str,
    /// Whose.
    pub tenant: &'a str,
    /// From where; empty where nobody knows.
    pub address: &'a str,
    /// What.
    pub operation: &'a str,
    /// How it was asked for: method and path.
    pub place: &'a str,
    /// What it is done to: its kind and its name.
    pub resource: (&'a str, &'a str),
    /// The policies by which it may be done.
    pub policy: &'a str,
    /// Where it is.
    pub phase: Phase<'a>,
    /// For how many of the kind this stands.
    pub count: u64,
}

/// The event of an act.
///
/// # Errors
/// Where it is too long for an entry.
pub fn activity(source: Source<'_>, act: Act<'_>) -> Result<Event, EntryError> {
    let class = Class {
        category: (6, "Application Activity"),
        class: (6003, "API Activity"),
        activity: act.activity,
    };
    let mut object = base(source, class);
    let status = match act.phase {
        Phase::Begun => (0, "Unknown"),
        Phase::Done => (1, "Success"),
        Phase::Failed(code) => {
            object["status_code"] = code.into();
            (2, "Failure")
        }
    };
    object["status_id"] = status.0.into();
    object["status"] = status.1.into();
    object["actor"] = json!({"user": {"name": act.principal, "org": {"name": act.tenant}}});
    if !act.key.is_empty() {
        object["actor"]["user"]["credential_uid"] = act.key.into();
    }
    if !act.address.is_empty() {
        object["src_endpoint"] = json!({"ip": act.address});
    }
    object["api"] = json!({"operation": act.operation, "service": {"name": act.place}});
    object["resources"] = json!([{"type": act.resource.0, "name": act.resource.1}]);
    let phase = if act.phase == Phase::Begun { "begun" } else { "ended" };
    object["unmapped"] = json!({"policy": act.policy, "phase": phase});
    if act.count != 1 {
        object["count"] = act.count.into();
    }
    event(object)
}

/// The event of an object.
///
/// # Errors
/// Where an entry cannot hold it.
pub fn event(object: Value) -> Result<Event, EntryError> {
    Event::new(match object {
        Value::Object(object) => object,
        _ => Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_says_who_did_what_to_what_and_how_it_ended() {
        let source = Source { log: "g1", version: "1", at: UnixMillis(5) };
        let act = Act {
            activity: (3, "Update"),
            principal: "acme/\u{fc}",
            key: "00ff",
            tenant: "acme",
            address: "192.0.2.7",
            operation: "ModelUnload",
            place: "POST /v2",
            resource: ("Model", "taxi"),
            policy: "admins",
            phase: Phase::Failed("SPW-MODEL-NOT-FOUND"),
            count: 1,
        };
        let event = activity(source, act).unwrap();
        let object = Value::Object(event.object().clone());
        assert_eq!(
            (&object["type_uid"], &object["status_code"]),
            (&json!(600_303), &json!("SPW-MODEL-NOT-FOUND"))
        );
        let user = json!({"name": "acme/\u{fc}", "credential_uid": "00ff", "org": {"name": "acme"}});
        assert_eq!(object["actor"]["user"], user);
        assert_eq!((&object["status"], &object["unmapped"]["phase"]), (&json!("Failure"), &json!("ended")));
        let begun = activity(source, Act { phase: Phase::Begun, address: "", ..act }).unwrap();
        let has = |member| begun.object().contains_key(member);
        assert_eq!(["src_endpoint", "status_code", "count"].map(has), [false; 3]);
        let many = activity(source, Act { count: 7, ..act }).unwrap();
        assert_eq!(many.object()["count"], 7);
        assert!(activity(source, Act { place: &"x".repeat(70_000), ..act }).is_err());
    }
}
