//! An entry as it stands in a file: length, checksum, position, place in its group, contents.

use super::{ENTRY_BYTES_MAX, Position};

/// Bytes before the contents.
pub(crate) const HEAD: usize = 20;

/// An entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'b> {
    pub(crate) position: Position,
    /// The position of the first entry of its group: those before it had been promised when it was written.
    pub(crate) group: Position,
    pub(crate) entry: &'b [u8],
}

/// Appends an entry's bytes to `to`; it is the `place`-th of its group, from 0.
pub(crate) fn write(position: Position, place: u32, entry: &[u8], to: &mut Vec<u8>) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&checksum(position, place, entry).to_le_bytes());
    to.extend_from_slice(&position.0.to_le_bytes());
    to.extend_from_slice(&place.to_le_bytes());
    to.extend_from_slice(entry);
}

/// The entry at the start of `bytes`, where a whole one that says the truth about itself is there.
pub(crate) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let (place, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (position, place) = (Position(u64::from_le_bytes(*position)), u32::from_le_bytes(*place));
    let entry = rest.get(..length).filter(|_| length <= ENTRY_BYTES_MAX)?;
    let group = Position(position.0.checked_sub(u64::from(place))?);
    let is_whole = checksum(position, place, entry) == u32::from_le_bytes(*sum);
    is_whole.then_some(Frame { position, group, entry })
}

fn checksum(position: Position, place: u32, entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.0.to_le_bytes());
    hasher.update(&place.to_le_bytes());
    hasher.update(entry);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write(Position(7), 2, b"hello", &mut bytes);
        assert_eq!(bytes.len(), HEAD + 5);
        let wanted = Frame { position: Position(7), group: Position(5), entry: b"hello" };
        assert_eq!(read(&bytes), Some(wanted));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), None, "cut at {end}");
        }
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1;
            assert_eq!(read(&damaged), None, "damaged at {byte}");
        }
    }
}
