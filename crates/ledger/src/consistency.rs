//! That a log has only grown: the hashes by which a checkpoint is shown to be the beginning of a later one.

use crate::files::Files;
use crate::find::{Hashes, middle};
use crate::tree::Broken;
use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

/// How far a log had come, and what its root was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// How many entries it had.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// The hashes that show the first `old` entries of a log to be the beginning of its first `size`, by RFC 6962, section 2.1.2.
///
/// # Errors
/// Where the files do not hold them.
pub fn consistency(files: &impl Files, old: u64, size: u64) -> Result<Vec<Hash>, Broken> {
    if old == 0 || old >= size {
        return Ok(Vec::new());
    }
    let hashes = Hashes { files, size };
    let (mut range, mut proof) = (0..size, Vec::new());
    while range.end != old {
        let middle = middle(&range);
        if old <= middle {
            proof.push(hashes.root(middle..range.end)?);
            range = range.start..middle;
        } else {
            proof.push(hashes.root(range.start..middle)?);
            range = middle..range.end;
        }
    }
    // Who has the old root knows that of all its entries.
    if range.start > 0 {
        proof.push(hashes.root(range)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether these hashes show that the one is the beginning of the other, by RFC 9162, section 2.1.4.2.
#[must_use]
pub fn has_grown(proof: &[Hash], old: Extent, new: Extent) -> bool {
    if old.size == 0 {
        return proof.is_empty() && old.root == EMPTY_HASH;
    }
    if old.size >= new.size {
        return proof.is_empty() && old == new;
    }
    let (mut node, mut last) = (old.size - 1, new.size - 1);
    while node % 2 == 1 {
        (node, last) = (node / 2, last / 2);
    }
    // The root over a power of two is known, and the proof goes on from it.
    let begin = old.size.is_power_of_two().then_some(old.root);
    let mut hashes = begin.into_iter().chain(proof.iter().copied());
    let Some(first) = hashes.next() else { return false };
    let (mut old_root, mut new_root) = (first, first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            (old_root, new_root) = (node_hash(hash, old_root), node_hash(hash, new_root));
            while node % 2 == 0 && node != 0 {
                (node, last) = (node / 2, last / 2);
            }
        } else {
            new_root = node_hash(new_root, hash);
        }
        (node, last) = (node / 2, last / 2);
    }
    last == 0 && old_root == old.root && new_root == new.root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use std::collections::BTreeMap;

    #[test]
    fn every_beginning_is_shown_to_be_one_and_nothing_else_is() {
        for size in [1, 2, 3, 7, 8, 255, 256, 257, 700] {
            let mut tree = Tree::default();
            let mut extents = vec![Extent { size: 0, root: tree.root() }];
            for index in 0..size {
                tree.append(format!("entry {index}").as_bytes()).unwrap();
                extents.push(Extent { size: index + 1, root: tree.root() });
            }
            let files: BTreeMap<_, _> =
                tree.take_files().into_iter().map(|file| (file.path, file.bytes)).collect();
            let new = extents[size as usize];
            let step = if size > 300 { 13 } else { 1 };
            for old in extents.iter().step_by(step) {
                let proof = consistency(&files, old.size, size).unwrap();
                assert!(has_grown(&proof, *old, new), "{} of {size}", old.size);
                if old.size > 0 {
                    // The library agrees.
                    tlog_tiles::check_tree(&proof, size, new.root, old.size, old.root).unwrap();
                }
                let longer = [&proof[..], &[Hash([7; 32])]].concat();
                assert!(!has_grown(&longer, *old, new));
                assert!(!has_grown(&proof, Extent { root: Hash([7; 32]), ..*old }, new));
                if old.size > 0 {
                    assert!(!has_grown(&proof, *old, Extent { root: Hash([7; 32]), ..new }));
                }
                for place in 0..proof.len() {
                    let mut other = proof.clone();
                    other[place].0[3] ^= 1;
                    assert!(!has_grown(&other, *old, new));
                    other.remove(place);
                    assert!(!has_grown(&other, *old, new));
                }
                let others = extents.iter().step_by(1 + size as usize / 8);
                for wrong in others.filter(|wrong| wrong.size != old.size && wrong.size > 0) {
                    let size = old.size;
                    assert!(!has_grown(&proof, Extent { size, ..*wrong }, new), "{size} as {}", wrong.size);
                }
            }
        }
        // However long a log says that it is.
        let endless = Extent { size: u64::MAX, root: Hash([1; 32]) };
        assert!(!has_grown(&[Hash([2; 32]); 63], Extent { size: 5, root: Hash([3; 32]) }, endless));
        assert!(!has_grown(
            &[],
            Extent { size: 9, root: Hash([1; 32]) },
            Extent { size: 8, root: Hash([1; 32]) }
        ));
    }
}
