//! The encoders: what a row of values in [0, 1] is to the neurons.
//!
//! Once a row, values become **lines** (one to eight a value), which is all that is remembered of the row. A neuron
//! hears lines of past rows, and within a row each line is either a steady current or says at which dt a fibre
//! fires. An axon with a delay of d rows therefore carries exactly what it would have carried d rows ago, chance
//! included: the rate encoding draws from a hash of seed, row, dt and tap instead of a generator with a state.
//!
//! All is +, −, ·, comparison and rounding, so bits are equal on every machine.

use super::SpikeEncoding;

/// Receptive fields of a value, M: eight resolve a value to a few per cent.
pub(super) const FIELDS: usize = 8;
/// Width of a receptive field: σ = 1 / (β·(M − 2)) (Bohte, Kok & La Poutré 2002, §4 use 1.5).
const BETA: f32 = 1.5;
/// Responses of a field below this are none.
const RESPONSE_MIN: f32 = 0.1;
/// A fibre of the delta encoding fires once for each such change: ten times for the mean change of uniform noise.
pub(super) const DELTA: f32 = 1.0 / 32.0;
/// The middle of the range is no current, so that positive and negative weights weigh the same.
const MIDDLE: f32 = 0.5;

/// Lines of each value.
pub(super) const fn lines_per_input(encoding: SpikeEncoding) -> usize {
    match encoding {
        SpikeEncoding::Current | SpikeEncoding::Rate | SpikeEncoding::Latency | SpikeEncoding::Phase => 1,
        SpikeEncoding::Delta => 2,
        SpikeEncoding::Population => FIELDS,
    }
}

/// What a line holds of a row that never was: nothing is heard of it.
pub(super) const fn silence(encoding: SpikeEncoding) -> f32 {
    match encoding {
        SpikeEncoding::Latency | SpikeEncoding::Phase => NEVER,
        _ => 0.0,
    }
}

/// The dt of a spike that does not come.
const NEVER: f32 = -1.0;

/// Whether lines are steady currents instead of spikes.
pub(super) const fn is_steady(encoding: SpikeEncoding) -> bool {
    matches!(encoding, SpikeEncoding::Current | SpikeEncoding::Population)
}

/// Whether the encoder itself remembers something: where each value stood when its fibres last fired.
pub(super) const fn has_references(encoding: SpikeEncoding) -> bool {
    matches!(encoding, SpikeEncoding::Delta)
}

/// The value within [0, 1], 0 if it is not a number.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp hands on what is not a number, max and min drop it")]
pub(super) fn limited(value: f32) -> f32 {
    value.max(0.0).min(1.0)
}

/// Writes the lines of one value, which is limited to [0, 1] (not a number counts as 0). `reference` is what the delta
/// encoding compares with.
#[inline(always)]
pub(super) fn write_lines(
    encoding: SpikeEncoding,
    substeps: usize,
    value: f32,
    reference: Option<&mut f32>,
    lines: &mut [f32],
) {
    let s = limited(value);
    let last = (substeps - 1) as f32;
    let duration = substeps as f32;
    match encoding {
        SpikeEncoding::Current => lines[0] = s - MIDDLE,
        SpikeEncoding::Rate => lines[0] = s,
        SpikeEncoding::Latency => {
            let dt = (duration * (1.0 - s)).floor();
            lines[0] = if dt > last { NEVER } else { dt };
        }
        // The whole circle is the last dt, not the first of the next turn: 0 and 1 must not look alike.
        SpikeEncoding::Phase => lines[0] = (duration * s).floor().min(last),
        SpikeEncoding::Population => {
            for (field, line) in lines.iter_mut().enumerate() {
                let response = response(field, s);
                *line = if response < RESPONSE_MIN { 0.0 } else { response };
            }
        }
        SpikeEncoding::Delta => {
            let reference = reference.expect("the delta encoding has a reference for each value");
            let moved = s - *reference;
            let spikes = (moved.abs() * (1.0 / DELTA)).floor().min(duration);
            lines[0] = if moved > 0.0 { spikes } else { 0.0 };
            lines[1] = if moved > 0.0 { 0.0 } else { spikes };
            if spikes > 0.0 {
                *reference = s;
            }
        }
    }
}

/// Centre of a receptive field: (2i − 3) / (2·(M − 2)) for i = 1..M.
fn centre(field: usize) -> f32 {
    (2.0 * field as f32 - 1.0) * (0.5 / (FIELDS as f32 - 2.0))
}

/// Response of a receptive field to a value: the Gaussian around its centre.
#[inline(always)]
fn response(field: usize, s: f32) -> f32 {
    let z = (s - centre(field)) * (BETA * (FIELDS as f32 - 2.0));
    exponential(-0.5 * z * z)
}

/// e^x for x ≤ 0, within 1e-6 where it exceeds [`RESPONSE_MIN`] and below that where it does not: the eighth power
/// of the Taylor polynomial at x/8.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    let x = x.max(-4.0) * 0.125;
    let mut p = 1.0 / 5040.0;
    for inverse in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = x.mul_add(p, inverse);
    }
    let square = p * p;
    let fourth = square * square;
    fourth * fourth
}

/// The taps of one place in every neuron's fan, side by side.
pub(super) struct Taps<'a> {
    /// What each hears in this row.
    pub(super) heard: &'a [f32],
    /// What a spike adds to its neuron's current.
    pub(super) weights: &'a [f32],
    /// Rows that it is late.
    pub(super) delays: &'a [u32],
    /// Which place of the fan it is.
    pub(super) place: u32,
}

/// When it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    /// Which spikes are drawn.
    pub(super) seed: u64,
    /// Rows that the stream has had before this one.
    pub(super) row: u64,
    /// The dt of the row.
    pub(super) substep: usize,
}

/// Adds the spikes that arrive in one dt to the neurons' currents.
#[inline(always)]
pub(super) fn arrive(encoding: SpikeEncoding, moment: Moment, taps: &Taps<'_>, currents: &mut [f32]) {
    let now = moment.substep as f32;
    let each = currents.iter_mut().zip(taps.heard).zip(taps.weights);
    match encoding {
        SpikeEncoding::Current | SpikeEncoding::Population => {}
        SpikeEncoding::Latency | SpikeEncoding::Phase => {
            for ((current, &heard), &weight) in each {
                *current += if heard == now { weight } else { 0.0 };
            }
        }
        SpikeEncoding::Delta => {
            for ((current, &heard), &weight) in each {
                *current += if now < heard { weight } else { 0.0 };
            }
        }
        SpikeEncoding::Rate => {
            let seed = moment.seed as u32 ^ (moment.seed >> 32) as u32 ^ (moment.row >> 32) as u32;
            let fibre = taps.place.wrapping_mul(0xb529_7a4d);
            let time = (moment.substep as u32).wrapping_mul(0x68e3_1da4) ^ seed;
            for (neuron, (((current, &heard), &weight), &delay)) in each.zip(taps.delays).enumerate() {
                let row = (moment.row as u32).wrapping_sub(delay).wrapping_mul(0x9e37_79b1);
                let fibre = fibre.wrapping_add((neuron as u32).wrapping_mul(0x1b56_c4e9));
                *current += if uniform(row ^ time.wrapping_add(fibre)) < heard { weight } else { 0.0 };
            }
        }
    }
}

/// A number in [0, 1) that looks random in `key`: the finaliser of MurmurHash3 (Appleby 2011), of which 24 bits are used.
#[inline(always)]
fn uniform(key: u32) -> f32 {
    let mut h = key;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^= h >> 16;
    (h >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}
