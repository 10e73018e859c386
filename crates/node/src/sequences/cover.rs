//! Encrypts what rests of sequences, where the operator has given a root key: the changes in the step log, and the states that are
//! copied. Which tenant, model and sequence they are of stays readable, because it is what they are found by.

use super::record::{Covered, Record};
use serde::{Deserialize, Serialize};
use spinwell_core::{Code, Fault, Millis, SequenceKey};
use spinwell_runtime::at_rest::{AtRest, Change, FolderKeys, KeptKeys, KeyHome, is_sealed, no_root_key};
use spinwell_security::SecretBytes;
use spinwell_security::envelope::{Context, Roots};
use spinwell_store::SequenceRow;
use spinwell_store::postgres::{Postgres, StoredKeys};
use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// What a step is called in the place that it is bound to, and a state.
const STEP: &str = "step";
const STATE: &str = "state";

/// What covers what rests; nothing does where there is no root key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cover(Option<Arc<AtRest>>);

/// Bytes that were not covered, or are not any more.
pub(crate) enum Plain<'b> {
    Borrowed(&'b [u8]),
    Opened(SecretBytes),
}

impl Deref for Plain<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Plain::Borrowed(bytes) => bytes,
            Plain::Opened(bytes) => bytes.expose(),
        }
    }
}

impl Cover {
    /// The cover for what is kept in a folder. Blocks.
    ///
    /// # Errors
    /// Where it was covered with another root key, or with one and there is none now.
    pub(crate) fn of_folder(roots: Option<&Arc<Roots>>, folder: &Path) -> Result<Self, Fault> {
        let keys = FolderKeys::of(folder.join("keys"));
        let is_covered = keys.are_there()?;
        Self::of(roots, Box::new(keys), is_covered)
    }

    /// The cover for what a region shares. Blocks.
    ///
    /// # Errors
    /// The same, and where the store fails.
    pub(crate) fn of_store(
        roots: Option<&Arc<Roots>>,
        store: &Postgres,
        runtime: &Handle,
    ) -> Result<Self, Fault> {
        let keys = RegionKeys::of(store.clone(), runtime.clone());
        let is_covered = !keys.read()?.records.is_empty();
        Self::of(roots, Box::new(keys), is_covered)
    }

    fn of(roots: Option<&Arc<Roots>>, keys: Box<dyn KeyHome>, is_covered: bool) -> Result<Self, Fault> {
        match roots {
            Some(roots) => Ok(Self(Some(AtRest::open(roots.clone(), keys)?))),
            None if is_covered => Err(no_root_key(&format!("what the keys in {} are for", keys.name()))),
            None => Ok(Self(None)),
        }
    }

    /// Comes when a tenant's data can be covered.
    ///
    /// # Errors
    /// Where its keys cannot be made.
    pub(crate) async fn is_ready_for(&self, tenant: &str) -> Result<(), Fault> {
        let Some(at_rest) = self.0.as_ref().filter(|at_rest| !at_rest.has(tenant)) else { return Ok(()) };
        let (at_rest, owned) = (at_rest.clone(), tenant.to_owned());
        let made = tokio::task::spawn_blocking(move || at_rest.add_missing(&owned)).await;
        let made = made.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "the thread is gone")));
        made.map_err(|fault| {
            tracing::error!(code = %fault.code(), message = fault.message(), tenant, "no key can be made for a tenant");
            // What is wrong where is not the caller's.
            Fault::new(Code::LogFailed, "the step log cannot be encrypted, so no step is taken").retry_after(Millis(1000))
        })
    }

    /// A record as the log gets it.
    ///
    /// # Errors
    /// Where its tenant has no key.
    pub(crate) fn entry(&self, key: &SequenceKey, record: &Record<'_>) -> Result<Vec<u8>, Fault> {
        let bytes = record.to_bytes();
        let Some(at_rest) = &self.0 else { return Ok(bytes) };
        let path = path(key);
        let sealed = at_rest.seal(&Context { tenant: &key.tenant.0, path: &path, field: STEP }, &bytes)?;
        Ok(Covered::new(key, &sealed).to_bytes())
    }

    /// The record's bytes in an entry of the log.
    ///
    /// # Errors
    /// Where they are covered and do not open.
    pub(crate) fn record_of<'b>(&self, entry: &'b [u8]) -> Result<Plain<'b>, Fault> {
        let Some(covered) = Covered::read(entry) else { return Ok(Plain::Borrowed(entry)) };
        let at_rest = self.0.as_ref().ok_or_else(|| no_root_key("a step in the log"))?;
        let context = Context { tenant: &covered.tenant, path: &covered.path(), field: STEP };
        at_rest.open_sealed(&context, &covered.sealed).map(Plain::Opened)
    }

    /// Covers a row for the database: the state, and the digests of rows, from which the rows could be found. Blocks where the tenant has no
    /// key yet.
    ///
    /// # Errors
    /// Where a key can neither be had nor made. Of a tenant whose key was erased none is made here: what is in memory is not to come
    /// back.
    pub(crate) fn cover(&self, row: &mut SequenceRow) -> Result<(), Fault> {
        let Some(at_rest) = self.0.as_ref().filter(|_| !row.state.as_deref().is_some_and(is_sealed)) else {
            return Ok(());
        };
        let tenant = &row.key.tenant.0;
        if !at_rest.has(tenant) {
            if at_rest.was_erased(tenant) {
                return Err(Fault::new(Code::DataErased, "the keys of its tenant were erased"));
            }
            at_rest.add_missing(tenant)?;
        }
        let hidden = Hidden {
            digest: row.digest,
            first_digest: row.first_digest,
            state: row.state.as_deref().map(Cow::Borrowed),
        };
        let path = path(&row.key);
        let text = Zeroizing::new(postcard::to_stdvec(&hidden).unwrap_or_default());
        let sealed = at_rest.seal(&Context { tenant, path: &path, field: STATE }, &text)?;
        (row.digest, row.first_digest, row.state) = (0, 0, Some(sealed));
        Ok(())
    }

    /// The row behind the cover, or the row itself.
    ///
    /// # Errors
    /// Where it is covered and does not open.
    pub(crate) fn uncover<'r>(&self, row: &'r SequenceRow) -> Result<Cow<'r, SequenceRow>, Fault> {
        let Some(sealed) = row.state.as_ref().filter(|state| is_sealed(state)) else {
            return Ok(Cow::Borrowed(row));
        };
        let at_rest = self.0.as_ref().ok_or_else(|| no_root_key("the state of a sequence"))?;
        let path = path(&row.key);
        let text =
            at_rest.open_sealed(&Context { tenant: &row.key.tenant.0, path: &path, field: STATE }, sealed)?;
        let hidden: Hidden<'_> = postcard::from_bytes(text.expose()).map_err(|_| {
            Fault::new(Code::FileFromTheFuture, "the state of a sequence is of a later release")
        })?;
        let Hidden { digest, first_digest, state } = hidden;
        let state = state.map(Cow::into_owned);
        Ok(Cow::Owned(SequenceRow { digest, first_digest, state, ..row.clone() }))
    }
}

/// What a row hides.
#[derive(Serialize, Deserialize)]
struct Hidden<'h> {
    digest: u64,
    first_digest: u64,
    #[serde(borrow)]
    state: Option<Cow<'h, [u8]>>,
}

fn path(key: &SequenceKey) -> String {
    format!("{}/{}", key.model, key.id)
}

/// Keys that the nodes of a region share, in its store.
#[derive(Debug)]
pub struct RegionKeys {
    store: Postgres,
    runtime: Handle,
}

impl RegionKeys {
    /// Those of this store, which lives in `runtime`.
    #[must_use]
    pub fn of(store: Postgres, runtime: Handle) -> Self {
        Self { store, runtime }
    }
}

fn kept(StoredKeys { records, erased }: StoredKeys) -> KeptKeys {
    KeptKeys { records, erased }
}

impl KeyHome for RegionKeys {
    fn read(&self) -> Result<KeptKeys, Fault> {
        self.runtime.block_on(self.store.keys()).map(kept).map_err(|error| error.fault())
    }

    fn change(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        // What is not replaced is given back to the pool when it is dropped, which needs the runtime.
        let _within = self.runtime.enter();
        let locked = self.runtime.block_on(self.store.lock_keys()).map_err(|error| error.fault())?;
        let Some(KeptKeys { records, erased }) = change(kept(locked.keys.clone()))? else { return Ok(()) };
        let replaced = self.runtime.block_on(locked.replace(&StoredKeys { records, erased }));
        replaced.map_err(|error| error.fault())
    }

    fn name(&self) -> String {
        "the region's store".to_owned()
    }
}
