//! Issuers' keys, from where they are.

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
    #[error("{0}")]
    Unreachable(String, #[source] reqwest::Error),
    #[error("{url} answers with {status}")]
    Status { url: String, status: u16 },
    #[error("{0} answers with more than {BYTES_MAX} bytes")]
    TooLong(String),
    #[error("{0} does not say a jwks_uri that is https, or http on this machine")]
    Discovery(String),
    #[error("{0} cannot be read")]
    File(String, #[source] io::Error),
    #[error("{0}")]
    Keys(String, #[source] InvalidKeySet),
}

/// A client that goes where it is told to and nowhere else.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
    builder.no_proxy().build()
}

/// The keys that are there now.
pub(super) async fn keys(client: &reqwest::Client, from: &KeysFrom, dir: &Path) -> Result<KeySet, Error> {
    let (place, bytes) = match from {
        KeysFrom::Url(url) => (url.clone(), get(client, url).await?),
        KeysFrom::Discovery(url) => {
            let document: serde_json::Value =
                serde_json::from_slice(&get(client, url).await?).unwrap_or_default();
            let uri = document["jwks_uri"].as_str().filter(|uri| spinwell_security::token::is_safe(uri));
            let uri = uri.ok_or_else(|| Error::Discovery(url.clone()))?;
            (uri.to_owned(), get(client, uri).await?)
        }
        KeysFrom::File(name) => {
            let path = dir.join(name);
            let place = path.display().to_string();
            (place.clone(), std::fs::read(path).map_err(|error| Error::File(place, error))?)
        }
    };
    KeySet::parse(&bytes).map_err(|error| Error::Keys(place, error))
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, Error> {
    let unreachable = |error| Error::Unreachable(url.to_owned(), error);
    let mut answer = client.get(url).send().await.map_err(unreachable)?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(Error::Status { url: url.to_owned(), status });
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unreachable)? {
        if bytes.len() + part.len() > BYTES_MAX {
            return Err(Error::TooLong(url.to_owned()));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
