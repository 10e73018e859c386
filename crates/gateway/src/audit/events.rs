//! Acts, findings and changes as OCSF 1.9 events.
//!
//! An act is API Activity (6003), a finding is a Detection Finding (2004), a change of who may do what is Entity Management (3004). Numbers
//! are whole: the ledger's canonical JSON has no others.

use super::{Audit, refused};
use crate::VERSION;
use crate::door::{Act, Phase};
use serde_json::{Map, Value, json};
use spinwell_core::{Fault, Millis};
use spinwell_ledger::Event;
use spinwell_policy::threat::{Finding, Response, Severity, Subject};
use spinwell_runtime::access::Change;
use spinwell_runtime::clock;
use spinwell_security::access::{Action, Resource};
use spinwell_security::guard::Caller;
use spinwell_security::key::KeyRecord;
use std::fmt::Write as _;
use std::net::IpAddr;
use tokio::sync::oneshot;

/// OCSF's version.
const OCSF: &str = "1.9.0";

impl Audit {
    /// Writes that somebody is about to do something, or has done it, and waits until that is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written: then it must not be done.
    pub(crate) async fn act(
        &self,
        caller: &Caller,
        address: IpAddr,
        act: &Act,
        phase: Phase,
    ) -> Result<(), Fault> {
        self.write(self.activity(caller, address, act, phase)).await
    }

    /// Writes what has changed in who may do what, and waits until that is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn access_changed(&self, change: &Change) -> Result<(), Fault> {
        self.write(self.entity(change)).await
    }

    /// Writes what the detectors have found. Nobody waits for it; where it cannot be written, that is counted.
    pub(crate) fn finding(&self, finding: &Finding, address: IpAddr, principal: &str) {
        match event(self.detection(finding, address, principal)) {
            Ok(event) => self.writer.event_then(event, |written| {
                if let Err(error) = written {
                    tracing::warn!(%error, "a finding is not in the ledger");
                }
            }),
            Err(fault) => tracing::warn!(%fault, "a finding is not in the ledger"),
        }
    }

    async fn write(&self, object: Value) -> Result<(), Fault> {
        let (done, told) = oneshot::channel();
        self.writer.event_then(event(object)?, move |written| {
            // Whoever asked may have gone.
            let _ = done.send(written);
        });
        match told.await {
            Ok(written) => written.map_err(|error| refused(&error)),
            Err(_) => Err(Fault::new(spinwell_core::Code::LedgerFailed, "the ledger is closed")),
        }
    }

    fn base(&self, category: (u64, &str), class: (u64, &str), activity: (u64, &str)) -> Value {
        json!({
            "category_uid": category.0, "category_name": category.1,
            "class_uid": class.0, "class_name": class.1,
            "activity_id": activity.0, "activity_name": activity.1, "type_uid": class.0 * 100 + activity.0,
            "severity_id": 1, "severity": "Informational", "time": clock::unix().0,
            "metadata": {
                "version": OCSF, "log_name": self.name,
                "product": {"name": "Spinwell", "vendor_name": "Spinwell", "version": VERSION},
            },
        })
    }

    fn activity(&self, caller: &Caller, address: IpAddr, act: &Act, phase: Phase) -> Value {
        let Act { action, resource, policy, place } = act;
        let mut object = self.base((6, "Application Activity"), (6003, "API Activity"), of_action(*action));
        let status = match phase {
            Phase::Begun => (0, "Unknown"),
            Phase::Done => (1, "Success"),
            Phase::Failed(_) => (2, "Failure"),
        };
        object["status_id"] = status.0.into();
        object["status"] = status.1.into();
        if let Phase::Failed(code) = phase {
            object["status_code"] = code.as_str().into();
        }
        object["actor"] =
            json!({"user": {"name": &**caller.principal(), "org": {"name": &*caller.tenant().0}}});
        object["src_endpoint"] = json!({"ip": address.to_string()});
        object["api"] = json!({"operation": action.name(), "service": {"name": place}});
        object["resources"] = json!([{"type": resource.kind().name(), "name": named(resource)}]);
        object["unmapped"] = json!({
            "policy": &**policy,
            "phase": if phase == Phase::Begun { "begun" } else { "ended" },
        });
        object
    }

    fn detection(&self, finding: &Finding, address: IpAddr, principal: &str) -> Value {
        let first = finding.evidence.strikes <= 1;
        let activity = if first { (1, "Create") } else { (2, "Update") };
        let mut object = self.base((2, "Findings"), (2004, "Detection Finding"), activity);
        let severity = match finding.severity {
            Severity::Low => "Low",
            Severity::Medium => "Medium",
            Severity::High => "High",
        };
        object["severity_id"] = finding.severity.ocsf_id().into();
        object["severity"] = severity.into();
        // The detectors' clock is not the world's: how long it has gone on is.
        let now = clock::unix().0;
        let length = finding.last.0.saturating_sub(finding.first.0);
        let technique = finding.detector.technique();
        object["finding_info"] = json!({
            "uid": format!("{:016x}", finding.uid()), "title": finding.detector.as_str(),
            "first_seen_time": now - length.min(now), "last_seen_time": now,
            "analytic": {"name": finding.detector.as_str(), "type_id": 3, "type": "Statistical"},
            "attacks": [{"technique": {"uid": technique}}],
        });
        object["count"] = finding.count.into();
        object["src_endpoint"] = json!({"ip": address.to_string()});
        if !principal.is_empty() {
            object["actor"] = json!({"user": {"name": principal}});
        }
        let (action, disposition, seconds) = match finding.response {
            Response::Log => ((3, "Observed"), (17, "Logged"), Millis(0)),
            Response::Slow { until, .. } => ((4, "Modified"), (99, "Slowed"), until),
            Response::Block { until } => ((2, "Denied"), (2, "Blocked"), until),
        };
        object["action_id"] = action.0.into();
        object["action"] = action.1.into();
        object["disposition_id"] = disposition.0.into();
        object["disposition"] = disposition.1.into();
        let about = match finding.subject {
            Subject::Address(_) => "address",
            Subject::Principal(_) => "principal",
            Subject::Identity(_) => "identity",
            Subject::Service => "service",
        };
        object["evidences"] = json!([{"data": {
            "measured": finding.evidence.measured, "limit": finding.evidence.limit,
            "usual": finding.evidence.usual, "strikes": finding.evidence.strikes, "about": about,
            "for_ms": seconds.0.saturating_sub(finding.last.0),
        }}]);
        object
    }

    fn entity(&self, change: &Change) -> Value {
        let (activity, entity) = match change {
            Change::KeyAdded(record) => ((1, "Create"), key(record)),
            Change::KeyRevoked(record) => ((9, "Deactivate"), key(record)),
            Change::KeyRemoved(record) => ((4, "Delete"), key(record)),
            Change::Policies(hash) => {
                let text = hash.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                ((3, "Update"), json!({"type": "Policies", "name": "policies", "uid": text}))
            }
            Change::Tenants => ((3, "Update"), json!({"type": "Tenants", "name": "tenants.toml"})),
            Change::Issuers => ((3, "Update"), json!({"type": "Issuers", "name": "issuers.toml"})),
        };
        let mut object =
            self.base((3, "Identity & Access Management"), (3004, "Entity Management"), activity);
        object["entity"] = entity;
        object["status_id"] = 1.into();
        object["status"] = "Success".into();
        object
    }
}

fn key(record: &KeyRecord) -> Value {
    let grants = &record.identity().grants;
    json!({
        "type": "API key", "uid": record.id.to_string(), "name": record.name,
        "data": {
            "principal": &*record.identity().principal, "tenant": &*grants.tenant().0,
            "roles": grants.roles(), "scopes": grants.scopes().to_string(),
            "expires": record.expires.map(|at| at.0 / 1_000),
        },
    })
}

/// OCSF's word for what an action does.
fn of_action(action: Action) -> (u64, &'static str) {
    match action {
        Action::SequenceRead | Action::LedgerExport | Action::LedgerReplay | Action::SubjectExport => {
            (2, "Read")
        }
        Action::ModelTrain | Action::ModelWrite | Action::BackupCreate => (1, "Create"),
        Action::ModelDelete | Action::SubjectErase => (4, "Delete"),
        _ => (3, "Update"),
    }
}

fn named(resource: &Resource) -> String {
    match resource {
        Resource::Model { name, .. } => name.to_string(),
        Resource::Sequence { model, tenant } => format!("{}/{model}", tenant.0),
        Resource::Region => "region".to_owned(),
        Resource::Tenant(tenant) => tenant.0.to_string(),
        Resource::Ledger(_) => "ledger".to_owned(),
    }
}

fn event(object: Value) -> Result<Event, Fault> {
    let object = match object {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    Event::new(object).map_err(|error| {
        Fault::new(spinwell_core::Code::LedgerFailed, format!("the ledger has no text for this: {error}"))
    })
}
