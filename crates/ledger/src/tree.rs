//! The Merkle tree of a log, as it grows.
//!
//! Of each level it holds the hashes of the tile that is being filled. They are what the next root is made of, and what stands in the files
//! that are not full yet, so that a log of any length needs a few kilobytes of memory and can be taken up again from its files.

use crate::files::{File, Files, TILE, entries_path, tile_path};
use std::io;
use tlog_tiles::{EMPTY_HASH, HASH_SIZE, Hash, node_hash, record_hash};

/// The longest entry, in bytes: its length stands in two of them.
pub(crate) const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// An entry has no place in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of {0} bytes: at most 65,535 fit")]
pub struct EntryTooLong(pub usize);

/// The files do not hold the tree that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// One cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// One is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// One does not hold what it should.
    #[error("{0} is not what belongs there")]
    Wrong(String),
    /// All are there, and make another root.
    #[error("the files have another root than the checkpoint")]
    Root,
}

/// A log's tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// Of each level the hashes of its last tile, while it is not full.
    levels: Vec<Vec<Hash>>,
    /// The entries of the last bundle, while it is not full, each behind its length.
    bundle: Vec<u8>,
    /// Files that became full since they were taken.
    full: Vec<File>,
}

impl Tree {
    /// The tree of `size` entries that the files hold, to go on with.
    ///
    /// # Errors
    /// Where they do not hold it, or it has another root.
    pub fn load(files: &impl Files, size: u64, root: Hash) -> Result<Self, Broken> {
        let mut tree = Self { size, ..Self::default() };
        let mut count = size;
        while count > 0 {
            let (number, width) = (count / TILE, count % TILE);
            let level = u8::try_from(tree.levels.len()).map_err(|_| Broken::Root)?;
            let hashes = if width == 0 { Vec::new() } else { read_tile(files, level, number, width)? };
            tree.levels.push(hashes);
            count /= TILE;
        }
        if tree.root() != root {
            return Err(Broken::Root);
        }
        let (number, width) = (size / TILE, size % TILE);
        if width > 0 {
            let entries = read_bundle(files, number, width)?;
            for (entry, hash) in entries.iter().zip(&tree.levels[0]) {
                if record_hash(entry) != *hash {
                    return Err(Broken::Wrong(entries_path(number, width)));
                }
                push(&mut tree.bundle, entry);
            }
        }
        Ok(tree)
    }

    /// How many entries it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root by RFC 6962, section 2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        // Complete trees from the right, each larger than those before.
        let peaks = self.levels.iter().flat_map(|hashes| peaks(hashes).into_iter().rev());
        peaks.reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_HASH)
    }

    /// Appends an entry, and gives its index.
    ///
    /// # Errors
    /// Where it is too long; then nothing has changed.
    pub fn append(&mut self, entry: &[u8]) -> Result<u64, EntryTooLong> {
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(EntryTooLong(entry.len()));
        }
        let index = self.size;
        self.size += 1;
        push(&mut self.bundle, entry);
        if self.size.is_multiple_of(TILE) {
            let path = entries_path(self.size / TILE - 1, TILE);
            self.full.push(File { path, bytes: std::mem::take(&mut self.bundle) });
        }
        let (mut hash, mut level, mut count) = (record_hash(entry), 0, self.size);
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() as u64 != TILE {
                return Ok(index);
            }
            let hashes = std::mem::take(hashes);
            hash = peaks(&hashes)[0];
            count /= TILE;
            // A log of 2^64 entries has eight levels.
            let path = tile_path(level as u8, count - 1, TILE);
            self.full.push(File { path, bytes: bytes_of(&hashes) });
            level += 1;
        }
    }

    /// The files that a checkpoint of this size needs beside those that were taken before: those that became full, and those that are
    /// not full yet, which take the place of their own shorter forms.
    pub fn take_files(&mut self) -> Vec<File> {
        let mut files = std::mem::take(&mut self.full);
        files.extend(self.parts());
        files
    }

    /// Files are there already.
    pub(crate) fn forget_files(&mut self) {
        self.full.clear();
    }

    /// The files that are not full.
    fn parts(&self) -> impl Iterator<Item = File> {
        let width = self.size % TILE;
        let bundle = (width > 0)
            .then(|| File { path: entries_path(self.size / TILE, width), bytes: self.bundle.clone() });
        let mut count = self.size;
        let tiles = self.levels.iter().enumerate().filter_map(move |(level, hashes)| {
            let number = count / TILE;
            count = number;
            let path = tile_path(level as u8, number, hashes.len() as u64);
            (!hashes.is_empty()).then(|| File { path, bytes: bytes_of(hashes) })
        });
        bundle.into_iter().chain(tiles)
    }
}

/// The roots of the complete trees over a tile's hashes, from the left, each at most half as large as the one before.
fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let mut peaks: Vec<(usize, Hash)> = Vec::new();
    for hash in hashes {
        let mut new = (1, *hash);
        while let Some((_, left)) = peaks.pop_if(|(leaves, _)| *leaves == new.0) {
            new = (2 * new.0, node_hash(left, new.1));
        }
        peaks.push(new);
    }
    peaks.into_iter().map(|(_, hash)| hash).collect()
}

/// The root of leaves that are all at hand, by RFC 6962, section 2.1.
pub(crate) fn root_of(leaves: &[Hash]) -> Hash {
    peaks(leaves).into_iter().rev().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_HASH)
}

fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    // No longer than ENTRY_BYTES_MAX.
    bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    bundle.extend_from_slice(entry);
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// A file, or one that is full in its place: of either the beginning is wanted.
fn read(files: &impl Files, part: String, full: String) -> Result<(String, Vec<u8>), Broken> {
    let paths = if part == full { vec![part] } else { vec![part, full] };
    for path in &paths {
        match files.read(path) {
            Ok(Some(bytes)) => return Ok((path.clone(), bytes)),
            Ok(None) => {}
            Err(source) => return Err(Broken::Unreadable { path: path.clone(), source }),
        }
    }
    Err(Broken::Missing(paths[0].clone()))
}

/// The first `width` hashes of a tile.
pub(crate) fn read_tile(files: &impl Files, level: u8, number: u64, width: u64) -> Result<Vec<Hash>, Broken> {
    let (path, bytes) = read(files, tile_path(level, number, width), tile_path(level, number, TILE))?;
    let whole = path == tile_path(level, number, width) && bytes.len() as u64 == width * HASH_SIZE as u64;
    let longer = path != tile_path(level, number, width) && bytes.len() as u64 == TILE * HASH_SIZE as u64;
    if !whole && !longer {
        return Err(Broken::Wrong(path));
    }
    let (hashes, _) = bytes.as_chunks::<HASH_SIZE>();
    Ok(hashes.iter().take(width as usize).map(|hash| Hash(*hash)).collect())
}

/// The first `width` entries of a bundle.
pub(crate) fn read_bundle(files: &impl Files, number: u64, width: u64) -> Result<Vec<Vec<u8>>, Broken> {
    let (path, bytes) = read(files, entries_path(number, width), entries_path(number, TILE))?;
    let held = if path == entries_path(number, width) { width } else { TILE };
    let entries = split(&bytes).filter(|entries| entries.len() as u64 == held);
    let entries = entries.ok_or(Broken::Wrong(path))?;
    Ok(entries.into_iter().take(width as usize).map(<[u8]>::to_vec).collect())
}

/// The place of the first entry of a bundle that does not have its hash, also where what follows cannot be read at all; nothing where all
/// of them do.
pub(crate) fn first_wrong(files: &impl Files, number: u64, hashes: &[Hash]) -> Option<usize> {
    let width = hashes.len() as u64;
    let (_, bytes) = read(files, entries_path(number, width), entries_path(number, TILE)).ok()?;
    let mut rest = &bytes[..];
    hashes.iter().position(|hash| {
        let entry = rest
            .split_first_chunk()
            .and_then(|(length, behind)| behind.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((entry, behind)) = entry else { return true };
        rest = behind;
        record_hash(entry) != *hash
    })
}

/// The entries of a bundle; nothing where the lengths do not fit the bytes.
fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = rest;
    }
    bytes.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(index: u64) -> Vec<u8> {
        format!("entry {index}").into_bytes()
    }

    fn grown(size: u64) -> Tree {
        let mut tree = Tree::default();
        for index in 0..size {
            assert_eq!(tree.append(&entry(index)), Ok(index));
        }
        tree
    }

    /// Two other implementations of the same tree.
    fn roots(size: u64) -> (Hash, [u8; 32]) {
        let mut oracle = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let mut stored = Stored(Vec::new());
        for index in 0..size {
            oracle.push(entry(index));
            let hashes = tlog_tiles::stored_hashes(index, &entry(index), &stored).unwrap();
            stored.0.extend(hashes);
        }
        (tlog_tiles::tree_hash(size, &stored).unwrap(), (*oracle.root().as_bytes()).into())
    }

    struct Stored(Vec<Hash>);

    impl tlog_tiles::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
        }
    }

    #[test]
    fn roots_are_those_of_two_other_implementations() {
        for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65_537] {
            let root = grown(size).root();
            let (stored, oracle) = roots(size);
            assert_eq!((root, root.0), (stored, oracle), "{size}");
            let leaves: Vec<_> = (0..size).map(|index| record_hash(&entry(index))).collect();
            assert_eq!(root_of(&leaves), root, "{size}");
        }
    }

    proptest! {
        #[test]
        fn a_tree_goes_on_from_its_files_wherever_it_stopped(stops in prop::collection::vec(0u64..700, 1..5)) {
            let (mut files, mut tree, mut size) = (BTreeMap::new(), Tree::default(), 0);
            for more in stops {
                for _ in 0..more {
                    tree.append(&entry(size)).unwrap();
                    size += 1;
                }
                files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
                tree = Tree::load(&files, tree.size(), tree.root()).unwrap();
            }
            prop_assert_eq!(tree.root(), grown(size).root());
        }
    }

    #[test]
    fn what_is_not_the_tree_is_refused() {
        let mut tree = grown(300);
        let files: BTreeMap<_, _> =
            tree.take_files().into_iter().map(|file| (file.path, file.bytes)).collect();
        let paths: Vec<_> = files.keys().cloned().collect();
        assert_eq!(
            paths,
            ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"]
        );
        let load = |files: &BTreeMap<_, _>| Tree::load(files, 300, tree.root());
        assert!(load(&files).is_ok());
        for path in ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
            let mut other = files.clone();
            other.remove(path);
            assert!(matches!(load(&other), Err(Broken::Missing(missing)) if missing == path));
            let mut other = files.clone();
            other.get_mut(path).unwrap()[9] ^= 1;
            assert!(load(&other).is_err(), "{path}");
            let mut other = files.clone();
            other.get_mut(path).unwrap().pop();
            assert!(matches!(load(&other), Err(Broken::Wrong(wrong)) if wrong == path));
        }
        assert_eq!(tree.append(&vec![0; 65_536]), Err(EntryTooLong(65_536)));
        assert_eq!(tree.size(), 300);
    }
}
