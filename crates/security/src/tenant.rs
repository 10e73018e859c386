//! Tenants: whose models are whose, and how much each may ask for.
//!
//! Who is of which tenant, keys and tokens say. A model belongs to the tenant that names it here, and is shared where none does.

use crate::glob::Glob;
use crate::identity::OF_CERTIFICATES;
use serde::Deserialize;
use spinwell_core::{ModelName, TenantId};
use std::collections::BTreeMap;

/// So many requests a second are as good as no quota.
const RATE_MAX: u32 = 10_000_000;

/// How many predictions a tenant may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Predictions a second, in the long run.
    pub per_second: u32,
    /// Predictions at once, after a rest.
    pub burst: u32,
}

/// A file of tenants is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTenants {
    /// It is not what such a file is.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A name that nobody can have.
    #[error(
        "{0:?} is no name of a tenant: use 1 to 128 characters, none of them a '/' or a control character, and not cert: before them"
    )]
    Name(String),
    /// A pattern of models that is none.
    #[error("tenant {tenant}: {error}")]
    Pattern {
        /// Whose.
        tenant: String,
        /// What is wrong with it.
        error: crate::InvalidGlob,
    },
    /// Models that would belong to two tenants.
    #[error("the models {pattern} belong to {first} and to {second}; let one tenant have them")]
    Twice {
        /// Which models.
        pattern: String,
        /// One tenant.
        first: String,
        /// The other one.
        second: String,
    },
    /// A quota that is none.
    #[error(
        "tenant {0}: requests_per_second is a number from 1 to {RATE_MAX}, and burst, at least 1, comes only with it"
    )]
    Quota(String),
}

/// What a tenant's table has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    models: Vec<String>,
    requests_per_second: Option<u32>,
    burst: Option<u32>,
}

/// All that is said of tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenants {
    /// Patterns with more letters first, so that `acme-*` counts before `*`.
    owners: Vec<(Glob, TenantId)>,
    quotas: BTreeMap<TenantId, Quota>,
}

impl Tenants {
    /// Reads a file of tenants: a table each, of `models`, `requests_per_second` and `burst`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidTenants> {
        let written: BTreeMap<String, Written> = toml::from_str(text)?;
        let mut owners: Vec<(Glob, TenantId)> = Vec::new();
        let mut quotas = BTreeMap::new();
        for (name, Written { models, requests_per_second, burst }) in written {
            if !is_tenant_name(&name) {
                return Err(InvalidTenants::Name(name.chars().take(128).collect()));
            }
            let tenant = TenantId(name.as_str().into());
            for pattern in models {
                let glob: Glob = pattern
                    .parse()
                    .map_err(|error| InvalidTenants::Pattern { tenant: name.clone(), error })?;
                if let Some((_, first)) = owners.iter().find(|(other, _)| *other == glob) {
                    let first = first.0.as_ref().to_owned();
                    return Err(InvalidTenants::Twice { pattern, first, second: name });
                }
                owners.push((glob, tenant.clone()));
            }
            match (requests_per_second, burst) {
                (None, None) => {}
                (Some(per_second @ 1..=RATE_MAX), None) => {
                    quotas.insert(tenant, Quota { per_second, burst: per_second });
                }
                (Some(per_second @ 1..=RATE_MAX), Some(burst @ 1..=RATE_MAX)) => {
                    quotas.insert(tenant, Quota { per_second, burst });
                }
                _ => return Err(InvalidTenants::Quota(name)),
            }
        }
        owners.sort_by_key(|(glob, _)| std::cmp::Reverse(glob.as_str().replace('*', "").len()));
        Ok(Self { owners, quotas })
    }

    /// Whose a model of this name is; `None`: it is shared.
    #[must_use]
    pub fn owner(&self, model: &ModelName) -> Option<&TenantId> {
        let owner = self.owners.iter().find(|(glob, _)| glob.matches(model.as_str()));
        owner.map(|(_, tenant)| tenant)
    }

    /// How much a tenant may ask for; `None`: as much as there is room for.
    #[must_use]
    pub fn quota(&self, tenant: &TenantId) -> Option<Quota> {
        self.quotas.get(tenant).copied()
    }
}

/// Whether a tenant can be called so. A slash would make it look like a principal, and `cert:` its callers like certificates.
#[must_use]
pub fn is_tenant_name(text: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && c != '/';
    (1..=128).contains(&text.len()) && text.chars().all(is_plain) && !text.starts_with(OF_CERTIFICATES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_belong_to_whoever_names_them_most_closely() {
        let text = "[acme]\nmodels = [\"acme-*\", \"*\"]\nrequests_per_second = 100\n[other]\nmodels = [\"acme-x\"]\n[free]\n";
        let tenants = Tenants::parse(text).unwrap();
        let owner = |name: &str| tenants.owner(&name.parse().unwrap()).map(|tenant| tenant.0.to_string());
        assert_eq!(owner("acme-x").as_deref(), Some("other"));
        assert_eq!(owner("acme-y").as_deref(), Some("acme"));
        assert_eq!(owner("taxi").as_deref(), Some("acme"));
        let quota = |name: &str| tenants.quota(&TenantId(name.into()));
        assert_eq!(quota("acme"), Some(Quota { per_second: 100, burst: 100 }));
        assert_eq!((quota("free"), quota("nobody")), (None, None));
        assert_eq!(Tenants::default().owner(&"taxi".parse().unwrap()), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let rows = [
            ("[a]\nmodels = [\"x y\"]", "not a pattern"),
            ("[a]\nmodels = [\"x\"]\n[b]\nmodels = [\"x\"]", "belong to a and to b"),
            ("[a]\nburst = 3", "comes only with it"),
            ("[a]\nrequests_per_second = 0", "from 1"),
            ("[a]\nmodel = [\"x\"]", "unknown field"),
            ("[\"a/b\"]\n", "no name of a tenant"),
            ("[\"cert:a\"]\n", "no name of a tenant"),
            ("a = 3", "invalid type"),
        ];
        for (text, wanted) in rows {
            let error = Tenants::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
