//! Issuers' keys, from where they are.

use crate::pages::{Error as PageError, page};
use spinwell_security::token::{InvalidKeySet, KeySet, KeysFrom};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long an issuer may take: somebody waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer answers are not read.
const BYTES_MAX: usize = 512 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Page(#[from] PageError),
    #[error("{0} does not say a jwks_uri that is https, or http on this machine")]
    Discovery(String),
    #[error("{0} cannot be read")]
    File(String, #[source] io::Error),
    #[error("{0}")]
    Keys(String, #[source] InvalidKeySet),
}

/// The keys that are there now.
pub(super) async fn keys(from: &KeysFrom, dir: &Path) -> Result<KeySet, Error> {
    let (place, bytes) = match from {
        KeysFrom::Url(url) => (url.clone(), get(url).await?),
        KeysFrom::Discovery(url) => {
            let document: serde_json::Value = serde_json::from_slice(&get(url).await?).unwrap_or_default();
            let uri = document["jwks_uri"].as_str().filter(|uri| spinwell_security::token::is_safe(uri));
            let uri = uri.ok_or_else(|| Error::Discovery(url.clone()))?;
            (uri.to_owned(), get(uri).await?)
        }
        KeysFrom::File(name) => {
            let path = dir.join(name);
            let place = path.display().to_string();
            (place.clone(), std::fs::read(path).map_err(|error| Error::File(place, error))?)
        }
    };
    KeySet::parse(&bytes).map_err(|error| Error::Keys(place, error))
}

async fn get(url: &str) -> Result<Vec<u8>, PageError> {
    page(url, None, BYTES_MAX, PATIENCE).await
}
