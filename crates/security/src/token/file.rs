//! Issuers as an operator writes them down.
//!
//! ```toml
//! [[issuer]]
//! issuer = "https://login.example.com"      # exactly as tokens say it in `iss`
//! audience = ["spinwell"]                   # a token must name one of them
//! algorithms = ["ES256"]                    # RS256, PS256, ES256, EdDSA
//! tenant = "acme"                           # or tenant_claim = "org": "default" if both are left out
//! roles_allowed = ["viewer", "predictor"]   # what it may give, out of the claim roles_claim = "roles"
//! ```
//! Its keys come from `jwks_url`, or from `jwks_file`, or from where its discovery document says (`<issuer>/.well-known/openid-configuration`).
//! Further: `skew_s` (60), `lifetime_max_s` (86400), `one_time` (false).

use crate::token::{Algorithm, ClaimPaths, InvalidOptions, InvalidPath, IssuerOptions, TenantFrom};
use serde::Deserialize;
use spinwell_core::Millis;
use std::collections::BTreeSet;

/// A file of issuers is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIssuers {
    /// It is not what such a file is.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A way to sign that is not known, or that nobody should use.
    #[error("issuer {issuer}: {algorithm:?} is not one of RS256, PS256, ES256, EdDSA")]
    Algorithm {
        /// Whose.
        issuer: String,
        /// What stands there.
        algorithm: String,
    },
    /// Two things are said of which only one can hold.
    #[error("issuer {issuer}: say {0} or {1}, and not both", .what.0, .what.1)]
    Both {
        /// Whose.
        issuer: String,
        /// Which.
        what: (&'static str, &'static str),
    },
    /// A path to a claim that is none.
    #[error("issuer {issuer}: {error}")]
    Claim {
        /// Whose.
        issuer: String,
        /// What is wrong with it.
        error: InvalidPath,
    },
    /// An address over which anybody could hand out keys.
    #[error("issuer {issuer}: keys come over https, or over http from this machine, and {url:?} is neither")]
    Url {
        /// Whose.
        issuer: String,
        /// The address.
        url: String,
    },
    /// Options that cannot be right.
    #[error(transparent)]
    Options(#[from] InvalidOptions),
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysFrom {
    /// From this address.
    Url(String),
    /// From where the document at this address says.
    Discovery(String),
    /// From this file, beside the file of issuers where the path is relative.
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    issuer: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    audience: Vec<String>,
    algorithms: Vec<String>,
    jwks_url: Option<String>,
    jwks_file: Option<String>,
    tenant: Option<String>,
    tenant_claim: Option<String>,
    roles_claim: Option<String>,
    roles_allowed: Option<BTreeSet<String>>,
    skew_s: Option<u32>,
    lifetime_max_s: Option<u32>,
    #[serde(default)]
    one_time: bool,
}

/// The issuers of a file, and where their keys come from.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn issuers_of_text(text: &str) -> Result<Vec<(IssuerOptions, KeysFrom)>, InvalidIssuers> {
    let document: Document = toml::from_str(text)?;
    document.issuer.into_iter().map(options).collect()
}

fn options(written: Written) -> Result<(IssuerOptions, KeysFrom), InvalidIssuers> {
    let issuer = written.issuer;
    let algorithm = |text: &String| {
        let unknown = || InvalidIssuers::Algorithm {
            issuer: issuer.clone(),
            algorithm: text.chars().take(64).collect(),
        };
        Algorithm::of_name(text).ok_or_else(unknown)
    };
    let algorithms = written.algorithms.iter().map(algorithm).collect::<Result<Vec<_>, _>>()?;
    let path =
        |text: &str| text.parse().map_err(|error| InvalidIssuers::Claim { issuer: issuer.clone(), error });
    let both = |what| InvalidIssuers::Both { issuer: issuer.clone(), what };
    let from = match (written.jwks_url, written.jwks_file) {
        (Some(_), Some(_)) => return Err(both(("jwks_url", "jwks_file"))),
        (Some(url), None) => KeysFrom::Url(url),
        (None, Some(file)) => KeysFrom::File(file),
        (None, None) => {
            KeysFrom::Discovery(format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
        }
    };
    if let KeysFrom::Url(url) | KeysFrom::Discovery(url) = &from
        && !is_safe(url)
    {
        return Err(InvalidIssuers::Url { issuer, url: url.clone() });
    }
    let usual = IssuerOptions::new(&issuer, "", algorithms);
    let tenant = match (written.tenant, written.tenant_claim) {
        (Some(_), Some(_)) => return Err(both(("tenant", "tenant_claim"))),
        (Some(name), None) => TenantFrom::Fixed(name),
        (None, Some(claim)) => TenantFrom::Claim(path(&claim)?),
        (None, None) => usual.claims.tenant,
    };
    let seconds =
        |given: Option<u32>, usual| given.map_or(usual, |seconds| Millis(u64::from(seconds) * 1_000));
    let roles = match &written.roles_claim {
        Some(claim) => path(claim)?,
        None => usual.claims.roles,
    };
    let options = IssuerOptions {
        audiences: written.audience,
        skew: seconds(written.skew_s, usual.skew),
        lifetime_max: seconds(written.lifetime_max_s, usual.lifetime_max),
        one_time: written.one_time,
        claims: ClaimPaths {
            tenant,
            roles,
            roles_allowed: written.roles_allowed.unwrap_or(usual.claims.roles_allowed),
        },
        ..usual
    };
    Ok((options.checked()?, from))
}

/// Whether nobody on the way can hand out other keys.
#[must_use]
pub fn is_safe(url: &str) -> bool {
    let local = [
        "http://127.0.0.1:",
        "http://127.0.0.1/",
        "http://[::1]:",
        "http://[::1]/",
        "http://localhost:",
        "http://localhost/",
    ];
    url.starts_with("https://") || local.iter().any(|start| url.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_usual() {
        let text = "[[issuer]]\nissuer = \"https://a.example/\"\naudience = [\"spinwell\"]\nalgorithms = [\"ES256\"]\n";
        let read = issuers_of_text(text).unwrap();
        let usual = IssuerOptions::new("https://a.example/", "spinwell", vec![Algorithm::Es256]);
        let url = "https://a.example/.well-known/openid-configuration";
        assert_eq!(read, [(usual, KeysFrom::Discovery(url.into()))]);
        assert!(issuers_of_text("").unwrap().is_empty());
    }

    #[test]
    fn what_is_said_holds() {
        let text = "[[issuer]]\nissuer = \"i\"\naudience = [\"a\", \"b\"]\nalgorithms = [\"EdDSA\", \"RS256\"]\n\
            jwks_file = \"keys.json\"\ntenant_claim = \"org/name\"\nroles_claim = \"groups\"\nroles_allowed = [\"admin\"]\n\
            skew_s = 5\nlifetime_max_s = 600\none_time = true\n";
        let (options, from) = issuers_of_text(text).unwrap().remove(0);
        assert_eq!(from, KeysFrom::File("keys.json".into()));
        assert_eq!(
            (options.skew, options.lifetime_max, options.one_time),
            (Millis(5_000), Millis(600_000), true)
        );
        assert_eq!(options.claims.tenant, TenantFrom::Claim("org/name".parse().unwrap()));
        assert_eq!(options.claims.roles_allowed, ["admin".to_owned()].into());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let base = "[[issuer]]\nissuer = \"https://a\"\naudience = [\"s\"]\n";
        let rows = [
            ("algorithms = [\"none\"]", "\"none\" is not one of"),
            ("algorithms = [\"HS256\"]", "\"HS256\" is not one of"),
            ("algorithms = []", "algorithm"),
            ("algorithms = [\"ES256\"]\njwks_url = \"https://x\"\njwks_file = \"y\"", "and not both"),
            ("algorithms = [\"ES256\"]\njwks_url = \"http://example.com/keys\"", "come over https"),
            ("algorithms = [\"ES256\"]\nroles_claim = \"\"", "not a path"),
            ("algorithms = [\"ES256\"]\naudiences = [\"s\"]", "unknown field"),
        ];
        for (rest, wanted) in rows {
            let error = issuers_of_text(&format!("{base}{rest}")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{rest}: {error}");
        }
        assert!(is_safe("http://127.0.0.1:8080/keys") && !is_safe("http://127.0.0.1.example.com/keys"));
    }
}
