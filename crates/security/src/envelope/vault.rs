//! Keys in use: unwrapped once, and by many threads.

use super::field::open_with;
use super::{
    Context, DataKey, Failed, Fresh, Header, KeyId, KeyRef, Keys, Level, Nonce, RootKey, Roots, seal_field,
};
use crate::secret::SecretBytes;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Keys, and those of them that were needed so far as they are used.
#[derive(Debug)]
pub struct Vault {
    roots: Arc<Roots>,
    open: RwLock<Open>,
}

#[derive(Debug, Default)]
struct Open {
    keys: Keys,
    /// To encrypt with, by the name of the tenant.
    newest: HashMap<Box<str>, Arc<DataKey>>,
    /// To decrypt with.
    known: HashMap<KeyRef, Arc<DataKey>>,
}

/// What a rotation has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotated {
    /// Tenant keys that are under another root key now.
    pub under_new_root: usize,
    /// Tenant keys that were replaced.
    pub tenants: usize,
    /// Data keys that were re-wrapped with them.
    pub re_wrapped: usize,
    /// Data keys with a new version, for what is encrypted from now on.
    pub data: usize,
}

impl Vault {
    /// These keys below these root keys.
    ///
    /// # Errors
    /// Where the root keys do not open one of them.
    pub fn new(roots: Arc<Roots>, keys: Keys) -> Result<Self, Failed> {
        keys.check(&*roots)?;
        Ok(Self { roots, open: RwLock::new(Open { keys, ..Open::default() }) })
    }

    /// Takes these keys in place of those that it has: others may have changed them. What was erased is not used from here on.
    ///
    /// # Errors
    /// Where the root keys do not open one of them. Then it goes on with those that it has.
    pub fn replace(&self, keys: Keys) -> Result<(), Failed> {
        if self.read(|open| open.keys == keys) {
            return Ok(());
        }
        self.fits(&keys)?;
        let keys = self.read(|open| keys.without_erased_of(&open.keys));
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Open { keys, ..Open::default() };
        Ok(())
    }

    /// Whether keys are those that it has, or what became of them.
    ///
    /// # Errors
    /// Where one is gone, or the root keys do not open one.
    fn fits(&self, keys: &Keys) -> Result<(), Failed> {
        self.read(|open| keys.follow(&open.keys))?;
        keys.check(&*self.roots)
    }

    /// Whether a tenant had a key that was erased.
    #[must_use]
    pub fn was_erased(&self, tenant: &str) -> bool {
        self.read(|open| open.keys.was_erased(tenant))
    }

    /// Whether it has a key to encrypt a tenant's data with.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        self.read(|open| open.newest.contains_key(tenant) || open.keys.has(tenant))
    }

    /// Adds a tenant's keys to `keys`, where they are not there, under the root key that has wrapped the others. Whether any was made.
    ///
    /// # Errors
    /// Where `keys` are not what became of those that it has, or `fresh` fails.
    pub fn add_missing<E: From<Failed>>(
        &self,
        keys: &mut Keys,
        tenant: &str,
        fresh: impl FnMut() -> Result<Fresh, E>,
    ) -> Result<bool, E> {
        self.fits(keys)?;
        keys.add_missing(&self.roots.beside(&keys.clone()), tenant, fresh)
    }

    /// Puts all of `keys` under the first root key, and gives every tenant a new key and every set of data one for what comes.
    ///
    /// # Errors
    /// Where a key cannot be re-wrapped, or `fresh` fails. Then `keys` are of no use.
    pub fn rotate<E: From<Failed>>(
        &self,
        keys: &mut Keys,
        mut fresh: impl FnMut() -> Result<Fresh, E>,
    ) -> Result<Rotated, E> {
        self.fits(keys)?;
        let mut nonces = Vec::new();
        for _ in keys.records() {
            nonces.push(fresh()?.nonce);
        }
        let mut left = nonces.iter().copied().cycle();
        let mut nonce = || left.next().unwrap_or_default();
        let mut done = Rotated {
            under_new_root: keys.change_root(&*self.roots, &*self.roots, &mut nonce)?,
            ..Rotated::default()
        };
        for id in keys.ids(Level::Tenant) {
            done.re_wrapped += keys.renew_tenant(&*self.roots, id, &fresh()?, &mut nonce)?;
            done.tenants += 1;
        }
        for id in keys.ids(Level::Data) {
            keys.renew_data(&*self.roots, id, &fresh()?)?;
            done.data += 1;
        }
        Ok(done)
    }

    /// Encrypts `text` for one place, with the newest key of its tenant. The nonce must be random.
    ///
    /// # Errors
    /// Where the tenant has no key.
    pub fn seal(&self, context: &Context<'_>, nonce: &Nonce, text: &[u8]) -> Result<Vec<u8>, Failed> {
        self.seal_as(context.tenant, context, nonce, text)
    }

    /// The same with a tenant's key for a place that does not say whose it is. One nonce for several texts shows which of them are equal,
    /// and nothing else.
    ///
    /// # Errors
    /// Where the tenant has no key.
    pub fn seal_as(
        &self,
        tenant: &str,
        context: &Context<'_>,
        nonce: &Nonce,
        text: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        let key = match self.read(|open| open.newest.get(tenant).cloned()) {
            Some(key) => key,
            None => self.newest(tenant)?,
        };
        Ok(seal_field(&key, context, nonce, text))
    }

    /// What `text` is in one place under each version of each data key. A key that does not open is left out.
    #[must_use]
    pub fn seal_all(&self, context: &Context<'_>, nonce: &Nonce, text: &[u8]) -> Vec<Vec<u8>> {
        self.read(|open| {
            let data = open.keys.records().filter(|record| record.level == Level::Data);
            let keys = data.filter_map(|record| open.keys.data(&*self.roots, record.key).ok());
            keys.map(|key| seal_field(&key, context, nonce, text)).collect()
        })
    }

    /// Decrypts what was encrypted for this place.
    ///
    /// # Errors
    /// Where it was changed or moved, or its key is not there.
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<SecretBytes, Failed> {
        let header = Header::parse(sealed)?;
        let key = match self.read(|open| open.known.get(&header.key).cloned()) {
            Some(key) => key,
            None => self.known(header.key)?,
        };
        open_with(&key, context, &header, sealed)
    }

    fn newest(&self, tenant: &str) -> Result<Arc<DataKey>, Failed> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let id: KeyId = open.keys.ids_of(tenant).1;
        let key = Arc::new(open.keys.newest(&*self.roots, id)?);
        open.newest.insert(tenant.into(), key.clone());
        Ok(key)
    }

    fn known(&self, key: KeyRef) -> Result<Arc<DataKey>, Failed> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let found = Arc::new(open.keys.data(&*self.roots, key)?);
        open.known.insert(key, found.clone());
        Ok(found)
    }

    fn read<T>(&self, look: impl FnOnce(&Open) -> T) -> T {
        look(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the first root key is called.
    #[must_use]
    pub fn root(&self) -> KeyRef {
        self.roots.key_ref()
    }
}
