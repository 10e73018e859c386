//! The files of models that gateways take from this node, and those that they bring.
//!
//! A file that is brought is put into its place only when its bytes are a whole model and have the hash that they were offered
//! under; until then they are in memory, where they will be anyway as soon as the model is served. What this node has under that
//! hash already, for its sequences or in the store that nodes share, is not sent. Nodes that share a folder find each other's
//! files there: the same bytes are nothing to do. **Other bytes give way only where the offer names them**, and then they stay
//! beside what took their place.

use crate::file::{FileError, read_model};
use crate::models::Models;
use crate::repository::{FILE_NAME, versions_in};
use crate::settings;
use spinwell_core::{Code, Fault, Millis, ModelHash, ModelName, ModelVersion, UnixMillis};
use spinwell_engine::AnyModel;
use spinwell_protocol::{
    BESIDE_BYTES_MAX, Beside, FILE_BYTES_MAX, FileAnswer, FileKey, FileOffer, FilePart, FileRequest,
    HeldFile, PART_BYTES_MAX,
};
use spinwell_runtime::files::{rename_folder, write_atomically};
use spinwell_runtime::{clock, telemetry};
use spinwell_store::postgres::Postgres;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The name of the card beside a model's file.
const CARD_NAME: &str = "card.json";
/// Files that may be on their way here at the same time.
const UNDER_WAY_MAX: usize = 4;
/// How long the next part may take. After that the gateway has gone, or another one was asked.
const PATIENCE: Duration = Duration::from_secs(60);
/// Digits of a hash in the name of a file that had to give way.
const HASH_DIGITS: usize = 12;

/// What this node gives and takes.
pub(crate) struct Deliveries {
    folder: PathBuf,
    models: Models,
    under_way: Mutex<HashMap<u64, UnderWay>>,
    /// Held by whoever puts a file into its place.
    placing: Mutex<()>,
}

/// A file of which not all parts are here.
struct UnderWay {
    offer: FileOffer,
    bytes: Vec<u8>,
    /// When the newest part came.
    touched: Instant,
}

/// What stands in a version's place.
enum Standing {
    /// Nothing.
    Nothing,
    /// These bytes.
    Model(ModelHash),
    /// Something that is no model.
    Unreadable,
}

impl Deliveries {
    /// Of the models folder of a node.
    pub(crate) fn new(folder: PathBuf, models: Models) -> Self {
        Self { folder, models, under_way: Mutex::default(), placing: Mutex::default() }
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
                let whole = self.take(transfer, offset, &bytes, clock::now())?;
                if let Some(UnderWay { offer, bytes, .. }) = whole {
                    self.blocking(move |own| own.place(&offer, &bytes)).await?;
                    return Ok(FileAnswer::Placed(true));
                }
                Ok(FileAnswer::Placed(false))
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
        let home = self.folder.join(name.as_str());
        let versions = match versions_in(&home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            versions => versions.map_err(|error| failed(&home, &error))?,
        };
        let one = |version: ModelVersion| {
            let path = self.path(name, version);
            Ok(HeldFile { version, hash: hash_of(&path)?, modified: modified(&path), is_unsettled: false })
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
            settings: small_file(&self.settings_path(&key.name)).map(Into::into),
        });
        Ok(FilePart { bytes: bytes.into(), whole, beside })
    }

    /// Whether an offered file is in its place now; if not, its parts are awaited.
    async fn offer(self: &Arc<Self>, offer: FileOffer, store: Option<Postgres>) -> Result<bool, Fault> {
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
            let own = offer.clone();
            if self.blocking(move |deliveries| deliveries.place(&own, &bytes)).await.is_ok() {
                return Ok(true);
            }
        }
        self.begin(offer, clock::now())?;
        Ok(false)
    }

    /// Whether an offered file is in its place already, and its bytes, where they are kept here for sequences.
    fn look(&self, offer: &FileOffer) -> Result<(bool, Option<Vec<u8>>), Fault> {
        if self.is_there(offer)? {
            return Ok((true, None));
        }
        let FileKey { name, hash, .. } = &offer.key;
        Ok((false, self.models.file_of(name, hash).ok().map(|(_, bytes)| bytes)))
    }

    /// Awaits the parts of a file.
    fn begin(&self, offer: FileOffer, now: Instant) -> Result<(), Fault> {
        if offer.whole > FILE_BYTES_MAX {
            let message = format!(
                "{} is {} bytes long, and no file of more than {FILE_BYTES_MAX} is carried",
                told(&offer.key),
                offer.whole
            );
            return Err(Fault::new(Code::BodyTooLarge, message));
        }
        let mut all = lock(&self.under_way);
        all.retain(|_, one| now.saturating_duration_since(one.touched) < PATIENCE);
        if all.len() >= UNDER_WAY_MAX {
            let message = format!("{UNDER_WAY_MAX} files are on their way to this node already; try again");
            return Err(Fault::new(Code::QueueFull, message).retry_after(Millis(1000)));
        }
        all.insert(offer.transfer, UnderWay { offer, bytes: Vec::new(), touched: now });
        Ok(())
    }

    /// Takes a part; comes with all of them when it was the last.
    fn take(&self, transfer: u64, offset: u64, part: &[u8], now: Instant) -> Result<Option<UnderWay>, Fault> {
        let mut all = lock(&self.under_way);
        let Some(one) = all.get_mut(&transfer) else {
            let message = "a part of a file that nobody has offered, or that was not sent on in time";
            return Err(Fault::new(Code::RequestInvalid, message));
        };
        let (have, whole) = (one.bytes.len() as u64, one.offer.whole);
        let fits = offset == have && part.len() <= PART_BYTES_MAX && have + part.len() as u64 <= whole;
        if !fits || part.is_empty() {
            all.remove(&transfer);
            return Err(Fault::new(Code::RequestInvalid, "a part of a file that does not fit the others"));
        }
        one.bytes.extend_from_slice(part);
        one.touched = now;
        Ok(if one.bytes.len() as u64 == whole { all.remove(&transfer) } else { None })
    }

    /// Puts a file into its place, and what belongs beside it.
    fn place(&self, offer: &FileOffer, bytes: &[u8]) -> Result<(), Fault> {
        checked(&offer.key, bytes)?;
        let _placing = lock(&self.placing);
        // Somebody else may have been here meanwhile.
        if self.is_there(offer)? {
            return Ok(());
        }
        let FileKey { name, version, hash } = &offer.key;
        let home = self.folder.join(name.as_str());
        self.write(&home, offer, bytes).map_err(|error| failed(&home, &error))?;
        tracing::info!(model = %name, %version, %hash, replaced = ?offer.replaces, "a model was brought here");
        Ok(())
    }

    fn write(&self, home: &Path, offer: &FileOffer, bytes: &[u8]) -> io::Result<()> {
        let own = home.join(offer.key.version.to_string());
        fs::create_dir_all(home)?;
        let staging = home.join(format!(".{}.{:016x}.partial", offer.key.version, offer.transfer));
        fs::create_dir_all(&staging)?;
        let placed = stage(&staging, offer, bytes).and_then(|()| match own.is_dir() {
            false => rename_folder(&staging, &own),
            true => replace(&staging, &own, offer.replaces),
        });
        // Where it became the version's own folder it is not there any more.
        let _ = fs::remove_dir_all(&staging);
        placed?;
        let settings = self.settings_path(&offer.key.name);
        match &offer.beside.settings {
            Some(text) if !settings.exists() => write_atomically(&settings, text),
            _ => Ok(()),
        }
    }

    /// Whether an offered file is in its place.
    ///
    /// # Errors
    /// Where other bytes are, which the offer does not name.
    fn is_there(&self, offer: &FileOffer) -> Result<bool, Fault> {
        match self.standing(&offer.key)? {
            Standing::Model(own) if own == offer.key.hash => Ok(true),
            Standing::Model(own) if Some(own) != offer.replaces => {
                let message = format!("{} cannot be placed: {own} is there", told(&offer.key));
                Err(Fault::new(Code::VersionExists, message))
            }
            Standing::Nothing | Standing::Model(_) | Standing::Unreadable => Ok(false),
        }
    }

    fn standing(&self, key: &FileKey) -> Result<Standing, Fault> {
        let path = self.path(&key.name, key.version);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(Standing::Nothing);
        }
        Ok(hash_of(&path)?.map_or(Standing::Unreadable, Standing::Model))
    }

    fn path(&self, name: &ModelName, version: ModelVersion) -> PathBuf {
        self.folder.join(name.as_str()).join(version.to_string()).join(FILE_NAME)
    }

    fn settings_path(&self, name: &ModelName) -> PathBuf {
        self.folder.join(name.as_str()).join(settings::FILE_NAME)
    }
}

/// The hash of the model that a file holds; nothing where it is damaged or something else.
///
/// # Errors
/// Where nobody can say: the file cannot be read just now, or a newer program has written it.
fn hash_of(path: &Path) -> Result<Option<ModelHash>, Fault> {
    match read_model(path) {
        Ok((model, _)) => Ok(Some(model.hash())),
        Err(FileError::Io(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) =>
        {
            Ok(None)
        }
        Err(error) => match error.code() {
            Code::FileForeign | Code::FileTruncated | Code::FileCorrupt => Ok(None),
            code => Err(Fault::new(code, format!("{}: {}", path.display(), telemetry::chain(&error)))),
        },
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

/// Writes a file and its card where nobody sees them yet.
fn stage(staging: &Path, offer: &FileOffer, bytes: &[u8]) -> io::Result<()> {
    let path = staging.join(FILE_NAME);
    write_atomically(&path, bytes)?;
    // A copy is as old as what it is a copy of.
    let written = UNIX_EPOCH + Duration::from_millis(offer.beside.modified.0);
    File::options().write(true).open(&path)?.set_modified(written)?;
    match &offer.beside.card {
        Some(card) => write_atomically(&staging.join(CARD_NAME), card),
        None => Ok(()),
    }
}

/// Puts what was staged into a version's folder that is there. What gives way stays beside it.
fn replace(staging: &Path, own: &Path, replaces: Option<ModelHash>) -> io::Result<()> {
    let path = own.join(FILE_NAME);
    let what = replaces.map_or("unreadable".to_owned(), |hash| hash.to_string()[..HASH_DIGITS].to_owned());
    match aside(own, &path, &what, replaces.is_some()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rename_folder(&staging.join(FILE_NAME), &path)?;
    match rename_folder(&staging.join(CARD_NAME), &own.join(CARD_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// Gives a file a second name, by which it stays. A name that is taken is another file's, unless names say what is in them.
fn aside(own: &Path, path: &Path, what: &str, is_by_hash: bool) -> io::Result<()> {
    let mut taken = 1;
    loop {
        let number = if taken == 1 { String::new() } else { format!(".{taken}") };
        match fs::hard_link(path, own.join(format!("replaced.{what}{number}.spinwell"))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !is_by_hash => taken += 1,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            linked => return linked,
        }
    }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
