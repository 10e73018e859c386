//! Where a log's files are, by C2SP tlog-tiles, and how they are read.

use std::collections::BTreeMap;
use std::io;

/// Hashes of a tile, and entries of a bundle.
pub(crate) const TILE: u64 = 256;

/// A file to be written, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where in the log's folder, with `/` between the parts.
    pub path: String,
    /// What stands in it.
    pub bytes: Vec<u8>,
}

/// The files of a log.
pub trait Files {
    /// A file by its path; nothing where there is none.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(path).cloned())
    }
}

/// A number as folders of a thousand: 1234067 is `x001/x234/067`.
fn folders(number: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut left = number / 1000;
    while left > 0 {
        text = format!("x{:03}/{text}", left % 1000);
        left /= 1000;
    }
    text
}

/// What follows a path where the tile is not full.
fn part(width: u64) -> String {
    if width == TILE { String::new() } else { format!(".p/{width}") }
}

/// The tile of `width` hashes (1 to 256) that has this number on its level.
#[must_use]
pub fn tile_path(level: u8, number: u64, width: u64) -> String {
    format!("tile/{level}/{}{}", folders(number), part(width))
}

/// The bundle of `width` entries (1 to 256) that lie under the tile of this number on level 0.
#[must_use]
pub fn entries_path(number: u64, width: u64) -> String {
    format!("tile/entries/{}{}", folders(number), part(width))
}

/// The records of the batch whose root is the entry of this index. Not of C2SP: who knows only that, sees an entry.
#[must_use]
pub fn batch_path(index: u64) -> String {
    format!("batches/{}", folders(index))
}

/// The log's newest checkpoint that the witness of this name has cosigned. Not of C2SP.
#[must_use]
pub fn witnessed_path(witness: &str) -> String {
    format!("checkpoint.witnessed/{}", file_name(witness))
}

/// A name as that of a file, which no other name has.
#[must_use]
pub fn file_name(name: &str) -> String {
    let mut file = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => file.push(char::from(byte)),
            // Not in front, where it would hide the file.
            b'.' if !file.is_empty() => file.push('.'),
            other => file.push_str(&format!("%{other:02X}")),
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(1, 0, 1), "tile/1/000.p/1");
        assert_eq!(entries_path(273_000, 112), "tile/entries/x273/000.p/112");
        assert_eq!(batch_path(7), "batches/007");
        assert_eq!(witnessed_path("example.com/w"), "checkpoint.witnessed/example.com%2Fw");
        assert_eq!((file_name(".."), file_name("a%2F")), ("%2E.".into(), "a%252F".into()));
    }
}
