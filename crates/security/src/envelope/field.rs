//! What fits in memory: a field of a row, a small file.

use crate::envelope::cipher::{Cipher, TAG_BYTES};
use crate::envelope::{
    Algorithm, Context, DataKey, Failed, HEADER_BYTES, Header, Keys, Nonce, RootKey, Shape,
};
use crate::secret::SecretBytes;

/// Encrypts `text` for one place. The nonce must be random.
#[must_use]
pub fn seal_field(key: &DataKey, context: &Context<'_>, nonce: &Nonce, text: &[u8]) -> Vec<u8> {
    let header = Header {
        algorithm: Algorithm::Aes256GcmSiv,
        shape: Shape::Field,
        key: key.key,
        tenant_key: key.tenant_key,
        nonce: *nonce,
    };
    let header = header.to_bytes();
    // With room for the tag: a buffer that grew would leave the text behind.
    let mut sealed = Vec::with_capacity(text.len() + TAG_BYTES);
    sealed.extend_from_slice(text);
    Cipher::new(&key.secret).seal(*nonce, &context.bound_to(&header), &mut sealed);
    [&header[..], &sealed].concat()
}

/// Decrypts what [`seal_field`] has encrypted for this place.
///
/// # Errors
/// Where it was changed or moved, or its key is not there.
pub fn open_field(
    keys: &Keys,
    root: &dyn RootKey,
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<SecretBytes, Failed> {
    let header = Header::parse(sealed)?;
    open_with(&keys.data(root, header.key)?, context, &header, sealed)
}

/// The same with the key that the header names.
pub(super) fn open_with(
    key: &DataKey,
    context: &Context<'_>,
    header: &Header,
    sealed: &[u8],
) -> Result<SecretBytes, Failed> {
    if header.shape != Shape::Field {
        return Err(Failed::Shape(header.shape));
    }
    let (head, rest) = sealed.split_at(HEADER_BYTES);
    let mut text = rest.to_vec();
    Cipher::new(&key.secret).open(header.nonce, &context.bound_to(head), &mut text)?;
    Ok(SecretBytes::new(text))
}
