//! Seeds of the fuzz targets, mangled by numbers that a seed makes: what tests run the targets' bodies on, where there is no fuzzer.

use spinwell_core::Rng;

/// Changes seeds in one to four places, by `words` and by bits, and runs the body on what comes out: it must not panic. Says how many of `runs`
/// could still be read; a seed that is not mangled must be, where it stands among the `good` first ones.
pub(crate) fn check(
    seeds: &[Vec<u8>],
    good: usize,
    words: &[&[u8]],
    runs: u64,
    body: fn(&[u8]) -> bool,
) -> usize {
    for (place, seed) in seeds.iter().enumerate() {
        assert!(body(seed) || place >= good, "seed {place} is refused");
    }
    let one = |number: u64| {
        let mut rng = Rng::seeded(number);
        let mut bytes = seeds[number as usize % seeds.len()].clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len().max(1) as u64) as usize;
            let end = (at + 1 + rng.below(12) as usize).min(bytes.len());
            let word = words[rng.below(words.len() as u64) as usize];
            let begin = at.min(bytes.len());
            match rng.below(6) {
                0 => drop(bytes.drain(begin..end)),
                1 | 2 => drop(bytes.splice(begin..begin, word.repeat(1 << rng.below(6)))),
                3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.next_u64() as u8),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            }
        }
        let read = std::panic::catch_unwind(|| body(&bytes));
        usize::from(read.unwrap_or_else(|_| panic!("seed {number}: {:?}", String::from_utf8_lossy(&bytes))))
    };
    (0..runs).map(one).sum()
}
