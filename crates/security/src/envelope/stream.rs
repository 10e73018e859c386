//! What does not fit in memory: snapshots, models, backups.
//!
//! The text is cut into chunks. Each is encrypted by itself, bound to its number and to whether it is the last: chunks cannot be dropped,
//! doubled or exchanged, and a missing end is told from a changed chunk. A chunk is written out as soon as it is proven, so whoever
//! reads has parts of the text before its end is proven: what was written must be thrown away if [`open_stream`] fails.

use crate::envelope::cipher::{Cipher, TAG_BYTES};
use crate::envelope::{
    Algorithm, Context, DataKey, Failed, HEADER_BYTES, Header, Keys, Nonce, RootKey, Shape,
};
use std::io::{ErrorKind, Read, Write};
use zeroize::Zeroizing;

/// Bytes of text in a chunk. 16 bytes are added to each, which is next to nothing, and two of them fit in a cache.
pub const CHUNK_BYTES: u32 = 64 * 1024;
/// Chunks of others are no longer than this: the size stands in the header, and memory is taken before anything is proven.
const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

/// What went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Bytes of text.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
}

/// Encrypts all of `from` for one place. The nonce must be random.
///
/// # Errors
/// Where reading or writing fails.
pub fn seal_stream(
    key: &DataKey,
    context: &Context<'_>,
    nonce: &Nonce,
    from: impl Read,
    mut to: impl Write,
) -> Result<Total, Failed> {
    let header = Header {
        algorithm: Algorithm::Aes256GcmSiv,
        shape: Shape::Stream { chunk_bytes: CHUNK_BYTES },
        key: key.key,
        tenant_key: key.tenant_key,
        nonce: *nonce,
    };
    to.write_all(&header.to_bytes()).map_err(Failed::Io)?;
    let chunks = Chunks::new(key, context, &header);
    let mut pieces = Pieces::new(from, CHUNK_BYTES as usize);
    let mut total = Total { bytes: 0, chunks: 0 };
    while let Some((mut piece, last)) = pieces.next().map_err(Failed::Io)? {
        total.bytes += piece.len() as u64;
        chunks.cipher.seal(chunks.nonce(total.chunks), &chunks.bound(total.chunks, last), &mut piece);
        total.chunks += 1;
        to.write_all(&piece).map_err(Failed::Io)?;
    }
    Ok(total)
}

/// Decrypts what [`seal_stream`] has encrypted for this place. What was written to `to` counts only if this succeeds.
///
/// # Errors
/// Where it was changed, moved or cut off, its key is not there, or reading or writing fails.
pub fn open_stream(
    keys: &Keys,
    root: &dyn RootKey,
    context: &Context<'_>,
    mut from: impl Read,
    mut to: impl Write,
) -> Result<Total, Failed> {
    let mut head = [0; HEADER_BYTES];
    from.read_exact(&mut head).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Failed::NotOurs,
        _ => Failed::Io(error),
    })?;
    let header = Header::parse(&head)?;
    let Shape::Stream { chunk_bytes } = header.shape else { return Err(Failed::Shape(header.shape)) };
    if chunk_bytes > CHUNK_BYTES_MAX {
        return Err(Failed::NotOurs);
    }
    let key = keys.data(root, header.key)?;
    let chunks = Chunks::new(&key, context, &header);
    let mut pieces = Pieces::new(from, chunk_bytes as usize + TAG_BYTES);
    let mut total = Total { bytes: 0, chunks: 0 };
    while let Some((mut piece, last)) = pieces.next().map_err(Failed::Io)? {
        if piece.is_empty() {
            return Err(Failed::CutOff(total.chunks));
        }
        let (nonce, bound) = (chunks.nonce(total.chunks), chunks.bound(total.chunks, last));
        // Only asked where the end should be: is this a good chunk that others should follow?
        let again = last.then(|| piece.clone());
        if let Err(failed) = chunks.cipher.open(nonce, &bound, &mut piece) {
            let goes_on = again.is_some_and(|mut piece| {
                chunks.cipher.open(nonce, &chunks.bound(total.chunks, false), &mut piece).is_ok()
            });
            return Err(if goes_on { Failed::CutOff(total.chunks + 1) } else { failed });
        }
        total.bytes += piece.len() as u64;
        total.chunks += 1;
        to.write_all(&piece).map_err(Failed::Io)?;
    }
    Ok(total)
}

/// What all chunks of a stream have in common.
struct Chunks {
    cipher: Cipher,
    first: Nonce,
    bound: Vec<u8>,
}

impl Chunks {
    fn new(key: &DataKey, context: &Context<'_>, header: &Header) -> Self {
        let bound = context.bound_to(&header.to_bytes());
        Self { cipher: Cipher::new(&key.secret), first: header.nonce, bound }
    }

    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.first;
        for (byte, of_number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= of_number;
        }
        nonce
    }

    fn bound(&self, number: u64, last: bool) -> Vec<u8> {
        [&self.bound[..], &number.to_be_bytes(), &[u8::from(last)]].concat()
    }
}

/// What is read, in pieces of one length but the last. It reads one ahead, to know which is the last. An empty text is one empty
/// piece.
struct Pieces<R> {
    from: R,
    len: usize,
    ahead: Option<Zeroizing<Vec<u8>>>,
    begun: bool,
}

impl<R: Read> Pieces<R> {
    fn new(from: R, len: usize) -> Self {
        Self { from, len, ahead: None, begun: false }
    }

    fn next(&mut self) -> std::io::Result<Option<(Zeroizing<Vec<u8>>, bool)>> {
        let piece = match self.ahead.take() {
            Some(piece) => piece,
            None if self.begun => return Ok(None),
            None => self.read()?,
        };
        self.begun = true;
        if piece.len() == self.len {
            let next = self.read()?;
            self.ahead = (!next.is_empty()).then_some(next);
        }
        let last = self.ahead.is_none();
        Ok(Some((piece, last)))
    }

    /// Up to a whole piece: less only at the end.
    fn read(&mut self) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let mut piece = Zeroizing::new(Vec::with_capacity(self.len + TAG_BYTES));
        self.from.by_ref().take(self.len as u64).read_to_end(&mut piece)?;
        Ok(piece)
    }
}
