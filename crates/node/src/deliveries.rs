//! The files of models that gateways take from this node, and those that they bring.
//!
//! A file that is brought is put into its place only when its bytes are a whole model and have the hash that they were offered
//! under; until then they are in memory, where they will be anyway as soon as the model is served. What this node has under that
//! hash already, for its sequences or in the store that nodes share, is not sent. Nodes that share a folder find each other's
//! files there: the same bytes are nothing to do. **Other bytes give way only where the offer names them**, and then they stay
//! beside what took their place.

mod arriving;
mod known;
mod staging;

use crate::models::Models;
use crate::repository::{FILE_NAME, versions_in};
use crate::settings;
use arriving::{Arriving, UnderWay, check_lengths};
use known::{Known, Now, Standing};
use spinwell_core::{Code, Fault, ModelName, ModelVersion, NodeId, UnixMillis};
use spinwell_engine::AnyModel;
use spinwell_protocol::{
    BESIDE_BYTES_MAX, Beside, FileAnswer, FileKey, FileOffer, FilePart, FileRequest, HeldFile, PART_BYTES_MAX,
};
use spinwell_runtime::files::write_atomically;
use spinwell_runtime::{clock, telemetry};
use spinwell_store::postgres::Postgres;
use staging::{CARD_NAME, Owner, Staging};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// What this node gives and takes.
pub(crate) struct Deliveries {
    folder: PathBuf,
    models: Models,
    /// Whose unfinished files in the folder are this node's.
    owner: Owner,
    arriving: Arriving,
    known: Known,
    /// Held by whoever puts a file into its place.
    placing: Mutex<()>,
}

impl Deliveries {
    /// Of the models folder of a node, where nothing is left of what it did not bring to an end in its former life.
    pub(crate) fn new(folder: PathBuf, models: Models, node: &NodeId) -> Self {
        let owner = Owner::of(node);
        staging::remove_left_over(&folder, owner, clock::unix());
        Self {
            folder,
            models,
            owner,
            arriving: Arriving::default(),
            known: Known::default(),
            placing: Mutex::default(),
        }
    }

    /// Does what a gateway asks. `store` is what this node shares with others.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: FileRequest,
        store: Option<Postgres>,
    ) -> Result<FileAnswer, Fault> {
        match request {
            FileRequest::Held(name) => self.blocking(move |own| own.held(&name)).await.map(FileAnswer::Held),
            FileRequest::Read(key, offset) => {
                self.blocking(move |own| own.read(&key, offset)).await.map(FileAnswer::Part)
            }
            FileRequest::Offer(offer) => self.offer(offer, store).await.map(FileAnswer::Placed),
            FileRequest::Part { transfer, offset, bytes } => {
                let now = clock::now();
                let taken = self.blocking(move |own| {
                    let Some(whole) = own.arriving.take(transfer, offset, &bytes, now)? else {
                        return Ok(false);
                    };
                    let UnderWay { offer, bytes, staging, .. } = whole;
                    own.place(&offer, &bytes, staging).map(|()| true)
                });
                taken.await.map(FileAnswer::Placed)
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let own = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&own)).await;
        done.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "a file of a model was not dealt with")))
    }

    /// What lies in the folder of a model.
    fn held(&self, name: &ModelName) -> Result<Vec<HeldFile>, Fault> {
        let home = self.home(name);
        let versions = match versions_in(&home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            versions => versions.map_err(|error| failed(&home, &error))?,
        };
        let one = |version: ModelVersion| {
            let path = self.path(name, version);
            let standing = self.known.standing(&path, Now::read())?;
            let hash = if let Standing::Model(hash) = standing { Some(hash) } else { None };
            let is_unsettled = standing == Standing::Unsettled;
            Ok(HeldFile { version, hash, modified: modified(&path), is_unsettled })
        };
        versions.into_iter().map(one).collect()
    }

    /// A part of a file. Whoever puts the parts together sees by the hash whether they are of one file.
    fn read(&self, key: &FileKey, offset: u64) -> Result<FilePart, Fault> {
        let path = self.path(&key.name, key.version);
        let part = || -> io::Result<(Vec<u8>, u64)> {
            // Before it is opened: to open a pipe waits for somebody who writes to it.
            if !fs::metadata(&path)?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
            }
            let mut file = File::open(&path)?;
            let whole = file.metadata()?.len();
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(PART_BYTES_MAX as u64).read_to_end(&mut bytes)?;
            Ok((bytes, whole))
        };
        let (bytes, whole) = part().map_err(|error| failed(&path, &error))?;
        let beside = (offset == 0).then(|| Beside {
            modified: modified(&path),
            card: small_file(&path.with_file_name(CARD_NAME)).map(Into::into),
            settings: small_file(&self.home(&key.name).join(settings::FILE_NAME)).map(Into::into),
        });
        Ok(FilePart { bytes: bytes.into(), whole, beside })
    }

    /// Whether an offered file is in its place now; if not, its parts are awaited.
    async fn offer(self: &Arc<Self>, offer: FileOffer, store: Option<Postgres>) -> Result<bool, Fault> {
        check_lengths(&offer)?;
        let looked = offer.clone();
        let (is_there, kept) = self.blocking(move |own| own.look(&looked)).await?;
        if is_there {
            return Ok(true);
        }
        let bytes = match (kept, store) {
            (Some(bytes), _) => Some(bytes),
            // Where the store does not answer, the parts are sent.
            (None, Some(store)) => store.model(&offer.key.hash).await.ok().flatten().map(|model| model.bytes),
            (None, None) => None,
        };
        if let Some(bytes) = bytes {
            let known = offer.clone();
            let placed = self.blocking(move |own| own.place(&known, &bytes, own.begin(&known)?));
            if placed.await.is_ok() {
                return Ok(true);
            }
        }
        let (transfer, now) = (offer.transfer, clock::now());
        self.blocking(move |own| {
            let staging = own.begin(&offer)?;
            own.arriving.admit(offer, staging, now)
        })
        .await?;
        tokio::spawn(give_up_late(Arc::downgrade(self), transfer));
        Ok(false)
    }

    /// Whether an offered file is in its place already, and its bytes, where they are kept here for sequences.
    fn look(&self, offer: &FileOffer) -> Result<(bool, Option<Vec<u8>>), Fault> {
        if self.is_there(offer)? {
            self.put_settings(offer)?;
            return Ok((true, None));
        }
        let FileKey { name, hash, .. } = &offer.key;
        Ok((false, self.models.file_of(name, hash).ok().map(|(_, bytes)| bytes)))
    }

    /// Makes the place where a file becomes whole.
    fn begin(&self, offer: &FileOffer) -> Result<Staging, Fault> {
        let home = self.home(&offer.key.name);
        Staging::begin(&home, offer, self.owner).map_err(|error| failed(&home, &error))
    }

    /// Puts a file into its place, and what belongs beside it.
    fn place(&self, offer: &FileOffer, bytes: &[u8], staging: Staging) -> Result<(), Fault> {
        checked(&offer.key, bytes)?;
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been here meanwhile.
        if !self.is_there(offer)? {
            let FileKey { name, version, hash } = &offer.key;
            let own = self.home(name).join(version.to_string());
            staging.place(&own, offer, bytes).map_err(|error| failed(&own, &error))?;
            tracing::info!(model = %name, %version, %hash, replaced = ?offer.replaces, "a model was brought here");
        }
        self.put_settings(offer)
    }

    /// Says how a model is served where nothing does.
    fn put_settings(&self, offer: &FileOffer) -> Result<(), Fault> {
        let path = self.home(&offer.key.name).join(settings::FILE_NAME);
        match &offer.beside.settings {
            Some(text) if !path.exists() => {
                write_atomically(&path, text).map_err(|error| failed(&path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Whether an offered file is in its place.
    ///
    /// # Errors
    /// Where other bytes are, which the offer does not name.
    fn is_there(&self, offer: &FileOffer) -> Result<bool, Fault> {
        let key = &offer.key;
        match self.known.standing(&self.path(&key.name, key.version), Now::read())? {
            Standing::Model(own) if own == key.hash => Ok(true),
            Standing::Model(own) if Some(own) != offer.replaces => {
                let message = format!("{} cannot be placed: {own} is there", told(key));
                Err(Fault::new(Code::VersionExists, message))
            }
            Standing::Unsettled => {
                let message = format!(
                    "{} cannot be placed: what is there is no model yet and changed a moment ago",
                    told(key)
                );
                Err(Fault::new(Code::FileUnsettled, message))
            }
            Standing::Nothing | Standing::Model(_) | Standing::Unreadable => Ok(false),
        }
    }

    fn path(&self, name: &ModelName, version: ModelVersion) -> PathBuf {
        self.home(name).join(version.to_string()).join(FILE_NAME)
    }

    /// The folder of a model.
    fn home(&self, name: &ModelName) -> PathBuf {
        self.folder.join(name.as_str())
    }
}

/// Gives up a file when nobody sends it on: its bytes are in memory, and the next offer may be a long time away.
async fn give_up_late(deliveries: Weak<Deliveries>, transfer: u64) {
    loop {
        let until = deliveries.upgrade().and_then(|own| own.arriving.awaited_until(transfer));
        let Some(until) = until else { return };
        tokio::time::sleep_until(until.into()).await;
        let Some(own) = deliveries.upgrade() else { return };
        let now = clock::now();
        let given_up = own.blocking(move |own| {
            own.arriving.give_up(transfer, now);
            Ok(())
        });
        if let Err(fault) = given_up.await {
            tracing::warn!(%fault, "a file that nobody sent on was not given up");
        }
    }
}

/// Whether bytes are a whole model, and the one that was meant.
fn checked(key: &FileKey, bytes: &[u8]) -> Result<(), Fault> {
    let model = AnyModel::from_bytes(bytes).map_err(|error| {
        let why = telemetry::chain(&error);
        Fault::new(error.code(), format!("{} was not brought in one piece: {why}", told(key)))
    })?;
    if model.hash() != key.hash {
        let message = format!("{} was offered, and {} was brought", told(key), model.hash());
        return Err(Fault::new(Code::FileCorrupt, message));
    }
    Ok(())
}

/// When a file was written first, as far as anybody knows.
fn modified(path: &Path) -> UnixMillis {
    let at = fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A file that is not long; nothing where it is, or is none.
fn small_file(path: &Path) -> Option<Vec<u8>> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    if file.len() > BESIDE_BYTES_MAX as u64 {
        tracing::warn!(path = %path.display(), bytes = file.len(), "a file is too long to be taken along");
        return None;
    }
    fs::read(path).ok()
}

fn told(key: &FileKey) -> String {
    format!("model {} version {} ({})", key.name, key.version, key.hash)
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::new(Code::Io, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
