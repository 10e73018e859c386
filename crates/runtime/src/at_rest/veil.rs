//! Who is named in a ledger, encrypted.
//!
//! Texts that may name a person stand in records as a seal, which only whoever has the keys can read. The seal is made before anything is
//! hashed: when its key is erased the text is gone, and every proof over the record holds as before. The same text has the same
//! seal as long as the key is the same: AES-256-GCM-SIV with one nonce for all shows that two texts are equal, and no more (RFC 8452, section 9). So
//! seals can be searched for, and those of one caller take next to no space in a batch that is compressed.

use super::{AtRest, HOUSE, NONCE, is_sealed};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use spinwell_core::Fault;
use spinwell_security::envelope::Context;
use std::borrow::Cow;
use std::sync::Arc;

/// What every seal begins with as a text: the first bytes of what is encrypted, which name format and algorithm.
const BEGIN: &str = "U1BXRQEB";

/// Encrypts texts of a ledger; leaves them as they are where there is no root key.
#[derive(Debug, Clone, Default)]
pub struct Veil(Option<Arc<AtRest>>);

impl Veil {
    /// With these keys, if any.
    #[must_use]
    pub fn of(at_rest: Option<Arc<AtRest>>) -> Self {
        Self(at_rest)
    }

    /// Whether it can read anything that is encrypted.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a tenant's texts can be encrypted at once.
    #[must_use]
    pub fn is_ready_for(&self, tenant: &str) -> bool {
        self.0.as_ref().is_none_or(|at_rest| at_rest.has(tenant))
    }

    /// Makes a tenant's keys where they are not there. Blocks.
    ///
    /// # Errors
    /// Where a key can neither be had nor made.
    pub fn prepare(&self, tenant: &str) -> Result<(), Fault> {
        self.0.as_ref().map_or(Ok(()), |at_rest| at_rest.add_missing(tenant))
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
    /// Where a key can neither be had nor made.
    pub fn seal<'t>(&self, tenant: &str, member: &str, text: &'t str) -> Result<Cow<'t, str>, Fault> {
        let Some(at_rest) = self.0.as_ref().filter(|_| !text.is_empty()) else {
            return Ok(Cow::Borrowed(text));
        };
        at_rest.add_missing(tenant)?;
        let sealed = at_rest.seal_as(tenant, &place(member), &NONCE, text.as_bytes())?;
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
        let at_rest = self.0.as_ref().filter(|_| text.starts_with(BEGIN))?;
        let sealed = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
        let opened = at_rest.open_sealed(&place(member), &sealed).ok()?;
        String::from_utf8(opened.expose().to_vec()).ok()
    }

    /// All that a text may stand as in the member of this name: as itself, and under the seal of every key.
    #[must_use]
    pub fn forms(&self, member: &str, text: &str) -> Vec<String> {
        let seals =
            self.0.iter().flat_map(|at_rest| at_rest.vault.seal_all(&place(member), &NONCE, text.as_bytes()));
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
}
