//! API keys as they are kept: a JSON document of everything but their secrets.

use crate::glob::Glob;
use crate::identity::Scopes;
use crate::key::{About, KeyId, KeyRecord, KeyRing, TwoOfOneId};
use crate::tenant::is_tenant_name;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use spinwell_core::{TenantId, UnixMicros};
use std::collections::BTreeSet;

/// A document of keys is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeys {
    /// It is not what such a document is.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// A part of a key cannot be what it says.
    #[error("key {id}: {what}")]
    Key {
        /// Which key, as it stands there.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// Two keys have one id.
    #[error(transparent)]
    Twice(#[from] TwoOfOneId),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<Written>,
}

/// A key as it is written. Times are microseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    name: String,
    tenant: String,
    principal: String,
    roles: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<u64>,
    secret_sha256: String,
}

/// The keys of a document.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn keys_of_text(text: &str) -> Result<KeyRing, InvalidKeys> {
    let document: Document = serde_json::from_str(text)?;
    let keys: Vec<KeyRecord> = document.keys.into_iter().map(record).collect::<Result<_, _>>()?;
    Ok(KeyRing::new(keys)?)
}

/// The document of these keys, oldest first.
#[must_use]
pub fn keys_to_text(ring: &KeyRing) -> String {
    let mut keys: Vec<Written> = ring.records().map(written).collect();
    keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut text = serde_json::to_string_pretty(&Document { keys }).unwrap_or_default();
    text.push('\n');
    text
}

fn record(written: Written) -> Result<KeyRecord, InvalidKeys> {
    let wrong = |what: String| InvalidKeys::Key { id: written.id.clone(), what };
    let id = KeyId::parse(&written.id).ok_or_else(|| wrong("an id has 16 hexadecimal digits".into()))?;
    let mut secret_hash = [0; 32];
    let text = written.secret_sha256.as_bytes();
    if text.len() != 64 || HEXLOWER.decode_mut(text, &mut secret_hash).is_err() {
        return Err(wrong("secret_sha256 has 64 hexadecimal digits".into()));
    }
    if !is_tenant_name(&written.tenant) {
        return Err(wrong(format!("{:?} is no name of a tenant", written.tenant)));
    }
    let globs = |texts: &[String]| {
        let globs = texts.iter().map(|text| text.parse::<Glob>());
        globs.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))
    };
    let scopes = Scopes { models: globs(&written.models)?, actions: globs(&written.actions)? };
    let about = About {
        name: written.name,
        tenant: TenantId(written.tenant.into()),
        principal: written.principal,
        roles: written.roles,
        scopes,
        created: UnixMicros(written.created),
        expires: written.expires.map(UnixMicros),
    };
    Ok(KeyRecord::of_parts(id, secret_hash, about, written.revoked.map(UnixMicros)))
}

fn written(record: &KeyRecord) -> Written {
    let grants = &record.identity().grants;
    let texts = |globs: &[Glob]| globs.iter().map(|glob| glob.as_str().to_owned()).collect();
    Written {
        id: record.id.to_string(),
        name: record.name.clone(),
        tenant: grants.tenant().0.to_string(),
        principal: record.principal.clone(),
        roles: grants.roles().clone(),
        models: texts(&grants.scopes().models),
        actions: texts(&grants.scopes().actions),
        created: record.created.0,
        expires: record.expires.map(|at| at.0),
        revoked: record.revoked.map(|at| at.0),
        secret_sha256: HEXLOWER.encode(&record.secret_hash),
    }
}
