//! Who is named in a ledger, encrypted.
//!
//! Texts that may name a person stand in records as a seal, which only whoever has the keys can read. The seal is made before anything is
//! hashed: when its key is erased the text is gone, and every proof over the record holds as before. The same text has the same
//! seal as long as the key is the same: AES-256-GCM-SIV with one nonce for all shows that two texts are equal, and no more (RFC 8452, section 9). So
//! seals can be searched for, and those of one caller take next to no space in a batch that is compressed.

use super::{AtRest, HOUSE, NONCE, is_sealed};
use crate::clock;
use crate::seldom::Seldom;
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use spinwell_core::{Code, Fault, Millis};
use spinwell_security::envelope::Context;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What every seal begins with as a text: the first bytes of what is encrypted, which name format and algorithm.
const BEGIN: &str = "U1BXRQEB";

/// How long whoever wants something recorded is told to wait where names cannot be encrypted.
const RETRY: Millis = Millis(1000);

/// How often the log says why they cannot be.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Encrypts texts of a ledger; leaves them as they are where there is no root key.
#[derive(Debug, Clone, Default)]
pub struct Veil(Option<Arc<Keys>>);

#[derive(Debug)]
struct Keys {
    at_rest: Arc<AtRest>,
    failing: Mutex<Seldom>,
}

impl Veil {
    /// With these keys, if any.
    #[must_use]
    pub fn of(at_rest: Option<Arc<AtRest>>) -> Self {
        let failing = || Mutex::new(Seldom::new(SAID_EVERY));
        Self(at_rest.map(|at_rest| Arc::new(Keys { at_rest, failing: failing() })))
    }

    fn at_rest(&self) -> Option<&Arc<AtRest>> {
        self.0.as_ref().map(|keys| &keys.at_rest)
    }

    /// Names cannot be encrypted, so that they are not written at all. What is wrong where is not the caller's; the log says it.
    fn unveiled(&self, fault: &Fault) -> Fault {
        let mut failing =
            self.0.iter().map(|keys| keys.failing.lock().unwrap_or_else(PoisonError::into_inner));
        if failing.next().is_some_and(|mut failing| failing.is_due(clock::now())) {
            tracing::error!(code = %fault.code(), message = fault.message(), "names cannot be encrypted for the ledger");
        }
        let message = "the ledger cannot encrypt who asks, so that nothing is recorded or done";
        Fault::new(Code::LedgerFailed, message).retry_after(RETRY)
    }

    /// Whether it can read anything that is encrypted.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.0.is_some()
    }

    /// Comes when a tenant's texts can be encrypted at once, for whoever writes them where nobody may wait.
    ///
    /// # Errors
    /// Where its keys can neither be had nor made ([`Code::LedgerFailed`]): then nothing about it can be recorded.
    pub async fn ready_for(&self, tenant: &str) -> Result<(), Fault> {
        if self.at_rest().is_none_or(|at_rest| at_rest.has(tenant)) {
            return Ok(());
        }
        let (veil, tenant) = (self.clone(), tenant.to_owned());
        let made = tokio::task::spawn_blocking(move || veil.prepare(&tenant)).await;
        let made = made.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "the thread is gone")));
        made.map_err(|fault| self.unveiled(&fault))
    }

    /// Makes a tenant's keys where they are not there. Blocks.
    ///
    /// # Errors
    /// Where a key can neither be had nor made, and what is wrong: for an operator.
    pub fn prepare(&self, tenant: &str) -> Result<(), Fault> {
        self.at_rest().map_or(Ok(()), |at_rest| at_rest.add_missing(tenant))
    }

    /// The same for what belongs to no tenant.
    ///
    /// # Errors
    /// The same.
    pub fn prepare_own(&self) -> Result<(), Fault> {
        self.prepare(HOUSE)
    }

    /// A text that stands in the member of this name, of a record about this tenant. Blocks where the tenant's keys are not there, which are made
    /// then.
    ///
    /// # Errors
    /// Where a key can neither be had nor made ([`Code::LedgerFailed`]).
    pub fn seal<'t>(&self, tenant: &str, member: &str, text: &'t str) -> Result<Cow<'t, str>, Fault> {
        let Some(at_rest) = self.at_rest().filter(|_| !text.is_empty()) else {
            return Ok(Cow::Borrowed(text));
        };
        let sealed = at_rest
            .add_missing(tenant)
            .and_then(|()| at_rest.seal_as(tenant, &place(member), &NONCE, text.as_bytes()))
            .map_err(|fault| self.unveiled(&fault))?;
        Ok(Cow::Owned(BASE64_STANDARD_NO_PAD.encode(sealed)))
    }

    /// The same for what belongs to no tenant.
    ///
    /// # Errors
    /// Those of [`Veil::seal`].
    pub fn seal_own<'t>(&self, member: &str, text: &'t str) -> Result<Cow<'t, str>, Fault> {
        self.seal(HOUSE, member, text)
    }

    /// The text behind a seal in the member of this name; nothing where it is none, or does not open.
    #[must_use]
    pub fn open(&self, member: &str, text: &str) -> Option<String> {
        let at_rest = self.at_rest().filter(|_| text.starts_with(BEGIN))?;
        let sealed = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
        let opened = at_rest.open_sealed(&place(member), &sealed).ok()?;
        String::from_utf8(opened.expose().to_vec()).ok()
    }

    /// All that a text may stand as in the member of this name: as itself, and under the seal of every key.
    #[must_use]
    pub fn forms(&self, member: &str, text: &str) -> Vec<String> {
        let seals = self
            .at_rest()
            .into_iter()
            .flat_map(|at_rest| at_rest.vault.seal_all(&place(member), &NONCE, text.as_bytes()));
        std::iter::once(text.to_owned())
            .chain(seals.map(|seal| BASE64_STANDARD_NO_PAD.encode(seal)))
            .collect()
    }
}

/// Whether a text is a seal.
#[must_use]
pub fn is_veiled(text: &str) -> bool {
    text.starts_with(BEGIN) && BASE64_STANDARD_NO_PAD.decode(text).is_ok_and(|bytes| is_sealed(&bytes))
}

/// Where a text stands. Not whose it is: whoever searches does not know.
fn place(member: &str) -> Context<'_> {
    Context { tenant: "", path: "ledger", field: member }
}

#[cfg(test)]
mod tests {
    use super::super::FolderKeys;
    use super::*;
    use spinwell_security::envelope::Roots;

    #[test]
    fn one_text_has_one_seal_in_one_place_and_is_found_under_every_key() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots::parse(&"0b".repeat(32)).unwrap().unwrap();
        let at_rest =
            AtRest::open(Arc::new(roots), Box::new(FolderKeys::of(folder.path().join("keys")))).unwrap();
        let veil = Veil::of(Some(at_rest.clone()));
        let seal = |tenant, member, text| veil.seal(tenant, member, text).unwrap().into_owned();
        let first = seal("acme", "principal", "acme/ada");
        assert!(is_veiled(&first) && !first.contains("ada") && !is_veiled("U1BXRQEBx"));
        assert_eq!(first, seal("acme", "principal", "acme/ada"));
        let others = [
            seal("other", "principal", "acme/ada"),
            seal("acme", "sequence", "acme/ada"),
            seal("acme", "principal", "acme/bob"),
        ];
        assert!(!others.contains(&first));
        assert_eq!(veil.open("principal", &first).as_deref(), Some("acme/ada"));
        assert_eq!(veil.open("sequence", &first), None, "it stands elsewhere");
        assert_eq!(veil.open("principal", "acme/ada"), None);
        at_rest.rotate().unwrap();
        let second = seal("acme", "principal", "acme/ada");
        assert_ne!(first, second);
        let forms = veil.forms("principal", "acme/ada");
        assert!([first, second, "acme/ada".to_owned()].iter().all(|form| forms.contains(form)));
        assert_eq!(veil.seal("acme", "principal", "").unwrap(), "");
        let none = Veil::default();
        assert_eq!(none.seal("acme", "principal", "acme/ada").unwrap(), "acme/ada");
        assert_eq!(none.forms("principal", "acme/ada"), ["acme/ada"]);
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test breaks a folder")]
    async fn what_is_wrong_with_the_keys_an_operator_is_told_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, roots) = (folder.path().join("keys"), Roots::parse(&"0b".repeat(32)).unwrap().unwrap());
        let at_rest = AtRest::open(Arc::new(roots), Box::new(FolderKeys::of(keys.clone()))).unwrap();
        std::fs::write(&keys, "no folder").unwrap();
        let veil = Veil::of(Some(at_rest));
        let of_operator = veil.prepare("acme").unwrap_err();
        assert_eq!(of_operator.code(), Code::Io);
        assert!(of_operator.message().contains("keys"), "{of_operator}");
        let told = [
            veil.ready_for("acme").await.unwrap_err(),
            veil.seal("acme", "principal", "acme/ada").unwrap_err(),
        ];
        for fault in told {
            assert_eq!((fault.code(), fault.retry_after_hint()), (Code::LedgerFailed, Some(RETRY)));
            assert!(!fault.message().contains("keys"), "{fault}");
        }
        std::fs::remove_file(&keys).unwrap();
        veil.ready_for("acme").await.unwrap();
    }
}
