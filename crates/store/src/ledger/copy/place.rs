//! Where a copy is: a bucket that speaks the protocol of S3, or a folder.

use super::CopyError;
use futures::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A request that takes longer has failed; it is made again.
const REQUEST: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);
/// Tries within a request; those between them are the copier's, with longer pauses.
const TRIES: usize = 2;

/// A text is no place for a copy.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPlace {
    /// Of another form.
    #[error("a copy goes to s3://bucket/prefix or file:///folder, not to {0:?}")]
    Form(String),
    /// The settings of the environment do not make a client.
    #[error("the AWS_* variables of the environment do not fit together")]
    Settings(#[source] Box<Error>),
    /// The folder cannot be made.
    #[error("{} cannot be made", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where a ledger is copied to: shown as it was written, which has no secrets.
#[derive(Clone)]
pub struct CopyTo {
    text: String,
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

impl CopyTo {
    /// The place of this text. Of `environment` only `AWS_*` count, as every client of S3 has them: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and more. Nothing is asked yet.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str, environment: &[(String, String)]) -> Result<Self, InvalidPlace> {
        let form = || InvalidPlace::Form(text.to_owned());
        let (store, prefix): (Arc<dyn ObjectStore>, _) = if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if bucket.is_empty() || !bucket.bytes().all(is_name) {
                return Err(form());
            }
            (Arc::new(bucket_of(bucket, environment)?), ObjectPath::parse(prefix).map_err(|_| form())?)
        } else {
            let path = text
                .strip_prefix("file://")
                .map(Path::new)
                .filter(|path| path.is_absolute())
                .ok_or_else(form)?;
            (Arc::new(folder_of(path)?), ObjectPath::default())
        };
        Ok(Self { text: text.to_owned(), store, prefix })
    }

    /// Storage of a test.
    #[cfg(test)]
    pub(super) fn of_store(store: Arc<dyn ObjectStore>) -> Self {
        Self { text: "memory".into(), store, prefix: ObjectPath::default() }
    }

    /// What is under one name there.
    pub(super) fn place(&self, name: &str) -> Place {
        Place { store: Arc::clone(&self.store), prefix: self.prefix.clone().join(name) }
    }

    /// The names there: those of folders, and those of files.
    pub(super) async fn names(&self) -> Result<(Vec<String>, Vec<String>), CopyError> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|error| failed(&self.prefix, error))?;
        let last = |path: &ObjectPath| path.filename().map(str::to_owned);
        let folders = listed.common_prefixes.iter().filter_map(last).collect();
        Ok((folders, listed.objects.iter().filter_map(|object| last(&object.location)).collect()))
    }
}

impl fmt::Display for CopyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CopyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyTo({})", self.text)
    }
}

fn bucket_of(
    bucket: &str,
    environment: &[(String, String)],
) -> Result<object_store::aws::AmazonS3, InvalidPlace> {
    let client = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
    let retry = RetryConfig { max_retries: TRIES, retry_timeout: REQUEST, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
    let mut is_local = false;
    for (name, value) in environment {
        let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
        if !name.starts_with("AWS_") {
            continue;
        }
        is_local |= name == "AWS_ENDPOINT_URL" && is_loopback(value);
        builder = builder.with_config(key, value);
    }
    // On a way that leads out of the machine everybody could read what is copied, and change it.
    if is_local {
        builder = builder.with_allow_http(true);
    }
    builder.with_bucket_name(bucket).build().map_err(|error| InvalidPlace::Settings(Box::new(error)))
}

fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| {
        host.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}

fn folder_of(path: &Path) -> Result<LocalFileSystem, InvalidPlace> {
    let failed = |source| InvalidPlace::Folder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    let store =
        LocalFileSystem::new_with_prefix(path).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(store.with_fsync(true))
}

fn failed(path: &ObjectPath, error: Error) -> CopyError {
    CopyError::Storage { path: path.to_string(), source: Box::new(error) }
}

/// A log's files, or one file, in a store.
#[derive(Debug, Clone)]
pub(super) struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

impl Place {
    /// A log's own folder.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, CopyError> {
        let path = ObjectPath::default();
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(&path, error))?;
        Ok(Self { store: Arc::new(store.with_fsync(true)), prefix: path })
    }

    fn path(&self, path: &str) -> ObjectPath {
        // A name of a file stays as it is: one of a witness is encoded already.
        let part = |part| PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part));
        path.split('/').filter(|part| !part.is_empty()).map(part).fold(self.prefix.clone(), ObjectPath::join)
    }

    /// The names of the files in a folder; none where there is none.
    pub(super) async fn names(&self, folder: &str) -> Result<Vec<String>, CopyError> {
        let path = self.path(folder);
        let listed =
            self.store.list_with_delimiter(Some(&path)).await.map_err(|error| failed(&path, error))?;
        let name = |object: object_store::ObjectMeta| object.location.filename().map(str::to_owned);
        Ok(listed.objects.into_iter().filter_map(name).collect())
    }

    /// A file; nothing where there is none.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, CopyError> {
        let path = self.path(path);
        let got = match self.store.get(&path).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Writes a file: whole, or not at all.
    pub(super) async fn write(&self, path: &str, bytes: Vec<u8>) -> Result<(), CopyError> {
        let path = self.path(path);
        let put = self.store.put(&path, PutPayload::from(bytes)).await;
        put.map(drop).map_err(|error| failed(&path, error))
    }

    /// Whether a file is there.
    pub(super) async fn has(&self, path: &str) -> Result<bool, CopyError> {
        let path = self.path(path);
        match self.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Removes all files under a path.
    pub(super) async fn remove_under(&self, path: &str) -> Result<(), CopyError> {
        let path = self.path(path);
        let mut listed = self.store.list(Some(&path));
        while let Some(object) = listed.next().await {
            let location = object.map_err(|error| failed(&path, error))?.location;
            match self.store.delete(&location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(&location, error)),
            }
        }
        Ok(())
    }
}
