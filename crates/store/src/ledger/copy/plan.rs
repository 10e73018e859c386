//! Which files of a log a checkpoint needs.

use spinwell_ledger::{entries_path, tile_path};

/// Hashes of a tile, and entries of a bundle: C2SP tlog-tiles.
pub(super) const TILE: u64 = 256;

/// The tiles and the bundle that became full with the bundle of this number.
pub(super) fn full_with(number: u64) -> Vec<String> {
    let mut files = vec![entries_path(number, TILE), tile_path(0, number, TILE)];
    let (mut level, mut count) = (1u8, number + 1);
    while count.is_multiple_of(TILE) {
        count /= TILE;
        files.push(tile_path(level, count - 1, TILE));
        level += 1;
    }
    files
}

/// What is not full in a log of so many entries.
pub(super) fn parts(size: u64) -> Vec<String> {
    let (mut files, mut level, mut count) = (Vec::new(), 0u8, size);
    while count > 0 {
        let (number, width) = (count / TILE, count % TILE);
        if width > 0 {
            if level == 0 {
                files.push(entries_path(number, width));
            }
            files.push(tile_path(level, number, width));
        }
        (level, count) = (level + 1, number);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_ledger::Tree;
    use std::collections::BTreeSet;

    #[test]
    fn files_are_those_that_a_tree_writes() {
        for size in [0, 1, 255, 256, 257, 511, 512, 3_000, 65_535, 65_536, 65_537, 66_000] {
            let mut tree = Tree::default();
            for _ in 0..size {
                tree.append(b"").unwrap();
            }
            let written: BTreeSet<String> = tree.take_files().into_iter().map(|file| file.path).collect();
            let planned: BTreeSet<String> = (0..size / TILE).flat_map(full_with).chain(parts(size)).collect();
            assert_eq!(planned, written, "{size}");
        }
    }
}
