//! A few phase oscillators that hear the population's rate: a rhythm that other reservoirs can follow.
//!
//! θ_i' = ω_i + (K/n)·Σ_j sin(θ_j − θ_i) + ε_i·u − F·sin θ_i   (Kuramoto 1975; with a field: Sakaguchi 1988, eq. 1)
//!
//! in the frame that rotates with the mean frequency. The field F is what the plain model lacks for our use: without
//! it a common phase shift is never undone, the phase is an integral of all that a stream has ever said, and a window
//! could not agree with the stream it is cut from. With it the phases settle at a place that u alone decides.
//!
//! The sum over pairs is n·(S·cos θ_i − C·sin θ_i) with C and S the means of cosine and sine, and one step of
//! Runge-Kutta's fourth order is taken each dt.

/// Oscillators: one vector register of 32-bit numbers.
pub(super) const OSCILLATORS: usize = 8;
/// Coupling K: 1.6 = 2/(π·g(0)) is where unit-normal frequencies begin to lock.
const COUPLING: f32 = 1.6;
/// Field F. As large as the fastest pace, ω + ε·u = 2, so that every oscillator settles, whatever the others do.
const FIELD: f32 = 2.0;
/// Time of one dt. Ten of them, the usual row, are one radian of the fastest oscillators.
const STEP: f32 = 0.1;
/// Frequencies are drawn from N(0, 1) and kept within ± this, so that none outruns coupling and field.
pub(super) const FREQUENCY_MAX: f64 = 1.5;

/// A value for each oscillator.
pub(super) type Each = [f32; OSCILLATORS];

/// Sine of `x` for |x| up to a few thousand, within 2e-7: x = k·π + r, |r| ≤ π/2, and the Taylor polynomial of
/// degree 11 (the first dropped term is below 6e-8). Bits are equal on every instruction set.
#[inline(always)]
pub(super) fn sine(x: f32) -> f32 {
    // Adding and subtracting 1.5·2^23 rounds a small float to a whole number.
    const ROUND: f32 = 12_582_912.0;
    // π in two parts, the first with trailing zeros, so that x − k·π loses nothing.
    const PI_HIGH: f32 = 3.140_625;
    const PI_LOW: f32 = 9.676_536e-4;
    let shifted = x.mul_add(std::f32::consts::FRAC_1_PI, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-PI_LOW, k.mul_add(-PI_HIGH, x));
    let square = r * r;
    let mut p = -1.0 / 39_916_800.0;
    for inverse in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0] {
        p = square.mul_add(p, inverse);
    }
    let value = (square * r).mul_add(p, r);
    // The sine of odd multiples of π beyond r is negated; k's parity stands in the lowest bit.
    f32::from_bits(value.to_bits() ^ (shifted.to_bits() << 31))
}

/// Means of the phases' cosines and sines: r·cos ψ and r·sin ψ with r the order parameter and ψ the mean phase.
#[inline(always)]
pub(super) fn order(phases: &Each) -> (f32, f32) {
    let (cosines, sines) = circle(phases);
    (mean(&cosines), mean(&sines))
}

#[inline(always)]
fn circle(phases: &Each) -> (Each, Each) {
    let (mut cosines, mut sines) = ([0.0; OSCILLATORS], [0.0; OSCILLATORS]);
    for i in 0..OSCILLATORS {
        cosines[i] = sine(phases[i] + std::f32::consts::FRAC_PI_2);
        sines[i] = sine(phases[i]);
    }
    (cosines, sines)
}

#[inline(always)]
fn mean(values: &Each) -> f32 {
    values.iter().sum::<f32>() * (1.0 / OSCILLATORS as f32)
}

/// The oscillators' speeds at `phases`; `pace` is ω + ε·u.
#[inline(always)]
fn speeds(phases: &Each, pace: &Each) -> Each {
    let (cosines, sines) = circle(phases);
    let (c, s) = (COUPLING.mul_add(mean(&cosines), FIELD), COUPLING * mean(&sines));
    let mut speeds = *pace;
    for i in 0..OSCILLATORS {
        speeds[i] = s.mul_add(cosines[i], (-c).mul_add(sines[i], speeds[i]));
    }
    speeds
}

#[inline(always)]
fn ahead(phases: &Each, by: f32, speeds: &Each) -> Each {
    let mut ahead = *phases;
    for i in 0..OSCILLATORS {
        ahead[i] = by.mul_add(speeds[i], ahead[i]);
    }
    ahead
}

/// Advances the phases by one dt; they stay within about ±π.
#[inline(always)]
pub(super) fn advance(phases: &mut Each, pace: &Each) {
    use std::f32::consts::{PI, TAU};
    let first = speeds(phases, pace);
    let second = speeds(&ahead(phases, STEP / 2.0, &first), pace);
    let third = speeds(&ahead(phases, STEP / 2.0, &second), pace);
    let fourth = speeds(&ahead(phases, STEP, &third), pace);
    for (i, phase) in phases.iter_mut().enumerate() {
        let middle = second[i] + third[i];
        let next = (STEP / 6.0).mul_add(2.0f32.mul_add(middle, first[i] + fourth[i]), *phase);
        let wrapped = if next < -PI { next + TAU } else { next };
        *phase = if next > PI { next - TAU } else { wrapped };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dispatch;
    use spinwell_core::Rng;

    #[test]
    fn the_sine_is_within_its_bound_and_has_the_same_bits_without_dispatch() {
        let mut worst = 0.0f64;
        for step in -200_000..=200_000 {
            let x = step as f32 * 1e-4;
            let value = dispatch(
                #[inline(always)]
                || sine(x),
            );
            worst = worst.max((f64::from(value) - f64::from(x).sin()).abs());
            if step % 97 == 0 {
                assert_eq!(value.to_bits(), sine(x).to_bits(), "{x}");
            }
        }
        assert!(worst <= 2e-7, "{worst:e}");
        for x in [1000.3f32, -2999.9] {
            assert!((f64::from(sine(x)) - f64::from(x).sin()).abs() < 1e-6, "{x}");
        }
    }

    /// The equation of the module's first lines, pair by pair, in 64 bits and steps a hundred times smaller.
    fn reference(phases: &mut [f64; OSCILLATORS], pace: &[f64; OSCILLATORS]) {
        for _ in 0..100 {
            let before = *phases;
            for i in 0..OSCILLATORS {
                let pairs: f64 = before.iter().map(|other| (other - before[i]).sin()).sum();
                phases[i] += 0.001 * (pace[i] + 1.6 / 8.0 * pairs - 2.0 * before[i].sin());
            }
        }
    }

    #[test]
    fn a_step_agrees_with_fine_steps_over_pairs() {
        let mut rng = Rng::seeded(1);
        let mut exact: [f64; OSCILLATORS] = std::array::from_fn(|_| rng.uniform_in(-3.0, 3.0));
        let mut phases = exact.map(|phase| phase as f32);
        for step in 0..200 {
            let pace: [f64; OSCILLATORS] =
                std::array::from_fn(|i| 0.3 * i as f64 - 1.0 + f64::from(step % 7) * 0.1);
            reference(&mut exact, &pace);
            advance(&mut phases, &pace.map(|value| value as f32));
        }
        for (phase, exact) in phases.iter().zip(exact) {
            let apart = (f64::from(*phase) - exact).sin().abs();
            assert!(apart < 2e-3, "{phase} {exact}");
        }
    }

    #[test]
    fn phases_forget_where_they_began_and_follow_what_they_hear() {
        for seed in 0..50 {
            let mut rng = Rng::seeded(seed);
            let drawn: [f64; OSCILLATORS] =
                std::array::from_fn(|_| rng.normal().clamp(-FREQUENCY_MAX, FREQUENCY_MAX));
            let settle = |rng: &mut Rng, u: f32| {
                let mut phases: Each = std::array::from_fn(|_| rng.uniform_in(-3.0, 3.0) as f32);
                let pace = drawn.map(|frequency| frequency as f32 + 0.5 * u);
                (0..600).for_each(|_| advance(&mut phases, &pace));
                assert!(phases.iter().all(|phase| phase.abs() <= std::f32::consts::PI + 1e-3));
                order(&phases)
            };
            let (a, b) = (settle(&mut rng, 0.5), settle(&mut rng, 0.5));
            assert!((a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3, "seed {seed}: {a:?} {b:?}");
            assert!(settle(&mut rng, 1.0).1 > a.1 + 0.02, "seed {seed}");
        }
    }
}
