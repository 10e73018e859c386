//! What is remembered of a window: 64 bits.
//!
//! Who follows a series sends each row many times: windows overlap. Who queries a model to copy it makes each window up. So the sketch
//! holds the least of the hashes of a window's neighbouring values (min-wise hashing: Broder 1997, "On the resemblance and containment
//! of documents"): two windows that share a share J of these have the same least hash with probability J. Of 64 rows moved on by
//! one, 97 % do; made up separately, none do. The other half says coarsely where the window lies (its mean, its spread, its last value).
//! Hashes have a seed: without it nobody can tell which rows to repeat.

use spinwell_core::split_mix_64;

/// What is remembered of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sketch(pub u64);

impl Sketch {
    /// The sketch of a window's values, in order. One hash for each value; nothing is allocated.
    #[must_use]
    pub fn of(values: &[f32], seed: u64) -> Self {
        // One value alone has no neighbour.
        let mut least =
            if values.len() == 1 { mixed(u64::from(values[0].to_bits()) ^ seed) } else { u64::MAX };
        let mut before = None;
        let (mut sum, mut squares) = (0.0f64, 0.0f64);
        for &value in values {
            let bits = u64::from(value.to_bits());
            least = before.map_or(least, |before: u64| least.min(mixed(before ^ bits)));
            before = Some(seed ^ bits << 32);
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
        }
        let count = values.len().max(1) as f64;
        let mean = sum / count;
        let spread = (squares / count - mean * mean).max(0.0).sqrt();
        let last = values.last().map_or(0.0, |last| f64::from(*last));
        let cell = octave(mean) << 24 | octave(spread) << 16 | octave(last - mean) << 8;
        Self(split_mix_64(seed, least) << 32 | cell)
    }

    /// What windows that overlap have in common.
    pub(super) fn overlap(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// A hash of where it lies, coarsely.
    pub(super) fn place(self) -> u64 {
        mixed(self.0 & 0xffff_ffff)
    }
}

/// A hash of a pair of values. Two products are enough: its upper bits, which decide what is least, depend on all of it.
fn mixed(pair: u64) -> u64 {
    let product = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product ^ product >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Sign and power of two of a number, in eight bits.
fn octave(value: f64) -> u64 {
    let exponent = (value.to_bits() >> 52 & 0x7ff).clamp(1_023 - 63, 1_023 + 63) - (1_023 - 63);
    u64::from(value.is_sign_negative()) << 7 | exponent
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    /// The share of neighbours among windows that have the same half.
    fn overlapping(windows: &[Vec<f32>]) -> f64 {
        let sketches: Vec<u32> = windows.iter().map(|window| Sketch::of(window, 5).overlap()).collect();
        let same = sketches.windows(2).filter(|pair| pair[0] == pair[1]).count();
        same as f64 / (sketches.len() - 1) as f64
    }

    #[test]
    fn windows_that_overlap_mostly_look_alike_and_others_do_not() {
        let mut rng = Rng::seeded(1);
        let series: Vec<f32> = (0..5_000).map(|_| rng.normal() as f32).collect();
        let moved_by = |rows: usize| -> Vec<Vec<f32>> {
            (0..series.len() - 64).step_by(rows).map(|at| series[at..at + 64].to_vec()).collect()
        };
        assert!(overlapping(&moved_by(1)) > 0.95);
        assert!((0.45..0.75).contains(&overlapping(&moved_by(16))));
        assert!(overlapping(&moved_by(64)) < 0.02);
    }

    #[test]
    fn counts_look_different_too_where_their_order_is() {
        let mut rng = Rng::seeded(2);
        let windows: Vec<Vec<f32>> =
            (0..500).map(|_| (0..64).map(|_| rng.below(1_000) as f32).collect()).collect();
        assert!(overlapping(&windows) < 0.02);
    }

    #[test]
    fn anything_has_a_sketch() {
        for values in [&[][..], &[f32::NAN], &[f32::INFINITY, f32::MAX], &[0.0; 9]] {
            assert_eq!(Sketch::of(values, 1), Sketch::of(values, 1));
        }
        assert_ne!(Sketch::of(&[1.0, 2.0], 1), Sketch::of(&[1.0, 2.0], 2));
    }
}
