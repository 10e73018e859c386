//! Records that are sealed together: their lines, and the root that stands in the log for them.
//!
//! One entry for a thousand predictions keeps the log short and its files small. The lines lie beside it, compressed together, in a file
//! that `zcat` reads.

use crate::tree::root_of;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use tlog_tiles::{Hash, node_hash, record_hash};

/// How much time is given for how little space: at half the time of the usual level the files are a tenth longer.
const COMPRESSION: u32 = 3;

/// What an entry says of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seal {
    /// The root of the tree whose leaves are the lines without their ends, in order.
    pub root: Hash,
    /// How many lines there are.
    pub records: u64,
    /// The length of the lines together, each with its end.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub file: Hash,
}

/// A file does not hold the records that its entry is the root of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Other bytes than those that were written.
    #[error("its bytes have another SHA-256 than its entry says")]
    File,
    /// No lines in gzip, or not so many bytes of them.
    #[error("it cannot be unpacked to the {bytes} bytes that its entry says: {why}")]
    Unreadable {
        /// How many the entry says.
        bytes: u64,
        /// What is wrong.
        why: String,
    },
    /// More or fewer lines.
    #[error("it has {found} records where its entry says {wanted}")]
    Count {
        /// What the entry says.
        wanted: u64,
        /// What there is.
        found: u64,
    },
    /// Other lines.
    #[error("its records have another root than its entry says")]
    Root,
}

/// The lines of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Each behind the other, each with its end.
    text: Vec<u8>,
    hashes: Vec<Hash>,
}

impl Batch {
    /// The lines of a text, each with its end.
    #[must_use]
    pub fn of_text(text: Vec<u8>) -> Self {
        let hashes = lines_of(&text).map(record_hash).collect();
        Self { text, hashes }
    }

    /// Adds a line, which must hold no end of a line.
    pub fn push(&mut self, line: &[u8]) {
        debug_assert!(!line.contains(&b'\n'), "a line is one line");
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.hashes.push(record_hash(line));
    }

    /// How many lines it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The file, and what its entry says of it.
    #[must_use]
    pub fn seal(&self) -> (Seal, Vec<u8>) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(COMPRESSION));
        // Nothing that is written to memory fails.
        let _ = encoder.write_all(&self.text);
        let file = encoder.finish().unwrap_or_default();
        let (records, bytes) = (self.hashes.len() as u64, self.text.len() as u64);
        (Seal { root: root_of(&self.hashes), records, bytes, file: digest(&file) }, file)
    }

    /// Reads a file that is sealed so.
    ///
    /// # Errors
    /// Where it is another one, or does not hold what the seal says.
    pub fn open(file: &[u8], seal: Seal) -> Result<Self, BatchError> {
        let Seal { root, records, bytes, file: wanted } = seal;
        if digest(file) != wanted {
            return Err(BatchError::File);
        }
        let unreadable = |why: &str| BatchError::Unreadable { bytes, why: why.to_owned() };
        let mut text = Vec::new();
        // One byte more than is promised shows that there is more; a bomb is never unpacked.
        let mut decoder = GzDecoder::new(file).take(bytes.saturating_add(1));
        decoder.read_to_end(&mut text).map_err(|error| unreadable(&error.to_string()))?;
        if text.len() as u64 != bytes {
            return Err(unreadable(if text.len() as u64 > bytes {
                "there are more"
            } else {
                "there are fewer"
            }));
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            return Err(unreadable("the last line has no end"));
        }
        let batch = Self::of_text(text);
        if batch.hashes.len() as u64 != records {
            return Err(BatchError::Count { wanted: records, found: batch.hashes.len() as u64 });
        }
        if root_of(&batch.hashes) != root {
            return Err(BatchError::Root);
        }
        Ok(batch)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines_of(&self.text)
    }

    /// The hashes that lead from the line at this place to the root; nothing where there is no such line.
    #[must_use]
    pub fn proof(&self, place: usize) -> Option<Vec<Hash>> {
        (place < self.hashes.len()).then(|| proof(&self.hashes, place))
    }
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

fn digest(file: &[u8]) -> Hash {
    Hash(Sha256::digest(file).into())
}

/// By RFC 6962, section 2.1.1.
fn proof(hashes: &[Hash], place: usize) -> Vec<Hash> {
    if hashes.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
    if place < left.len() {
        let mut path = proof(left, place);
        path.push(root_of(right));
        path
    } else {
        let mut path = proof(right, place - left.len());
        path.push(root_of(left));
        path
    }
}

/// The root that these hashes lead to from a leaf; nothing where they are too many or too few. By RFC 9162, section 2.1.3.2.
pub(crate) fn root_by(proof: &[Hash], leaf: Hash, place: u64, size: u64) -> Option<Hash> {
    if place >= size {
        return None;
    }
    let (mut place, mut last, mut root) = (place, size - 1, leaf);
    for hash in proof {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            root = node_hash(*hash, root);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            root = node_hash(root, *hash);
        }
        (place, last) = (place / 2, last / 2);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::tests::prediction;

    fn batch(lines: u64) -> Batch {
        let mut batch = Batch::default();
        for number in 0..lines {
            let mut line = Vec::new();
            prediction(number).write(&mut line);
            batch.push(&line);
        }
        batch
    }

    #[test]
    fn every_line_leads_to_the_root_from_its_own_place_alone() {
        for lines in [1, 2, 3, 7, 8, 9, 100] {
            let batch = batch(lines);
            let root = batch.seal().0.root;
            for place in 0..lines {
                let proof = batch.proof(place as usize).unwrap();
                let leaf = batch.hashes[place as usize];
                assert_eq!(root_by(&proof, leaf, place, lines), Some(root));
                // The library agrees.
                tlog_tiles::check_record(&proof, lines, root, place, leaf).unwrap();
                for other in (0..lines + 2).filter(|other| *other != place) {
                    assert_ne!(
                        root_by(&proof, leaf, other, lines),
                        Some(root),
                        "{place} as {other} of {lines}"
                    );
                }
                assert_eq!(
                    root_by(&[&proof[..], &[leaf]].concat(), leaf, place, lines),
                    None,
                    "one too many"
                );
            }
            assert_eq!(batch.proof(lines as usize), None);
        }
    }

    #[test]
    fn a_file_holds_what_was_sealed_and_anything_else_is_refused() {
        let batch = batch(50);
        let (seal, file) = batch.seal();
        assert_eq!(Batch::open(&file, seal), Ok(batch.clone()));
        assert_eq!(batch.lines().count(), 50);
        for bit in 0..8 * file.len() {
            let mut other = file.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Batch::open(&other, seal), Err(BatchError::File), "bit {bit}");
        }
        // Whoever can write the entry cannot make it say what the file does not.
        for bytes in [seal.bytes - 1, seal.bytes + 1] {
            assert!(matches!(Batch::open(&file, Seal { bytes, ..seal }), Err(BatchError::Unreadable { .. })));
        }
        let wrong = Batch::open(&file, Seal { records: 49, ..seal });
        assert_eq!(wrong, Err(BatchError::Count { wanted: 49, found: 50 }));
        assert_eq!(Batch::open(&file, Seal { root: Hash([0; 32]), ..seal }), Err(BatchError::Root));
        for cut in [0, 1, file.len() / 2, file.len() - 1] {
            let part = &file[..cut];
            let sealed = Seal { file: digest(part), ..seal };
            assert!(matches!(Batch::open(part, sealed), Err(BatchError::Unreadable { .. })), "{cut}");
        }
        let swapped: Vec<_> = batch.lines().collect();
        let mut other = Batch::default();
        [&swapped[..3], &[swapped[4], swapped[3]], &swapped[5..]]
            .concat()
            .iter()
            .for_each(|line| other.push(line));
        let (_, file) = other.seal();
        assert_eq!(Batch::open(&file, Seal { file: digest(&file), ..seal }), Err(BatchError::Root));
    }
}
