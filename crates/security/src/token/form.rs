//! A token's text, taken apart and not yet believed.

use crate::token::Refused;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Map, Value};

/// What access tokens call themselves (RFC 9068), or nothing. Tokens for other uses name their type, so that none is taken
/// for another.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// The parts of a token.
#[derive(Debug)]
pub(crate) struct Parts<'t> {
    /// What is signed.
    pub(crate) message: &'t str,
    /// The signature, in Base64.
    pub(crate) signature: &'t str,
    /// The algorithm that the header names.
    pub(crate) algorithm: String,
    /// The key that the header names.
    pub(crate) kid: Option<String>,
    /// What is claimed.
    pub(crate) claims: Map<String, Value>,
}

impl<'t> Parts<'t> {
    /// Takes a text apart. Keys and addresses in the header are not even read.
    pub(crate) fn of(token: &'t str, bytes_max: usize) -> Result<Self, Refused> {
        let bytes = token.len();
        if bytes > bytes_max {
            return Err(Refused::TooLong { bytes, bytes_max });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refused::Form)?;
        let (header, claims) = message.split_once('.').ok_or(Refused::Form)?;
        if claims.contains('.') {
            return Err(Refused::Form);
        }
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err(Refused::Critical);
        }
        if let Some(typ) = header.get("typ") {
            let typ = typ.as_str().ok_or(Refused::Form)?;
            if !TYPES.contains(&typ.to_ascii_lowercase().as_str()) {
                return Err(Refused::Type(typ.to_owned()));
            }
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Refused::Form)?.to_owned();
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(Refused::Form)?.to_owned()),
        };
        Ok(Self { message, signature, algorithm, kid, claims: object(claims)? })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Form)
}
