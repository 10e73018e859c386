//! Who may do what, as a digest: by it a process sees what was changed while none looked.

use super::Change;
use super::contents::Contents;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use spinwell_security::access::PolicySet;
use spinwell_security::guard::Rules;
use std::collections::BTreeMap;

/// What holds, without anything of it that is secret or personal: ids of keys and whether they are revoked, and hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    keys: BTreeMap<String, bool>,
    policies: String,
    tenants: String,
    issuers: String,
    certificates: String,
}

impl Default for Standing {
    /// Nobody is known, and the usual policies hold.
    fn default() -> Self {
        let none = || hash(None);
        Self {
            keys: BTreeMap::new(),
            policies: HEXLOWER.encode(&PolicySet::of_defaults().hash()),
            tenants: none(),
            issuers: none(),
            certificates: none(),
        }
    }
}

fn hash(text: Option<&String>) -> String {
    text.map(|text| HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref())).unwrap_or_default()
}

impl Standing {
    pub(super) fn of(rules: &Rules, contents: &Contents) -> Self {
        Self {
            keys: rules.keys.records().map(|key| (key.id.to_string(), key.revoked.is_some())).collect(),
            policies: HEXLOWER.encode(&rules.policies.hash()),
            tenants: hash(contents.tenants.as_ref()),
            issuers: hash(contents.issuers.as_ref()),
            certificates: hash(contents.certificates.as_ref()),
        }
    }

    /// What was changed from this to what holds `now`, by these rules; by `before`, where those are known that held.
    pub(super) fn changes_to(&self, now: &Self, rules: &Rules, before: Option<&Rules>) -> Vec<Change> {
        let mut changes = Vec::new();
        for record in rules.keys.records() {
            match (self.keys.get(&record.id.to_string()), record.revoked.is_some()) {
                (None, false) => changes.push(Change::KeyAdded(record.clone())),
                (None, true) => {
                    changes.extend([Change::KeyAdded(record.clone()), Change::KeyRevoked(record.clone())]);
                }
                (Some(false), true) => changes.push(Change::KeyRevoked(record.clone())),
                // Back, which a command does not do.
                (Some(true), false) => changes.push(Change::KeyAdded(record.clone())),
                (Some(_), _) => {}
            }
        }
        let gone = self.keys.keys().filter(|id| !now.keys.contains_key(*id));
        changes.extend(gone.map(|id| {
            let record =
                before.and_then(|before| before.keys.records().find(|key| key.id.to_string() == *id));
            record.map_or_else(|| Change::KeyGone(id.clone()), |record| Change::KeyRemoved(record.clone()))
        }));
        if self.policies != now.policies {
            changes.push(Change::Policies(rules.policies.hash()));
        }
        if self.tenants != now.tenants {
            changes.push(Change::Tenants);
        }
        if self.issuers != now.issuers {
            changes.push(Change::Issuers);
        }
        if self.certificates != now.certificates {
            changes.push(Change::Certificates);
        }
        changes
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { keys, policies, tenants, issuers, certificates } = self;
        let document = json!({
            "keys": keys, "policies": policies, "tenants": tenants, "issuers": issuers, "certificates": certificates,
        });
        format!("{document}\n")
    }

    /// What a text says; nothing where it is none of ours.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(text).ok()?;
        let member = |name: &str| Some(document[name].as_str()?.to_owned());
        let keys = document["keys"].as_object()?;
        let keys = keys.iter().map(|(id, is_revoked)| Some((id.clone(), is_revoked.as_bool()?)));
        Some(Self {
            keys: keys.collect::<Option<_>>()?,
            policies: member("policies")?,
            tenants: member("tenants")?,
            issuers: member("issuers")?,
            certificates: member("certificates")?,
        })
    }
}
