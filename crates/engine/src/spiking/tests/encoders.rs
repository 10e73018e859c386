//! Each encoder against its formula.

use super::*;
use crate::spiking::encode::{self, DELTA, FIELDS, Moment, Taps, write_lines};

const T: usize = 10;

/// The lines of one value.
fn lines(encoding: SpikeEncoding, value: f32) -> Vec<f32> {
    let mut lines = vec![f32::NAN; encode::lines_per_input(encoding)];
    write_lines(encoding, T, value, None, &mut lines);
    lines
}

/// In which dt of a row spikes arrive at a tap whose line holds `heard`.
fn spikes(encoding: SpikeEncoding, heard: f32) -> Vec<usize> {
    let arrives = |&substep: &usize| {
        let mut currents = [0.0];
        let taps = Taps { heard: &[heard], weights: &[2.0], delays: &[0], place: 0 };
        encode::arrive(encoding, Moment { seed: 1, row: 5, substep }, &taps, &mut currents);
        assert!(currents[0] == 0.0 || currents[0] == 2.0, "a spike brings its whole weight");
        currents[0] == 2.0
    };
    (0..T).filter(arrives).collect()
}

/// Values across [0, 1], its ends included.
fn values() -> impl Iterator<Item = f32> {
    (0..=1000).map(|step| step as f32 / 1000.0)
}

#[test]
fn current_is_the_distance_from_the_middle_and_values_are_limited() {
    for s in values() {
        assert_eq!(lines(SpikeEncoding::Current, s), [s - 0.5]);
    }
    for encoding in SpikeEncoding::ALL.into_iter().filter(|&e| e != SpikeEncoding::Delta) {
        assert_eq!(lines(encoding, 7.0), lines(encoding, 1.0), "{encoding:?}");
        assert_eq!(lines(encoding, -3.0), lines(encoding, 0.0), "{encoding:?}");
        assert_eq!(lines(encoding, f32::NAN), lines(encoding, 0.0), "{encoding:?}");
    }
}

/// t = T·(1 − s), one spike; the smallest values, whose spike would come after the row, have none.
#[test]
fn latency_is_one_spike_the_earlier_the_larger_the_value() {
    for s in values() {
        let due = (T as f32 * (1.0 - s)).floor() as usize;
        let expected: Vec<usize> = Some(due).filter(|&dt| dt < T).into_iter().collect();
        assert_eq!(spikes(SpikeEncoding::Latency, lines(SpikeEncoding::Latency, s)[0]), expected, "{s}");
    }
    assert_eq!(spikes(SpikeEncoding::Latency, lines(SpikeEncoding::Latency, 0.0)[0]), [0; 0]);
}

/// One spike at the phase 2π·s of an oscillation of one turn a row, which is there and has its amplitude.
#[test]
fn phase_is_one_spike_at_its_place_in_the_oscillation() {
    for s in values() {
        let due = ((s * T as f32).floor() as usize).min(T - 1);
        assert_eq!(spikes(SpikeEncoding::Phase, lines(SpikeEncoding::Phase, s)[0]), [due], "{s}");
    }
    let oscillation = bare(1, 1, SpikeEncoding::Phase, T).oscillation;
    assert_eq!(oscillation.len(), T);
    for (dt, current) in oscillation.iter().enumerate() {
        let wanted = 0.5 * (std::f64::consts::TAU * dt as f64 / T as f64).cos();
        assert!((f64::from(*current) - wanted).abs() < 1e-7);
    }
}

/// Gaussian fields at μ_i = (2i − 3)/2/(M − 2), i from 1, of width 1/(β·(M − 2)) with β = 1.5; below 0.1 nothing.
#[test]
fn population_is_gaussian_receptive_fields() {
    let m = FIELDS as f64;
    for s in values() {
        for (field, line) in lines(SpikeEncoding::Population, s).into_iter().enumerate() {
            let centre = (2.0 * (field + 1) as f64 - 3.0) / 2.0 / (m - 2.0);
            let width = 1.0 / (1.5 * (m - 2.0));
            let response = (-0.5 * ((f64::from(s) - centre) / width).powi(2)).exp();
            if (response - 0.1).abs() < 1e-5 {
                continue;
            }
            let wanted = if response < 0.1 { 0.0 } else { response };
            assert!((f64::from(line) - wanted).abs() < 2e-6, "{s} field {field}: {line} {wanted}");
        }
    }
}

/// The probability of a spike in each dt is the value, and dt, rows, taps and neurons are drawn apart.
#[test]
fn rate_is_the_probability_of_a_spike_in_each_dt() {
    let (neurons, rows) = (64, 100);
    for s in [0.0f32, 0.05, 0.3, 0.5, 0.9, 1.0] {
        let heard = vec![lines(SpikeEncoding::Rate, s)[0]; neurons];
        let mut fired = Vec::new();
        for row in 0..rows {
            for substep in 0..T {
                for place in 0..2 {
                    let mut currents = vec![0.0; neurons];
                    let taps = Taps { heard: &heard, weights: &[1.0; 64], delays: &[0; 64], place };
                    encode::arrive(
                        SpikeEncoding::Rate,
                        Moment { seed: 3, row, substep },
                        &taps,
                        &mut currents,
                    );
                    fired.push(currents);
                }
            }
        }
        let n = (fired.len() * neurons) as f32;
        let share = fired.iter().flatten().sum::<f32>() / n;
        let error = (s * (1.0 - s) / n).sqrt();
        assert!((share - s).abs() <= 4.0 * error, "{s}: {share}");
        if s == 0.5 {
            independent(&fired);
        }
    }
}

/// Draws that differ in their neuron, place, dt or row by one agree in half of all cases, to four standard errors.
fn independent(fired: &[Vec<f32>]) {
    for (name, apart) in [("place", 1), ("dt", 2), ("row", 2 * T)] {
        let pairs = fired.iter().zip(&fired[apart..]);
        let agree: Vec<bool> = pairs.flat_map(|(a, b)| a.iter().zip(b).map(|(x, y)| x == y)).collect();
        half(name, &agree);
    }
    let agree: Vec<bool> =
        fired.iter().flat_map(|draws| draws.windows(2).map(|pair| pair[0] == pair[1])).collect();
    half("neuron", &agree);
}

fn half(name: &str, agree: &[bool]) {
    let share = agree.iter().filter(|&&agrees| agrees).count() as f64 / agree.len() as f64;
    assert!((share - 0.5).abs() < 4.0 * 0.5 / (agree.len() as f64).sqrt(), "{name}: {share}");
}

/// Send-on-delta: ON spikes for each θ that a value rose since it last fired, OFF spikes for each that it fell, at
/// most one a dt, in the row's first dt.
#[test]
fn delta_fires_for_each_threshold_moved_since_it_last_fired() {
    let mut rng = Rng::seeded(2);
    let (mut value, mut reference, mut last_fired_at) = (0.5f32, 0.5f32, 0.5f64);
    let (mut quiet, mut most) = (0, 0);
    for row in 0..3000 {
        let stride = if row % 7 == 0 { 0.6 } else { 0.02 };
        value = (value + (stride * rng.normal()) as f32).clamp(0.0, 1.0);
        let mut lines = [f32::NAN; 2];
        write_lines(SpikeEncoding::Delta, T, value, Some(&mut reference), &mut lines);
        let moved = f64::from(value) - last_fired_at;
        let due = ((moved.abs() / f64::from(DELTA)).floor() as usize).min(T);
        let (on, off) = if moved > 0.0 { (due, 0) } else { (0, due) };
        assert_eq!(spikes(SpikeEncoding::Delta, lines[0]), (0..on).collect::<Vec<_>>(), "row {row}");
        assert_eq!(spikes(SpikeEncoding::Delta, lines[1]), (0..off).collect::<Vec<_>>(), "row {row}");
        if due > 0 {
            last_fired_at = f64::from(value);
        }
        quiet += usize::from(due == 0);
        most += usize::from(due == T);
    }
    assert!(quiet > 100 && most > 100, "{quiet} rows without, {most} rows with all spikes");
}
