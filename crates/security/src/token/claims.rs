//! Where in a token's claims tenant and roles stand.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// So many roles of one token are read.
const ROLES_MAX: usize = 64;
/// So many bytes of a tenant's or role's name are read.
const NAME_BYTES_MAX: usize = 128;

/// A text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path to a claim, which looks like NAME or NAME/NAME")]
pub struct InvalidPath(String);

/// The way to a claim: names of objects inside each other. They are written with `/` between them, because names of claims have
/// dots and colons (`https://example.com/roles` is written with `~1` for `/`, as in a JSON pointer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// The path to a claim that lies in no other.
    pub(crate) fn of_name(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }
}

impl FromStr for ClaimPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let names: Vec<String> =
            text.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
        let fits = names.len() <= 8 && names.iter().all(|name| !name.is_empty());
        if fits { Ok(Self(names)) } else { Err(InvalidPath(text.into())) }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
        f.write_str(&names.collect::<Vec<_>>().join("/"))
    }
}

/// How a token's tenant is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantFrom {
    /// All tokens of the issuer are of one tenant.
    Fixed(String),
    /// The claim at this path says it. Only for an issuer that is trusted with all tenants.
    Claim(ClaimPath),
}

/// Where tenant and roles stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPaths {
    /// How the tenant is known.
    pub tenant: TenantFrom,
    /// Where the roles are: a list of texts, or one text with spaces between them. A token without them has none.
    pub roles: ClaimPath,
    /// Roles that the issuer may give; others are left out. An issuer should not be able to make administrators
    /// because nobody has thought of it.
    pub roles_allowed: BTreeSet<String>,
}

impl ClaimPaths {
    /// The tenant that the claims say, or `None` where they say none that can be one.
    pub(crate) fn tenant(&self, claims: &Map<String, Value>) -> Option<String> {
        let name = match &self.tenant {
            TenantFrom::Fixed(name) => return Some(name.clone()),
            TenantFrom::Claim(path) => path.find(claims)?.as_str()?,
        };
        is_name(name).then(|| name.to_owned())
    }

    /// The allowed ones of the roles that the claims say, or `None` where they are of another type.
    pub(crate) fn roles(&self, claims: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let said: Vec<&str> = match self.roles.find(claims) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>()?,
            Some(_) => return None,
        };
        let allowed = said.into_iter().filter(|role| self.roles_allowed.contains(*role));
        Some(allowed.take(ROLES_MAX).map(str::to_owned).collect())
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
