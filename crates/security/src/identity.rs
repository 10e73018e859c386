//! Who calls, and what they were given: the same whether a key, a token or a certificate said so.
//!
//! What a caller may do depends on their grants and not on their name, so that a thousand callers with the same grants
//! share one answer of [`crate::access`]. Grants are therefore one value behind an [`Arc`], hashed once.

use crate::glob::Glob;
use spinwell_core::{Fnv, TenantId};
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How principals begin who show certificates. No tenant and no issuer is called so.
pub(crate) const OF_CERTIFICATES: &str = "cert:";

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is, unique over all ways to sign in: `TENANT/NAME` of a key, `ISSUER#SUBJECT` of a token, `cert:NAME` of a certificate.
    pub principal: Arc<str>,
    /// What they were given.
    pub grants: Arc<Grants>,
}

/// What was given to a caller. Policies decide what follows from it.
#[derive(Debug, Clone)]
pub struct Grants {
    tenant: TenantId,
    roles: BTreeSet<String>,
    scopes: Scopes,
    hash: u64,
}

impl Grants {
    /// These grants.
    #[must_use]
    pub fn new(tenant: TenantId, roles: BTreeSet<String>, scopes: Scopes) -> Self {
        let mut hash = Fnv::default();
        let texts = roles.iter().map(String::as_str);
        let scope_texts =
            scopes.models.iter().map(Glob::as_str).chain(scopes.actions.iter().map(Glob::as_str));
        for text in std::iter::once(&*tenant.0).chain(texts).chain(scope_texts) {
            text.hash(&mut hash);
        }
        let hash = hash.finish();
        Self { tenant, roles, scopes, hash }
    }

    /// Whom they belong to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Names of their roles.
    #[must_use]
    pub fn roles(&self) -> &BTreeSet<String> {
        &self.roles
    }

    /// What their credential is limited to.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

impl PartialEq for Grants {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.tenant == other.tenant
            && self.roles == other.roles
            && self.scopes == other.scopes
    }
}

impl Eq for Grants {}

impl Hash for Grants {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// What every client asks before it asks a model. The list has only models that the caller may read.
const CLIENTS_ASK_FIRST: [&str; 2] = ["ServerRead", "ModelList"];

/// What a credential is limited to, whatever its roles would allow: it narrows and never widens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes {
    /// Models by name, as globs; none is no limit. With a limit, what belongs to no model is out of reach too, but for the name of the
    /// server, the list of models, and what `actions` names.
    pub models: Vec<Glob>,
    /// Actions by name, as globs (`Prediction*`); none is no limit.
    pub actions: Vec<Glob>,
}

impl Scopes {
    /// Without a limit.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether an action of this name on this model, or on something else, lies inside.
    #[must_use]
    pub fn hold(&self, action: &str, model: Option<&str>) -> bool {
        let fits = |globs: &[Glob], text: &str| globs.iter().any(|glob| glob.matches(text));
        let action_fits = self.actions.is_empty() || fits(&self.actions, action);
        let thing_fits = match model {
            _ if self.models.is_empty() => true,
            Some(model) => fits(&self.models, model),
            None => !self.actions.is_empty() || CLIENTS_ASK_FIRST.contains(&action),
        };
        action_fits && thing_fits
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |globs: &[Glob]| match globs {
            [] => "*".to_owned(),
            globs => globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(","),
        };
        write!(f, "models {}, actions {}", list(&self.models), list(&self.actions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn scopes_narrow() {
        let scopes =
            Scopes { models: globs(&["taxi*", "flow"]), actions: globs(&["Prediction*", "ModelRead"]) };
        let rows = [
            ("PredictionCreate", Some("taxi-nyc"), true),
            ("PredictionCreate", Some("flow"), true),
            ("PredictionCreate", Some("flows"), false),
            ("ModelRead", None, true),
            ("ModelDelete", Some("taxi"), false),
        ];
        for (action, model, inside) in rows {
            assert_eq!(scopes.hold(action, model), inside, "{action} {model:?}");
            assert!(Scopes::all().hold(action, model));
        }
        let models = Scopes { actions: Vec::new(), ..scopes.clone() };
        assert!(models.hold("ModelDelete", Some("flow")) && models.hold("ModelList", None));
        assert!(!models.hold("ClusterWrite", None), "a key for models is none for the region");
        assert_eq!(scopes.to_string(), "models taxi*,flow, actions Prediction*,ModelRead");
        assert_eq!(Scopes::all().to_string(), "models *, actions *");
    }

    #[test]
    fn grants_are_equal_by_what_they_hold() {
        let grants = |tenant: &str, roles: &[&str], actions: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            Grants::new(TenantId(tenant.into()), roles, Scopes { models: vec![], actions: globs(actions) })
        };
        let some = grants("acme", &["viewer", "trainer"], &["ModelRead"]);
        assert_eq!(some, grants("acme", &["trainer", "viewer"], &["ModelRead"]));
        assert_ne!(some, grants("acme", &["viewer"], &["ModelRead"]));
        assert_ne!(some, grants("other", &["viewer", "trainer"], &["ModelRead"]));
        assert_ne!(some, grants("acme", &["viewer", "trainer"], &[]));
    }
}
