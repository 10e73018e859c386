//! Mangled files of a node through the bodies of the fuzz targets.

use crate::start_up::{self, SERVING};
use spinwell_core::Rng;

/// Changes seeds in one to four places, and checks that some but not all of what comes out can still be read.
fn check(seeds: &[Vec<u8>], words: &[&[u8]], body: fn(&[u8]) -> bool) {
    assert!(seeds.iter().all(|seed| body(seed)), "a seed is refused");
    let one = |seed: u64| {
        let mut rng = Rng::seeded(seed);
        let mut bytes = seeds[seed as usize % seeds.len()].clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len().max(1) as u64) as usize;
            let end = (at + 1 + rng.below(12) as usize).min(bytes.len());
            let word = words[rng.below(words.len() as u64) as usize];
            match rng.below(6) {
                0 => drop(bytes.drain(at.min(end)..end)),
                1 | 2 => drop(
                    bytes.splice(at.min(bytes.len())..at.min(bytes.len()), word.repeat(1 << rng.below(8))),
                ),
                3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.next_u64() as u8),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            }
        }
        let read = std::panic::catch_unwind(|| body(&bytes));
        usize::from(read.unwrap_or_else(|_| panic!("seed {seed}: {:?}", String::from_utf8_lossy(&bytes))))
    };
    let read: usize = (0..4000).map(one).sum();
    assert!(read > 80 && read < 4000, "{read} of 4000 were read");
}

#[test]
fn mangled_serving_files_are_refused_or_understood() {
    let seeds: Vec<Vec<u8>> = SERVING.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words: [&[u8]; 14] = [
        b"[",
        b"]\n",
        b"x",
        b"=",
        b"{",
        b"}",
        b"-1",
        b"1e999",
        b"nan",
        b"\"\\u0000\"",
        b" ",
        b"\n",
        b"#",
        b"0",
    ];
    check(&seeds, &words, start_up::serving_toml);
}

#[test]
fn mangled_entries_of_the_log_are_refused_or_read() {
    check(&start_up::log_entries(), &[b"\xff", b"\x80", b"\0", b"\x01"], start_up::log_entry);
}
