//! The files of the folder.

use spinwell_core::{Code, Fault};
use spinwell_security::access::{PolicyFile, PolicySet};
use spinwell_security::certificate::Certificates;
use spinwell_security::guard::{Rules, keys_of_text};
use spinwell_security::key::KeyRing;
use spinwell_security::tenant::Tenants;
use spinwell_security::token::{Issuers, KeysFrom, issuers_of_text};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// API keys.
pub const KEYS: &str = "keys.json";
/// Issuers of tokens.
pub const ISSUERS: &str = "issuers.toml";
/// Certificates of callers.
pub const CERTIFICATES: &str = "certificates.toml";
/// Tenants.
pub const TENANTS: &str = "tenants.toml";
/// The folder of policies.
pub const POLICIES: &str = "policies";
/// Longer files are not read.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the files hold; nothing of a file that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) keys: Option<String>,
    pub(super) issuers: Option<String>,
    pub(super) certificates: Option<String>,
    pub(super) tenants: Option<String>,
    /// By the names of their files.
    pub(super) policies: BTreeMap<String, String>,
}

/// Puts one file's part of the second into the first.
type Part = fn(&mut Contents, &Contents);

/// Every file, or folder of them, by itself. Keys first: whoever is to be refused at once stands there.
const PARTS: [Part; 5] = [
    |to, from| to.keys.clone_from(&from.keys),
    |to, from| to.certificates.clone_from(&from.certificates),
    |to, from| to.issuers.clone_from(&from.issuers),
    |to, from| to.tenants.clone_from(&from.tenants),
    |to, from| to.policies.clone_from(&from.policies),
];

impl Contents {
    /// What of this can be used beside what holds: each file that is good by itself, and of the others what was `taken` before.
    pub(super) fn good_over(&self, taken: &Self, dir: &Path) -> Self {
        let mut best = taken.clone();
        for part in PARTS {
            let mut next = best.clone();
            part(&mut next, self);
            if next.rules(dir, None).is_ok() {
                best = next;
            }
        }
        best
    }

    pub(super) fn read(dir: &Path) -> Result<Self, Fault> {
        let file = |name| text(&dir.join(name));
        Ok(Self {
            keys: file(KEYS)?,
            issuers: file(ISSUERS)?,
            certificates: file(CERTIFICATES)?,
            tenants: file(TENANTS)?,
            policies: policy_files(&dir.join(POLICIES))?,
        })
    }

    /// What they say. What has not changed is taken from `before`, with the decisions and keys that were kept there.
    pub(super) fn rules(
        &self,
        dir: &Path,
        before: Option<&Rules>,
    ) -> Result<(Rules, Vec<(String, KeysFrom)>), Fault> {
        let wrong = |name: &str, error: &dyn Display| wrong(&dir.join(name), error);
        let keys = match &self.keys {
            Some(text) => keys_of_text(text).map_err(|error| wrong(KEYS, &error))?,
            None => KeyRing::default(),
        };
        let listed = match &self.issuers {
            Some(text) => issuers_of_text(text).map_err(|error| wrong(ISSUERS, &error))?,
            None => Vec::new(),
        };
        let sources = listed.iter().map(|(options, from)| (options.issuer.clone(), from.clone())).collect();
        let options = listed.into_iter().map(|(options, _)| options).collect();
        let mut issuers = Issuers::new(options).map_err(|error| wrong(ISSUERS, &error))?;
        let certificates = match &self.certificates {
            Some(text) => Certificates::parse(text).map_err(|error| wrong(CERTIFICATES, &error))?,
            None => Certificates::default(),
        };
        let tenants = match &self.tenants {
            Some(text) => Tenants::parse(text).map_err(|error| wrong(TENANTS, &error))?,
            None => Tenants::default(),
        };
        let mut policies = Arc::new(self.policy_set().map_err(|error| wrong(POLICIES, &error))?);
        if let Some(before) = before {
            issuers = issuers.going_on_from(&before.issuers);
            if policies.hash() == before.policies.hash() {
                policies = before.policies.clone();
            }
        }
        let (keys, certificates, tenants) = (keys.into(), certificates.into(), tenants.into());
        Ok((Rules { keys, issuers, certificates, policies, tenants }, sources))
    }

    fn policy_set(&self) -> Result<PolicySet, spinwell_security::access::InvalidPolicies> {
        if self.policies.is_empty() {
            return Ok(PolicySet::of_defaults());
        }
        let files = self.policies.iter().map(|(name, text)| PolicyFile { name, text });
        PolicySet::parse(&files.collect::<Vec<_>>())
    }
}

/// The policies of a folder; the usual ones where it has none.
///
/// # Errors
/// Where a file cannot be read, or all that is wrong with them.
pub fn read_policies(dir: &Path) -> Result<PolicySet, Fault> {
    let contents = Contents { policies: policy_files(dir)?, ..Contents::default() };
    contents.policy_set().map_err(|error| Fault::new(Code::ConfigInvalid, error.to_string()))
}

/// The API keys of an access folder; none where there is no file of them.
///
/// # Errors
/// Where it cannot be read, or is wrong.
pub fn read_keys(dir: &Path) -> Result<KeyRing, Fault> {
    let path = dir.join(KEYS);
    match text(&path)? {
        Some(text) => keys_of_text(&text).map_err(|error| wrong(&path, &error)),
        None => Ok(KeyRing::default()),
    }
}

fn policy_files(dir: &Path) -> Result<BTreeMap<String, String>, Fault> {
    let cannot =
        |error: io::Error| Fault::new(Code::Io, format!("{} cannot be read: {error}", dir.display()));
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut files = BTreeMap::new();
    for entry in listed {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Editors leave files that begin with a dot.
        if path.extension().is_some_and(|end| end == "cedar")
            && !name.starts_with('.')
            && let Some(text) = text(&path)?
        {
            files.insert(name, text);
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<Option<String>, Fault> {
    let cannot =
        |what: &dyn Display| Fault::new(Code::Io, format!("{} cannot be read: {what}", path.display()));
    match fs::metadata(path) {
        Ok(facts) if facts.len() > BYTES_MAX => Err(cannot(&format!("it has more than {BYTES_MAX} bytes"))),
        Ok(_) => fs::read_to_string(path).map(Some).map_err(|error| cannot(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(&error)),
    }
}

fn wrong(path: &Path, error: &dyn Display) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("{}: {error}", path.display()))
}
