//! An entry as it stands in a file: length, checksum, position, contents.

use super::{ENTRY_BYTES_MAX, Position};

/// Bytes before the contents.
pub(super) const HEAD: usize = 16;

/// Appends an entry's bytes to `to`.
pub(super) fn write(position: Position, entry: &[u8], to: &mut Vec<u8>) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&checksum(position, entry).to_le_bytes());
    to.extend_from_slice(&position.0.to_le_bytes());
    to.extend_from_slice(entry);
}

/// The entry at the start of `bytes`, where a whole one that says the truth about itself is there.
pub(super) fn read(bytes: &[u8]) -> Option<(Position, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let position = Position(u64::from_le_bytes(*position));
    let entry = rest.get(..length).filter(|_| length <= ENTRY_BYTES_MAX)?;
    (checksum(position, entry) == u32::from_le_bytes(*sum)).then_some((position, entry))
}

fn checksum(position: Position, entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.0.to_le_bytes());
    hasher.update(entry);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write(Position(7), b"hello", &mut bytes);
        assert_eq!(bytes.len(), HEAD + 5);
        assert_eq!(read(&bytes), Some((Position(7), b"hello".as_slice())));
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
