//! All wrapped keys, and what is done with them.
//!
//! An operation changes all that it should or nothing. Which keys were erased is kept for ever, without anything about
//! whom they belonged to: a restored backup must not bring them back.

use crate::envelope::cipher::KEY_BYTES;
use crate::envelope::root::{unwrap, wrap};
use crate::envelope::{Failed, KeyId, KeyRef, Level, Nonce, RootKey, WrappedKey};
use crate::secret::Secret;
use sha2::{Digest as _, Sha256};
use spinwell_core::UnixMicros;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a new key is made of, all of it random but the time.
#[derive(Debug)]
pub struct Fresh {
    /// The key.
    pub secret: Secret<KEY_BYTES>,
    /// For wrapping it.
    pub nonce: Nonce,
    /// When it is made.
    pub now: UnixMicros,
}

/// A key that data are encrypted with.
pub struct DataKey {
    pub(crate) key: KeyRef,
    pub(crate) tenant_key: KeyId,
    pub(crate) secret: Secret<KEY_BYTES>,
}

impl DataKey {
    /// Which key.
    #[must_use]
    pub fn key_ref(&self) -> KeyRef {
        self.key
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.key)
    }
}

/// What an erasure has taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Which keys: one, or a tenant's and all below it.
    pub keys: BTreeSet<KeyId>,
    /// How many wrapped keys, over all versions.
    pub records: usize,
}

/// All wrapped keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    records: BTreeMap<KeyRef, WrappedKey>,
    erased: BTreeSet<KeyId>,
}

impl Keys {
    /// The keys of these records, without those that were erased.
    #[must_use]
    pub fn of_records(records: impl IntoIterator<Item = WrappedKey>, erased: BTreeSet<KeyId>) -> Self {
        let kept = records.into_iter().filter(|record| !erased.contains(&record.key.id));
        Self { records: kept.map(|record| (record.key, record)).collect(), erased }
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &WrappedKey> {
        self.records.values()
    }

    /// Which keys were erased.
    #[must_use]
    pub fn erased(&self) -> &BTreeSet<KeyId> {
        &self.erased
    }

    /// The ids of a tenant's key and of the key that its data are encrypted with, where no person has one of their own. They follow
    /// from its name, so that processes which meet a tenant at the same time make the same keys or see that they are made, and from how many
    /// of them were erased: an erased key never comes back, and its tenant may.
    #[must_use]
    pub fn ids_of(&self, tenant: &str) -> (KeyId, KeyId) {
        let unused = |level: Level| {
            let mut ids = (0..).map(|times: u64| id_of(level, tenant, times));
            // As many as were erased at most.
            ids.find(|id| !self.erased.contains(id)).unwrap_or(KeyId([0; 16]))
        };
        (unused(Level::Tenant), unused(Level::Data))
    }

    /// Whether there is a key to encrypt a tenant's data with.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        self.newest_record(self.ids_of(tenant).1, Level::Data).is_ok()
    }

    /// Makes the keys of a tenant that are not there. Their records must be kept before anything is encrypted below them. Whether any was
    /// made.
    ///
    /// # Errors
    /// Where the root key fails, or `fresh` does.
    pub fn add_missing<E: From<Failed>>(
        &mut self,
        root: &dyn RootKey,
        tenant: &str,
        mut fresh: impl FnMut() -> Result<Fresh, E>,
    ) -> Result<bool, E> {
        let (own, data) = self.ids_of(tenant);
        let before = self.records.len();
        if self.newest_version(own).is_none() {
            let fresh = fresh()?;
            let key = KeyRef { id: own, version: first_version(&fresh.nonce) };
            let record = under_root(root, key, &fresh)?;
            self.records.insert(key, record);
        }
        if self.newest_version(data).is_none() {
            let fresh = fresh()?;
            let key = KeyRef { id: data, version: first_version(&fresh.nonce) };
            let record = self.below(root, own, key, &fresh)?;
            self.records.insert(key, record);
        }
        Ok(self.records.len() > before)
    }

    /// Whether a tenant had a key that was erased.
    #[must_use]
    pub fn was_erased(&self, tenant: &str) -> bool {
        self.erased.contains(&id_of(Level::Data, tenant, 0))
    }

    /// Whether these can take the place of `before`: of its data keys, all are there or were erased. Nothing else takes any away.
    ///
    /// # Errors
    /// The first that is gone.
    pub(crate) fn follow(&self, before: &Self) -> Result<(), Failed> {
        let data = before.records.values().filter(|record| record.level == Level::Data);
        let is_gone = |key: &KeyRef| !self.records.contains_key(key) && !self.erased.contains(&key.id);
        data.map(|record| record.key).find(is_gone).map_or(Ok(()), |key| Err(Failed::Gone(key)))
    }

    /// The same, with what `before` knows to be erased.
    pub(crate) fn without_erased_of(mut self, before: &Self) -> Self {
        self.records.retain(|key, _| !before.erased.contains(&key.id));
        self.erased.extend(&before.erased);
        self
    }

    /// Whether the root key opens all tenant keys.
    ///
    /// # Errors
    /// The first that it does not open.
    pub fn check(&self, root: &dyn RootKey) -> Result<(), Failed> {
        let mut tenants = self.records.values().filter(|record| record.level == Level::Tenant);
        tenants.try_for_each(|record| self.tenant_secret(root, record.key).map(drop))
    }

    /// Ids of the keys of a level.
    #[must_use]
    pub fn ids(&self, level: Level) -> BTreeSet<KeyId> {
        self.records.values().filter(|record| record.level == level).map(|record| record.key.id).collect()
    }

    /// A new tenant key. Its record must be kept before anything is encrypted below it.
    ///
    /// # Errors
    /// Where the id is taken or was erased, or the root key fails.
    pub fn add_tenant(
        &mut self,
        root: &dyn RootKey,
        id: KeyId,
        fresh: &Fresh,
    ) -> Result<&WrappedKey, Failed> {
        let key = self.unused(id)?;
        let record = under_root(root, key, fresh)?;
        Ok(self.records.entry(key).or_insert(record))
    }

    /// A new data key below a tenant's. Its record must be kept before anything is encrypted with it.
    ///
    /// # Errors
    /// Where the id is taken or was erased, there is no such tenant key, or the root key fails.
    pub fn add_data(
        &mut self,
        root: &dyn RootKey,
        tenant: KeyId,
        id: KeyId,
        fresh: &Fresh,
    ) -> Result<&WrappedKey, Failed> {
        let key = self.unused(id)?;
        let record = self.below(root, tenant, key, fresh)?;
        Ok(self.records.entry(key).or_insert(record))
    }

    /// A new version of a data key, for what is encrypted from now on. The versions before it stay for what they have encrypted.
    ///
    /// # Errors
    /// Where there is no such data key, or the root key fails.
    pub fn renew_data(
        &mut self,
        root: &dyn RootKey,
        id: KeyId,
        fresh: &Fresh,
    ) -> Result<&WrappedKey, Failed> {
        let newest = self.newest_record(id, Level::Data)?;
        let key = newest.key.next()?;
        let record = self.below(root, newest.by.id, key, fresh)?;
        Ok(self.records.entry(key).or_insert(record))
    }

    /// The newest version of a data key, to encrypt with.
    ///
    /// # Errors
    /// Where it is not there or was erased, or a key above it is of no use.
    pub fn newest(&self, root: &dyn RootKey, id: KeyId) -> Result<DataKey, Failed> {
        let key = self.newest_record(id, Level::Data)?.key;
        self.data(root, key)
    }

    /// This version of a data key, to decrypt with.
    ///
    /// # Errors
    /// Where it is not there or was erased, or a key above it is of no use.
    pub fn data(&self, root: &dyn RootKey, key: KeyRef) -> Result<DataKey, Failed> {
        let record = self.record(key, Level::Data)?;
        let tenant = self.tenant_secret(root, record.by)?;
        let secret = opened(record, &tenant)?;
        Ok(DataKey { key, tenant_key: record.by.id, secret })
    }

    /// All tenant keys under another root key. Data keys and data stay as they are. How many were re-wrapped.
    ///
    /// # Errors
    /// Where one of them cannot be re-wrapped; then none is.
    pub fn change_root(
        &mut self,
        old: &dyn RootKey,
        new: &dyn RootKey,
        mut nonce: impl FnMut() -> Nonce,
    ) -> Result<usize, Failed> {
        let mut changed = Vec::new();
        for record in self.records.values().filter(|record| record.level == Level::Tenant) {
            // Done before: a change that was cut short goes on.
            if record.by == new.key_ref() {
                continue;
            }
            let secret = self.tenant_secret(old, record.key)?;
            let fresh = Fresh { secret, nonce: nonce(), now: record.created };
            changed.push(under_root(new, record.key, &fresh)?);
        }
        let len = changed.len();
        self.records.extend(changed.into_iter().map(|record| (record.key, record)));
        Ok(len)
    }

    /// A new version of a tenant key in place of the old one, and all data keys below it re-wrapped. Data stay as they are. How many
    /// data keys were re-wrapped.
    ///
    /// # Errors
    /// Where one of them cannot be re-wrapped; then none is.
    pub fn renew_tenant(
        &mut self,
        root: &dyn RootKey,
        id: KeyId,
        fresh: &Fresh,
        mut nonce: impl FnMut() -> Nonce,
    ) -> Result<usize, Failed> {
        let old = self.newest_record(id, Level::Tenant)?.key;
        let secret = self.tenant_secret(root, old)?;
        let new = old.next()?;
        let mut changed = vec![under_root(root, new, fresh)?];
        for record in self.records.values().filter(|record| record.by == old && record.level == Level::Data) {
            let key = opened(record, &secret)?;
            let context = WrappedKey::context(record.key, record.level, record.created);
            let wrapped = wrap(&fresh.secret, &key, &context, nonce());
            changed.push(WrappedKey { by: new, wrapped, ..record.clone() });
        }
        let len = changed.len() - 1;
        self.records.remove(&old);
        self.records.extend(changed.into_iter().map(|record| (record.key, record)));
        Ok(len)
    }

    /// Deletes a key with all its versions, and those below it. What they encrypted cannot be read again, once the records are
    /// deleted wherever they are kept.
    pub fn erase(&mut self, id: KeyId) -> Erased {
        let below = self.records.values().filter(|record| record.level == Level::Data && record.by.id == id);
        let keys: BTreeSet<KeyId> = below.map(|record| record.key.id).chain([id]).collect();
        let before = self.records.len();
        self.records.retain(|key, _| !keys.contains(&key.id));
        self.erased.extend(&keys);
        Erased { records: before - self.records.len(), keys }
    }

    fn unused(&self, id: KeyId) -> Result<KeyRef, Failed> {
        let version = 1;
        match self.newest_version(id) {
            _ if self.erased.contains(&id) => Err(Failed::Erased(id)),
            Some(_) => Err(Failed::Exists(id)),
            None => Ok(KeyRef { id, version }),
        }
    }

    fn newest_version(&self, id: KeyId) -> Option<&WrappedKey> {
        let versions = KeyRef { id, version: 0 }..=KeyRef { id, version: u32::MAX };
        self.records.range(versions).next_back().map(|(_, record)| record)
    }

    fn newest_record(&self, id: KeyId, level: Level) -> Result<&WrappedKey, Failed> {
        match self.newest_version(id) {
            Some(record) => self.record(record.key, level),
            None => self.record(KeyRef { id, version: 1 }, level),
        }
    }

    fn record(&self, key: KeyRef, level: Level) -> Result<&WrappedKey, Failed> {
        if self.erased.contains(&key.id) {
            return Err(Failed::Erased(key.id));
        }
        let record = self.records.get(&key).ok_or(Failed::UnknownKey(key))?;
        let fits = record.level == level;
        fits.then_some(record).ok_or(Failed::Level { id: key.id, level: record.level })
    }

    fn tenant_secret(&self, root: &dyn RootKey, key: KeyRef) -> Result<Secret<KEY_BYTES>, Failed> {
        let record = self.record(key, Level::Tenant)?;
        let context = WrappedKey::context(record.key, record.level, record.created);
        root.unwrap(record.by, &record.wrapped, &context).map_err(Failed::Root)
    }

    fn below(
        &self,
        root: &dyn RootKey,
        tenant: KeyId,
        key: KeyRef,
        fresh: &Fresh,
    ) -> Result<WrappedKey, Failed> {
        let by = self.newest_record(tenant, Level::Tenant)?.key;
        let secret = self.tenant_secret(root, by)?;
        let (level, created) = (Level::Data, fresh.now);
        let context = WrappedKey::context(key, level, created);
        let wrapped = wrap(&secret, &fresh.secret, &context, fresh.nonce);
        Ok(WrappedKey { key, level, created, by, wrapped })
    }
}

/// The id of a tenant's key, or of its data's, after so many of them were erased.
fn id_of(level: Level, tenant: &str, times: u64) -> KeyId {
    let what: &[u8] = match level {
        Level::Tenant => b"spinwell tenant key",
        Level::Data => b"spinwell data key",
    };
    let hash = Sha256::new().chain_update(what).chain_update(times.to_be_bytes()).chain_update(tenant);
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    KeyId(id)
}

/// The version that a key of a derived id begins with: any. Where wrapped keys are lost and made anew, the new ones are not called as the lost
/// ones were, which may come back.
fn first_version(nonce: &Nonce) -> u32 {
    1 + u32::from_be_bytes([0, nonce[0], nonce[1], nonce[2]])
}

fn under_root(root: &dyn RootKey, key: KeyRef, fresh: &Fresh) -> Result<WrappedKey, Failed> {
    let (level, created) = (Level::Tenant, fresh.now);
    let context = WrappedKey::context(key, level, created);
    let wrapped = root.wrap(&fresh.secret, &context, fresh.nonce).map_err(Failed::Root)?;
    Ok(WrappedKey { key, level, created, by: root.key_ref(), wrapped })
}

fn opened(record: &WrappedKey, by: &Secret<KEY_BYTES>) -> Result<Secret<KEY_BYTES>, Failed> {
    let context = WrappedKey::context(record.key, record.level, record.created);
    unwrap(by, &record.wrapped, &context).ok_or(Failed::Changed)
}
