//! What the population is said to do, where it is known.

use super::*;
use crate::spiking::Activity;

/// What `rows` rows of `input` make of a liquid.
fn activity(weights: LiquidWeights, rows: usize, mut input: impl FnMut(usize) -> Vec<f32>) -> Activity {
    let liquid = Liquid::new(weights).unwrap();
    let mut state = liquid.fresh();
    (0..rows).for_each(|row| liquid.step(&mut state, &input(row), &mut Work::default()));
    liquid.activity(&state)
}

#[test]
fn neurons_that_are_alike_are_in_synchrony_and_independent_ones_by_one_part_in_their_number() {
    for n in [16, 64] {
        let mut alike = bare(n, 1, SpikeEncoding::Current, 10);
        alike.tap_weights.fill(4.0);
        let rows = noise(400, 1, 6);
        let synchrony = activity(alike, 400, |row| rows[row].clone()).synchrony;
        assert!((synchrony - 1.0).abs() < 1e-3, "{n} alike: {synchrony}");

        // A mean of 64 rows that remember each other a little is known to a fifth.
        let rows = noise(400, n, 7);
        let apart = bare(n, n, SpikeEncoding::Current, 10);
        let synchrony = activity(apart, 400, |row| rows[row].clone()).synchrony * n as f32;
        assert!((0.4..2.0).contains(&synchrony), "{n} independent: {synchrony} / {n}");
    }
    let silent = activity(bare(8, 1, SpikeEncoding::Current, 10), 50, |_| vec![0.5]);
    assert_eq!(silent, Activity::default());
}

/// Neurons of different thresholds and time constants whose rate rises with their one input.
fn followers(neurons: usize, bias: f32) -> LiquidWeights {
    let settings = SpikingSettings {
        neurons,
        delay_max: 0,
        density: 0.0,
        fan_in: 1,
        gain: 2.0,
        ..SpikingSettings::default()
    };
    let mut weights = draw(&settings, 1);
    weights.tap_weights.iter_mut().for_each(|weight| *weight = weight.abs());
    weights.bias.iter_mut().for_each(|own| *own += bias);
    weights
}

/// Resonators stand a fifth apart; between two of them the mean by power is off by less than half of that.
#[test]
fn the_dominant_frequency_is_that_of_the_rhythm_they_hear() {
    for period in [4.0f32, 7.0, 12.0, 25.0, 50.0] {
        let wave = |row: usize| vec![0.5 + 0.45 * (row as f32 * std::f32::consts::TAU / period).sin()];
        let found = activity(followers(200, 0.0), 400, wave);
        let ratio = found.dominant_frequency * period;
        assert!((0.9..1.1).contains(&ratio), "period {period}: {found:?}");
        assert!(found.rate > 0.01, "{found:?}");
    }
}

#[test]
fn a_pulse_is_a_burst_and_a_steady_rate_is_none() {
    for every in [8, 20] {
        let pulses = |row: usize| vec![if row % every == every - 1 { 1.0 } else { 0.0 }];
        let found = activity(followers(200, 0.3), 40 * every, pulses);
        let per_pulse = found.burst_rate * every as f32;
        // The mean over 64 rows swings by a sixth between pulses twenty rows apart.
        assert!((0.8..1.25).contains(&per_pulse), "every {every} rows: {found:?}");
    }
    let steady = activity(followers(200, 0.8), 800, |_| vec![0.8]);
    assert!(steady.burst_rate < 0.005 && steady.rate > 0.02, "{steady:?}");
}

#[test]
fn its_numbers_have_their_names() {
    let activity = Activity { rate: 0.1, synchrony: 0.2, burst_rate: 0.3, dominant_frequency: 0.4 };
    let names = ["rate", "synchrony", "burst_rate", "dominant_frequency"];
    assert_eq!(activity.named().map(|(name, _)| name), names);
    assert_eq!(activity.named().map(|(_, value)| value), [0.1, 0.2, 0.3, 0.4]);
}
