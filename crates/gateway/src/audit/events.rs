//! Acts, findings and changes as OCSF 1.9 events.
//!
//! An act is API Activity (6003), a finding is a Detection Finding (2004), a change of who may do what is Entity Management (3004). Numbers
//! are whole: the ledger's canonical JSON has no others.

use super::{Audit, refused};
use crate::VERSION;
use crate::door::{Act, Phase};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Millis};
use spinwell_ledger::line::API_KEY;
use spinwell_ledger::ocsf::{self, Class, Source};
use spinwell_ledger::{EntryError, Event};
use spinwell_policy::threat::{Finding, Response, Severity, Subject};
use spinwell_runtime::access::Change;
use spinwell_runtime::clock;
use spinwell_security::access::{Action, Resource};
use spinwell_security::guard::Caller;
use spinwell_security::key::KeyRecord;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use tokio::sync::oneshot;

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
        self.write(self.activity(caller, address, act, phase, 1)).await
    }

    /// Writes that somebody wanted to do something, and was refused; where he tries it again and again, only now and then, and how often it
    /// was. Nobody waits for it; where it cannot be written, that is counted.
    pub(crate) fn refused(&self, caller: &Caller, address: IpAddr, act: &Act, code: Code) {
        let count = self.refused_acts().refused(clock::since(self.began), caller.principal());
        if let Some(count) = count {
            self.write_later(self.activity(caller, address, act, Phase::Failed(code), count));
        }
    }

    fn write_later(&self, event: Result<Event, Fault>) {
        let untold = |error: &dyn std::fmt::Display| tracing::warn!(%error, "an event is not in the ledger");
        match self.counted(event) {
            Ok(event) => self.writer.event_then(event, move |written| {
                if let Err(error) = written {
                    untold(&error);
                }
            }),
            Err(fault) => untold(&fault),
        }
    }

    /// Writes what has changed in who may do what, and waits until that is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn access_changed(&self, change: &Change) -> Result<(), Fault> {
        let event = self.entity(change).and_then(whole);
        self.write(event).await
    }

    /// Writes what the detectors have found. Nobody waits for it; where it cannot be written, that is counted.
    pub(crate) fn finding(&self, finding: &Finding, address: IpAddr, caller: Option<&Caller>) {
        self.write_later(self.detection(finding, address, caller).and_then(whole));
    }

    async fn write(&self, event: Result<Event, Fault>) -> Result<(), Fault> {
        let (done, told) = oneshot::channel();
        self.writer.event_then(self.counted(event)?, move |written| {
            // Whoever asked may have gone.
            let _ = done.send(written);
        });
        match told.await {
            Ok(written) => written.map_err(|error| refused(&error)),
            Err(_) => Err(Fault::new(Code::LedgerFailed, "the ledger is closed")),
        }
    }

    fn source(&self) -> Source<'_> {
        Source { log: &self.name, version: VERSION, at: clock::unix() }
    }

    fn activity(
        &self,
        caller: &Caller,
        address: IpAddr,
        act: &Act,
        phase: Phase,
        count: u64,
    ) -> Result<Event, Fault> {
        let Act { action, resource, policy, place } = act;
        let (address, name) = (address.to_string(), named(resource));
        let tenant = &caller.tenant().0;
        let principal = self.veil.seal(tenant, "principal", caller.principal())?;
        let address = self.veil.seal(tenant, "address", &address)?;
        // The path of a sequence has its name in it.
        let place = match resource {
            Resource::Sequence { .. } => self.veil.seal(tenant, "place", place)?,
            _ => Cow::Borrowed(place.as_str()),
        };
        let key = caller.key().map(|id| id.to_string()).unwrap_or_default();
        let act = ocsf::Act {
            activity: of_action(*action),
            principal: &principal,
            key: &key,
            tenant,
            address: &address,
            operation: action.name(),
            place: &place,
            resource: (resource.kind().name(), &name),
            policy,
            phase: match phase {
                Phase::Begun => ocsf::Phase::Begun,
                Phase::Done => ocsf::Phase::Done,
                Phase::Failed(code) => ocsf::Phase::Failed(code.as_str()),
            },
            count,
        };
        ocsf::activity(self.source(), act).map_err(|error| no_text(&error))
    }

    fn detection(&self, finding: &Finding, address: IpAddr, caller: Option<&Caller>) -> Result<Value, Fault> {
        let (address, principal) = (address.to_string(), caller.map_or("", |caller| caller.principal()));
        let veiled = |member, text| match caller {
            Some(caller) => self.veil.seal(&caller.tenant().0, member, text),
            None => self.veil.seal_own(member, text),
        };
        let (address, principal) = (veiled("address", &address)?, veiled("principal", principal)?);
        let first = finding.evidence.strikes <= 1;
        let activity = if first { (1, "Create") } else { (2, "Update") };
        let class = Class { category: (2, "Findings"), class: (2004, "Detection Finding"), activity };
        let mut object = ocsf::base(self.source(), class);
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
        object["src_endpoint"] = json!({"ip": address});
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
        Ok(object)
    }

    fn entity(&self, change: &Change) -> Result<Value, Fault> {
        let (activity, entity) = match change {
            Change::KeyAdded(record) => ((1, "Create"), self.key(record)?),
            Change::KeyRevoked(record) => ((9, "Deactivate"), self.key(record)?),
            Change::KeyRemoved(record) => ((4, "Delete"), self.key(record)?),
            Change::KeyGone(id) => ((4, "Delete"), json!({"type": API_KEY, "uid": id, "name": ""})),
            Change::Policies(hash) => {
                let text = hash.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                ((3, "Update"), json!({"type": "Policies", "name": "policies", "uid": text}))
            }
            Change::Tenants => ((3, "Update"), json!({"type": "Tenants", "name": "tenants.toml"})),
            Change::Issuers => ((3, "Update"), json!({"type": "Issuers", "name": "issuers.toml"})),
            Change::Certificates => {
                ((3, "Update"), json!({"type": "Certificates", "name": "certificates.toml"}))
            }
        };
        let class = Class {
            category: (3, "Identity & Access Management"),
            class: (3004, "Entity Management"),
            activity,
        };
        let mut object = ocsf::base(self.source(), class);
        object["entity"] = entity;
        object["status_id"] = 1.into();
        object["status"] = "Success".into();
        Ok(object)
    }

    fn key(&self, record: &KeyRecord) -> Result<Value, Fault> {
        let grants = &record.identity().grants;
        let tenant = &grants.tenant().0;
        let name = self.veil.seal(tenant, "name", &record.name)?;
        let principal = self.veil.seal(tenant, "principal", &record.identity().principal)?;
        Ok(json!({
            "type": API_KEY, "uid": record.id.to_string(), "name": name,
            "data": {
                "principal": principal, "tenant": &**tenant,
                "roles": grants.roles(), "scopes": grants.scopes().to_string(),
                "expires": record.expires.map(|at| at.0 / 1_000),
            },
        }))
    }
}

fn whole(object: Value) -> Result<Event, Fault> {
    ocsf::event(object).map_err(|error| no_text(&error))
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

fn no_text(error: &EntryError) -> Fault {
    Fault::new(Code::LedgerFailed, format!("the ledger has no text for this: {error}"))
}
