//! What rests on a disk, encrypted.
//!
//! Keys are wrapped by a root key that the operator brings ([`security::envelope`](spinwell_security::envelope)); the wrapped keys are
//! kept in a [`KeyHome`]: a file of the process, or a table that a region shares. What is encrypted is so with its tenant's newest key. A
//! home is looked at again every few seconds, so that a rotation or an erasure elsewhere holds here, too.
//!
//! Without a root key nothing is encrypted, and what was encrypted before cannot be read, which is said.

mod folder;
mod veil;

pub use folder::FolderKeys;
pub use veil::{Veil, is_veiled};

use crate::{clock, entropy};
use spinwell_core::{Code, Fault};
use spinwell_security::envelope::{
    Context, Failed, Fresh, Header, KeyId, Keys, NONCE_BYTES, Nonce, Roots, Rotated, Vault, WrappedKey,
};
use spinwell_security::{Secret, SecretBytes};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How often a home is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long it is not looked at again for a key that is not known: each that is read may need one.
const LOOKS_AGAIN: Duration = Duration::from_millis(200);

/// The tenant whose keys are those of the process's own secrets. No other one has this name.
pub const HOUSE: &str = "";

/// The nonce of all texts whose equality may be seen.
const NONCE: Nonce = [0; NONCE_BYTES];

/// Wrapped keys as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptKeys {
    /// Their records, in any order.
    pub records: Vec<Vec<u8>>,
    /// Ids of keys that were erased.
    pub erased: BTreeSet<[u8; 16]>,
}

/// Where wrapped keys are kept. All of it may block.
pub trait KeyHome: Send + Sync + 'static {
    /// What is kept there.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read(&self) -> Result<KeptKeys, Fault>;

    /// Puts what `change` makes of what is kept there in its place, when it is on the disk; nobody else changes it meanwhile. `change`
    /// says no by its error, and nothing for what is to stay as it is.
    ///
    /// # Errors
    /// That of `change`, or where it cannot be read or written; then nothing is changed.
    fn change(&self, change: &mut Change<'_>) -> Result<(), Fault>;

    /// What it is called in messages.
    fn name(&self) -> String;
}

/// What is made of the keys of a home; nothing where they stay as they are.
pub type Change<'c> = dyn FnMut(KeptKeys) -> Result<Option<KeptKeys>, Fault> + 'c;

impl KeptKeys {
    /// The keys of these records.
    ///
    /// # Errors
    /// Where one of the records is none.
    pub fn keys(&self, home: &str) -> Result<Keys, Fault> {
        let records = self.records.iter().map(|bytes| WrappedKey::of_bytes(bytes));
        let records = records.collect::<Result<Vec<_>, _>>().map_err(|invalid| {
            Fault::new(Code::FileCorrupt, format!("a key in {home}: {invalid}; restore it from a copy"))
        })?;
        Ok(Keys::of_records(records, self.erased.iter().copied().map(KeyId).collect()))
    }

    fn of(keys: &Keys) -> Self {
        Self {
            records: keys.records().map(WrappedKey::to_bytes).collect(),
            erased: keys.erased().iter().map(|id| id.0).collect(),
        }
    }
}

/// Encrypts and decrypts what rests.
pub struct AtRest {
    vault: Vault,
    home: Box<dyn KeyHome>,
    /// When it was looked at last. Held while that is done, so that no older look overtakes a newer one.
    looked: Mutex<Instant>,
    /// Ends the thread that looks at the home.
    _looks: mpsc::Sender<()>,
}

impl AtRest {
    /// The keys of this home below these root keys. Blocks.
    ///
    /// # Errors
    /// Where the home cannot be read, or another root key has wrapped what it holds.
    pub fn open(roots: Arc<Roots>, home: Box<dyn KeyHome>) -> Result<Arc<Self>, Fault> {
        let keys = home.read()?.keys(&home.name())?;
        let vault = Vault::new(roots, keys).map_err(|failed| refused(&failed, &home.name()))?;
        let (looks, ends) = mpsc::channel();
        let opened = Arc::new(Self { vault, home, looked: Mutex::new(clock::now()), _looks: looks });
        let watched = Arc::downgrade(&opened);
        let thread = thread::Builder::new().name("keys".to_owned());
        thread
            .spawn(move || look(&watched, &ends))
            .map_err(|error| Fault::new(Code::Io, error.to_string()))?;
        Ok(opened)
    }

    /// Whether it has a key to encrypt a tenant's data with.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        self.vault.has(tenant)
    }

    /// Makes a tenant's keys, where they are not there. Blocks.
    ///
    /// # Errors
    /// Where they cannot be made or kept.
    pub fn add_missing(&self, tenant: &str) -> Result<(), Fault> {
        if self.vault.has(tenant) {
            return Ok(());
        }
        self.home.change(&mut |kept| {
            let mut keys = kept.keys(&self.home.name())?;
            let is_new = self.vault.add_missing(&mut keys, tenant, fresh).map_err(|why| self.fault(why))?;
            Ok(is_new.then(|| KeptKeys::of(&keys)))
        })?;
        self.look()
    }

    /// Puts all keys under the newest root key and replaces those that data are encrypted with from now on. Blocks.
    ///
    /// # Errors
    /// Where a key cannot be re-wrapped, or the home cannot be changed; then nothing is.
    pub fn rotate(&self) -> Result<Rotated, Fault> {
        let mut done = Rotated::default();
        self.home.change(&mut |kept| {
            let mut keys = kept.keys(&self.home.name())?;
            done = self.vault.rotate(&mut keys, fresh).map_err(|why| self.fault(why))?;
            Ok(Some(KeptKeys::of(&keys)))
        })?;
        self.look()?;
        Ok(done)
    }

    /// Erases a tenant's keys, and with them all that they have encrypted, wherever copies of it are. Gives how many keys there were. Blocks.
    ///
    /// # Errors
    /// Where the home cannot be changed; then nothing is erased.
    pub fn erase(&self, tenant: &str) -> Result<usize, Fault> {
        let mut count = 0;
        self.home.change(&mut |kept| {
            let mut keys = kept.keys(&self.home.name())?;
            let (own, _) = keys.ids_of(tenant);
            count = keys.erase(own).records;
            Ok((count > 0).then(|| KeptKeys::of(&keys)))
        })?;
        self.look()?;
        Ok(count)
    }

    /// Encrypts `text` for one place.
    ///
    /// # Errors
    /// Where its tenant has no key: [`AtRest::add_missing`] comes before.
    pub fn seal(&self, context: &Context<'_>, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce = entropy::bytes::<NONCE_BYTES>().map_err(|error| self.fault(Unmade::Random(error)))?;
        self.vault.seal(context, &nonce, text).map_err(|failed| refused(&failed, &self.home.name()))
    }

    /// Encrypts a text that is to look the same wherever it is the same, with a tenant's key.
    fn seal_as(
        &self,
        tenant: &str,
        context: &Context<'_>,
        nonce: &Nonce,
        text: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        self.vault.seal_as(tenant, context, nonce, text).map_err(|failed| refused(&failed, &self.home.name()))
    }

    /// Decrypts what was encrypted for this place. Where its key is not known it looks at the home, which blocks.
    ///
    /// # Errors
    /// Where it was changed or moved, or its key is not there.
    pub fn open_sealed(&self, context: &Context<'_>, sealed: &[u8]) -> Result<SecretBytes, Fault> {
        let opened = match self.vault.open(context, sealed) {
            Err(Failed::UnknownKey(_)) => {
                self.look_again()?;
                self.vault.open(context, sealed)
            }
            opened => opened,
        };
        opened.map_err(|failed| refused(&failed, &self.home.name()))
    }

    /// Whether a tenant had a key that was erased.
    #[must_use]
    pub fn was_erased(&self, tenant: &str) -> bool {
        self.vault.was_erased(tenant)
    }

    /// Takes what the home holds now.
    fn look(&self) -> Result<(), Fault> {
        self.take(&mut self.looked())
    }

    /// The same for whoever needs a key that is not known; not where somebody else has just looked.
    fn look_again(&self) -> Result<(), Fault> {
        let mut looked = self.looked();
        match clock::now().saturating_duration_since(*looked) < LOOKS_AGAIN {
            true => Ok(()),
            false => self.take(&mut looked),
        }
    }

    fn looked(&self) -> MutexGuard<'_, Instant> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, looked: &mut Instant) -> Result<(), Fault> {
        *looked = clock::now();
        let keys = self.home.read()?.keys(&self.home.name())?;
        self.vault.replace(keys).map_err(|failed| refused(&failed, &self.home.name()))
    }

    fn fault(&self, why: Unmade) -> Fault {
        match why {
            Unmade::Random(error) => Fault::new(Code::Internal, format!("no key can be made: {error}")),
            Unmade::Failed(failed) => refused(&failed, &self.home.name()),
        }
    }
}

impl std::fmt::Debug for AtRest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AtRest({})", self.home.name())
    }
}

/// Why a key was not made.
enum Unmade {
    Random(std::io::Error),
    Failed(Failed),
}

impl From<Failed> for Unmade {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

fn fresh() -> Result<Fresh, Unmade> {
    let bytes = Zeroizing::new(entropy::secret().map_err(Unmade::Random)?);
    let nonce = entropy::bytes().map_err(Unmade::Random)?;
    Ok(Fresh { secret: Secret::of(&bytes), nonce, now: clock::unix_micros() })
}

fn look(watched: &Weak<AtRest>, ends: &mpsc::Receiver<()>) {
    let mut was_told = false;
    while let Err(mpsc::RecvTimeoutError::Timeout) = ends.recv_timeout(LOOK_EVERY) {
        let Some(at_rest) = watched.upgrade() else { return };
        match at_rest.look() {
            Ok(()) => was_told = false,
            Err(fault) if !std::mem::replace(&mut was_told, true) => {
                tracing::error!(code = %fault.code(), message = fault.message(), "the keys in use stay as they are");
            }
            Err(_) => {}
        }
    }
}

/// Whether these bytes are something encrypted.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_ok()
}

/// What is said where something encrypted is read without any root key.
#[must_use]
pub fn no_root_key(what: &str) -> Fault {
    let message = format!(
        "{what} is encrypted, and no root key is given: name its file with encryption.root_key_file, or set SPINWELL_ROOT_KEY"
    );
    Fault::new(Code::RootKeyRefused, message)
}

fn refused(failed: &Failed, home: &str) -> Fault {
    match failed {
        Failed::Root(why) => {
            let message = format!(
                "the root key does not open the keys in {home}: {why}; give the one that they were made with, behind the newest if there is one"
            );
            Fault::new(Code::RootKeyRefused, message)
        }
        Failed::UnknownKey(key) => {
            let message = format!(
                "something is encrypted with key {key}, which {home} does not have: were keys lost? Bring them back from a copy, the lines of both files \
                 in one where new ones were made since"
            );
            Fault::new(Code::KeysLost, message)
        }
        Failed::Gone(_) => Fault::new(Code::KeysLost, format!("{home}: {failed}")),
        Failed::Erased(_) => Fault::new(Code::DataErased, failed.to_string()),
        Failed::Later { .. } => Fault::new(Code::FileFromTheFuture, failed.to_string()),
        _ => Fault::new(Code::FileCorrupt, format!("something encrypted with the keys in {home}: {failed}")),
    }
}

#[cfg(test)]
mod tests;
