//! Certificates that callers show: who calls with them, by a file of names.
//!
//! That a certificate is genuine and of an authority that counts, the handshake has found. Here is said whose it is. A certificate has
//! the names that its authority wrote into it; an entry of the file fits one name, or by stars many, and says what its callers were given.
//! Names are URIs, host names, or a common name with `CN=` before it; an entry with a star fits only those of its own kind.
//! The first name that an entry fits counts, and of several entries the closest: one without stars, or else the one with the most letters.
//!
//! ```
//! use spinwell_core::UnixMicros;
//! use spinwell_security::certificate::{Certificate, Certificates};
//!
//! let known = "[[certificate]]\nname = \"spiffe://example.com/forecaster\"\ntenant = \"acme\"\nroles = [\"predictor\"]";
//! let known = Certificates::parse(known).unwrap();
//! let shown = Certificate::new(["spiffe://example.com/forecaster"], UnixMicros(9));
//! let identity = known.check(&shown, UnixMicros(5)).unwrap();
//! assert_eq!(&*identity.principal, "cert:spiffe://example.com/forecaster");
//! assert!(known.check(&shown, UnixMicros(10)).is_err());
//! ```

use crate::glob::{Glob, fits};
use crate::identity::{Grants, Identity, OF_CERTIFICATES, Scopes};
use crate::tenant::is_tenant_name;
use serde::Deserialize;
use spinwell_core::{TenantId, UnixMicros};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Longer names are no names: they go into logs and records.
const NAME_BYTES_MAX: usize = 256;
/// So many names of a certificate are looked at: each costs a look-up with every request.
const NAMES_MAX: usize = 16;

/// Kinds of names. Who may make certificates with one kind of them need not be free in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Common,
    Uri,
    Host,
}

impl Kind {
    /// The kind of a name, or of the names that a pattern can fit.
    fn of(name: &str) -> Self {
        match name {
            _ if name.starts_with("CN=") => Self::Common,
            _ if name.contains(':') => Self::Uri,
            _ => Self::Host,
        }
    }
}

/// A certificate that a caller has shown, and that was found good when he did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// As principals are called: with `cert:` before each.
    names: Vec<Arc<str>>,
    until: UnixMicros,
}

impl Certificate {
    /// One with these names, which is valid until that moment and no longer. What nobody could write down as a name is left out.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, until: UnixMicros) -> Self {
        let names = names.into_iter().filter(|name| is_name(name)).take(NAMES_MAX);
        Self { names: names.map(|name| format!("{OF_CERTIFICATES}{name}").into()).collect(), until }
    }

    /// Its names, in the order in which they are looked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|principal| &principal[OF_CERTIFICATES.len()..])
    }

    /// The first of them, by which it is called in messages.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names().next()
    }
}

/// Why a certificate does not say who calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its time is over, since the handshake.
    #[error("certificate {name:?} has expired")]
    Expired {
        /// What it is called.
        name: String,
    },
    /// Nobody was given anything with it.
    #[error("certificate {name:?} is nobody's here")]
    Unknown {
        /// What it is called.
        name: String,
    },
}

/// A file of certificates is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificates {
    /// It is not what such a file is.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A name that no certificate can have.
    #[error("{0:?} is no name of a certificate: use 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name(String),
    /// A part of an entry cannot be what it says.
    #[error("certificate {name:?}: {what}")]
    Entry {
        /// Which.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    certificate: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    tenant: String,
    roles: BTreeSet<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
}

/// Certificates whose callers are known.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<Grants>>,
    /// Patterns with more letters first.
    patterns: Vec<(String, Arc<Grants>)>,
}

impl Certificates {
    /// Reads a file of certificates: for each `name`, `tenant` and `roles`, and if they are limited further `models` and `actions`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidCertificates> {
        let document: Document = toml::from_str(text)?;
        let mut read = Self::default();
        for written in document.certificate {
            let name = written.name.clone();
            if !is_name(&name) {
                return Err(InvalidCertificates::Name(name.chars().take(NAME_BYTES_MAX).collect()));
            }
            let wrong = |what| InvalidCertificates::Entry { name: name.clone(), what };
            let grants = Arc::new(grants(written).map_err(wrong)?);
            let is_twice = match name.contains('*') {
                true if read.patterns.iter().any(|(other, _)| *other == name) => true,
                true => {
                    read.patterns.push((name.clone(), grants));
                    false
                }
                false => read.exact.insert(name.clone(), grants).is_some(),
            };
            if is_twice {
                return Err(wrong("it stands there twice".to_owned()));
            }
        }
        read.patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.replace('*', "").len()));
        Ok(read)
    }

    /// Who calls with this certificate at this time.
    ///
    /// # Errors
    /// Where its time is over, or no entry fits a name of it.
    pub fn check(&self, shown: &Certificate, now: UnixMicros) -> Result<Identity, Refused> {
        let called = || shown.name().unwrap_or_default().to_owned();
        if now > shown.until {
            return Err(Refused::Expired { name: called() });
        }
        let found = shown.names.iter().zip(shown.names()).find_map(|(principal, name)| {
            let grants = self.given(name)?.clone();
            Some(Identity { principal: principal.clone(), grants })
        });
        found.ok_or_else(|| Refused::Unknown { name: called() })
    }

    fn given(&self, name: &str) -> Option<&Arc<Grants>> {
        // A star alone is for everybody.
        let is_of_kind = |pattern: &str| pattern == "*" || Kind::of(pattern) == Kind::of(name);
        let by_pattern =
            || self.patterns.iter().find(|(pattern, _)| is_of_kind(pattern) && fits(pattern, name));
        self.exact.get(name).or_else(|| by_pattern().map(|(_, grants)| grants))
    }
}

fn grants(written: Written) -> Result<Grants, String> {
    if !is_tenant_name(&written.tenant) {
        return Err(format!("{:?} is no name of a tenant", written.tenant));
    }
    let globs = |texts: &[String]| {
        let globs = texts.iter().map(|text| text.parse::<Glob>());
        globs.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
    };
    let scopes = Scopes { models: globs(&written.models)?, actions: globs(&written.actions)? };
    Ok(Grants::new(TenantId(written.tenant.into()), written.roles, scopes))
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[certificate]]\nname = \"spiffe://example.com/*\"\ntenant = \"acme\"\nroles = [\"viewer\"]\n\
        [[certificate]]\nname = \"*\"\ntenant = \"guests\"\nroles = []\n\
        [[certificate]]\nname = \"spiffe://example.com/forecaster\"\ntenant = \"acme\"\nroles = [\"predictor\"]\n\
        models = [\"taxi*\"]\nactions = [\"Prediction*\"]\n";

    fn shown(names: &[&str]) -> Certificate {
        Certificate::new(names.iter().copied(), UnixMicros(100))
    }

    #[test]
    fn the_closest_entry_of_the_first_name_that_fits_counts() {
        let known = Certificates::parse(FILE).unwrap();
        let check = |names: &[&str], wanted: (&str, &str, &[&str])| {
            let identity = known.check(&shown(names), UnixMicros(100)).unwrap();
            let roles: Vec<&str> = identity.grants.roles().iter().map(String::as_str).collect();
            let tenant = &*identity.grants.tenant().0;
            assert_eq!((&*identity.principal, tenant, &roles[..]), wanted, "{names:?}");
        };
        let forecaster = "spiffe://example.com/forecaster";
        check(&[forecaster], ("cert:spiffe://example.com/forecaster", "acme", &["predictor"]));
        check(&["spiffe://example.com/a/b"], ("cert:spiffe://example.com/a/b", "acme", &["viewer"]));
        check(&["host.example", forecaster], ("cert:host.example", "guests", &[]));
        let identity = known.check(&shown(&[forecaster]), UnixMicros(1)).unwrap();
        assert_eq!(identity.grants.scopes().to_string(), "models taxi*, actions Prediction*");
    }

    #[test]
    fn a_name_that_no_entry_fits_is_left_for_the_next() {
        let text = "[[certificate]]\nname = \"b\"\ntenant = \"t\"\nroles = []";
        let known = Certificates::parse(text).unwrap();
        assert_eq!(&*known.check(&shown(&["a", "b"]), UnixMicros(1)).unwrap().principal, "cert:b");
        let unknown = |name: &str| Err(Refused::Unknown { name: name.to_owned() });
        assert_eq!(known.check(&shown(&["a", "B", "b "]), UnixMicros(1)), unknown("a"));
        assert_eq!(known.check(&shown(&[]), UnixMicros(1)), unknown(""));
        assert_eq!(Certificates::default().check(&shown(&["b"]), UnixMicros(1)), unknown("b"));
    }

    #[test]
    fn a_star_fits_only_names_of_its_own_kind() {
        let entry = |name: &str| format!("[[certificate]]\nname = \"{name}\"\ntenant = \"t\"\nroles = []\n");
        let names = ["a.example.com", "spiffe://x/a.example.com", "CN=a.example.com"];
        for (pattern, wanted) in [
            ("*.example.com", [true, false, false]),
            ("*://*.example.com", [false, true, false]),
            ("spiffe:*", [false, true, false]),
            ("CN=*.example.com", [false, false, true]),
            ("*", [true, true, true]),
            ("a.example.com", [true, false, false]),
        ] {
            let known = Certificates::parse(&entry(pattern)).unwrap();
            let fits = names.map(|name| known.check(&shown(&[name]), UnixMicros(1)).is_ok());
            assert_eq!(fits, wanted, "{pattern}");
        }
    }

    #[test]
    fn its_last_moment_is_its_last() {
        let known = Certificates::parse(FILE).unwrap();
        let expired = Err(Refused::Expired { name: "a".to_owned() });
        for (now, wanted) in [(0, None), (100, None), (101, Some(&expired)), (u64::MAX, Some(&expired))] {
            let found = known.check(&shown(&["a"]), UnixMicros(now));
            assert_eq!(found.is_ok(), wanted.is_none(), "{now}");
            assert!(wanted.is_none_or(|wanted| found == *wanted), "{now}");
        }
    }

    #[test]
    fn what_is_no_name_is_left_out_and_names_have_an_end() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(shown(&["", "a\nb", &long, "c"]).names().collect::<Vec<_>>(), ["c"]);
        let many: Vec<String> = (0..100).map(|number| format!("name-{number}")).collect();
        let many = Certificate::new(many.iter().map(String::as_str), UnixMicros(1));
        assert_eq!((many.names().count(), many.name()), (NAMES_MAX, Some("name-0")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let rows = [
            ("tenant = \"a/b\"\nroles = []", "no name of a tenant"),
            ("tenant = \"cert:x\"\nroles = []", "no name of a tenant"),
            ("tenant = \"a\"\nroles = []\nmodels = [\"x y\"]", "not a pattern"),
            ("tenant = \"a\"", "missing field"),
            ("tenant = \"a\"\nroles = []\nrole = \"admin\"", "unknown field"),
            (
                "tenant = \"a\"\nroles = []\n[[certificate]]\nname = \"n\"\ntenant = \"b\"\nroles = []",
                "twice",
            ),
        ];
        for (rest, wanted) in rows {
            let error = Certificates::parse(&format!("[[certificate]]\nname = \"n\"\n{rest}")).unwrap_err();
            assert!(error.to_string().contains(wanted), "{rest}: {error}");
        }
        let stars = "[[certificate]]\nname = \"n*\"\ntenant = \"b\"\nroles = []\n".repeat(2);
        assert!(Certificates::parse(&stars).unwrap_err().to_string().contains("twice"));
        let nameless = "[[certificate]]\nname = \"\"\ntenant = \"b\"\nroles = []\n";
        assert!(matches!(Certificates::parse(nameless), Err(InvalidCertificates::Name(_))));
    }
}
