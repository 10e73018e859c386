//! Who a process is, as its certificate says: `spinwell://<region>/<role>/<id>`, as a URI among its names.
//!
//! A URI and not the subject's common name, because common names are read differently by every library; the form is that of
//! SPIFFE ids with a scheme of our own, since ids are given by our authority and by nobody else. A certificate names one
//! identity: with two, which one counts would depend on who reads it.

use std::fmt;
use std::str::FromStr;

/// How an identity begins. An authority's own name is this and its region.
pub(super) const SCHEME: &str = "spinwell://";
/// Longer names are refused: they go into logs, metrics and file names.
const NAME_BYTES_MAX: usize = 128;

/// What a process does in its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Takes requests and sends them to nodes.
    Gateway,
    /// Computes predictions.
    Node,
    /// Supervises, drains, scales.
    Control,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Gateway, Role::Node, Role::Control];

    /// The role as it stands in an identity.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Gateway => "gateway",
            Role::Node => "node",
            Role::Control => "control",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that is no identity, or no part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct Invalid {
    text: String,
    wanted: &'static str,
}

impl Invalid {
    fn new(text: &str, wanted: &'static str) -> Self {
        // What a stranger sent may be long.
        Self { text: text.chars().take(NAME_BYTES_MAX).collect(), wanted }
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| Invalid::new(text, "a role: gateway, node or control"))
    }
}

/// A region's name or a process's id: 1 to 128 ASCII letters, digits, `.`, `_` or `-`, starting with a letter or digit, so
/// that it is safe in a URI, a file name and a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let wanted = "a name: 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit";
        if fits { Ok(Self(text.to_owned())) } else { Err(Invalid::new(text, wanted)) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The region it belongs to.
    pub region: Name,
    /// What it does there.
    pub role: Role,
    /// Which of its role it is.
    pub id: Name,
}

impl FromStr for Identity {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(text, "spinwell://<region>/<role>/<id>");
        let mut parts = text.strip_prefix(SCHEME).ok_or_else(invalid)?.split('/');
        let (Some(region), Some(role), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        Ok(Self { region: region.parse()?, role: role.parse()?, id: id.parse()? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.region, self.role, self.id)
    }
}

impl Identity {
    /// How the authority of a region is called.
    #[must_use]
    pub fn of_authority(region: &Name) -> String {
        format!("{SCHEME}{region}")
    }

    /// The one identity among the URIs of a certificate; nothing where there is none, or more than one.
    pub(super) fn among<'a>(uris: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut own = uris.filter(|uri| uri.starts_with(SCHEME));
        match (own.next(), own.next()) {
            (Some(uri), None) => uri.parse().ok(),
            _ => None,
        }
    }
}

/// The other end of a connection. Its region is ours: others are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// What it does.
    pub role: Role,
    /// Which of its role it is.
    pub id: Name,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.id)
    }
}

impl From<Identity> for Peer {
    fn from(identity: Identity) -> Self {
        Self { role: identity.role, id: identity.id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identities_are_read_only_in_their_one_form() {
        for good in ["spinwell://eu-1/node/n1", "spinwell://r/control/a.b_c-1"] {
            assert_eq!(good.parse::<Identity>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "spinwell://",
            "spinwell://eu/node",
            "spinwell://eu/node/",
            "spinwell://eu//n1",
            "spinwell://eu/node/n1/",
            "spinwell://eu/node/n1?x",
            "spinwell://eu/Node/n1",
            "spinwell://eu/admin/n1",
            "spinwell://eu/node/..",
            "spinwell://eu/node/a b",
            "SPINWELL://eu/node/n1",
            "spiffe://eu/node/n1",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_has_one_identity() {
        let of = |uris: &[&str]| Identity::among(uris.iter().copied()).map(|identity| identity.to_string());
        let (node, control) = ("spinwell://r/node/n1", "spinwell://r/control/c1");
        assert_eq!(of(&["https://example.org", node]).as_deref(), Some(node));
        assert_eq!(of(&[node, control]), None);
        assert_eq!(of(&[node, "spinwell://"]), None);
        assert_eq!(of(&["spiffe://r/node/n1"]), None);
        assert_eq!(of(&[]), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(text in "(spinwell://)?[a-zA-Z0-9._/ -]{0,40}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
