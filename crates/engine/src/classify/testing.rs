//! What several tests of this module make their cases of.

use super::cases::{Case, Cases, Split};
use super::options::{ClassifierChoice, ClassifyOptions, ClassifySettings};
use super::series::Series;
use crate::echo::Echo;
use crate::spec::{EchoSettings, Topology};
use spinwell_core::Rng;

/// A series of independent walks that return to zero.
pub(super) fn random_series(rows: usize, channels: usize, step: f32, seed: u64) -> Series {
    let mut rng = Rng::seeded(seed);
    let mut values = Vec::new();
    for _ in 0..channels {
        let mut value = 0.0;
        for _ in 0..rows {
            value = 0.9 * value + step * rng.normal() as f32;
            values.push(value);
        }
    }
    Series { rows, values }
}

/// A dense reservoir of twenty units.
pub(super) fn small_echo(channels: usize) -> Echo<f32> {
    let settings = EchoSettings {
        units: 20,
        topology: Topology::Random,
        density: 1.0,
        spectral_radius: 0.9,
        leak: 0.4,
        input_scale: 0.5,
        bias_scale: 0.2,
        seed: 5,
    };
    Echo::draw(&settings, channels)
}

/// What a set of made-up cases looks like.
#[derive(Clone, Copy)]
pub(super) struct Made {
    /// Cases of each split.
    pub(super) cases: usize,
    /// Classes, which differ by the period and the level of a wave in noise.
    pub(super) classes: usize,
    /// Channels; the wave is in the first, the others are noise.
    pub(super) channels: usize,
    /// Shortest and longest series.
    pub(super) rows: (usize, usize),
    /// Which noise.
    pub(super) seed: u64,
}

/// Sixty short noisy waves of two periods for training and as many for testing.
pub(super) const MADE: Made = Made { cases: 60, classes: 2, channels: 1, rows: (30, 30), seed: 1 };

/// Makes up cases, training and test cases by turns.
pub(super) fn made(made: &Made) -> Cases {
    let mut rng = Rng::seeded(made.seed);
    let mut cases = Vec::new();
    for index in 0..2 * made.cases {
        let label = index / 2 % made.classes;
        let rows = made.rows.0 + rng.below((made.rows.1 - made.rows.0 + 1) as u64) as usize;
        let (phase, period) = (rng.uniform_in(0.0, 6.3), 4.0 + 3.0 * label as f64);
        let mut values = Vec::new();
        for row in 0..rows {
            let wave = (phase + std::f64::consts::TAU * row as f64 / period).sin();
            values.push(100.0 + 3.0 * label as f64 + 5.0 * wave + 2.0 * rng.normal());
            values.extend((1..made.channels).map(|_| rng.normal()));
        }
        let split = if index % 2 == 0 { Split::Train } else { Split::Test };
        cases.push(Case { label, split, values, row: index + 1 });
    }
    Cases {
        channels: (0..made.channels).map(|channel| format!("c{channel}")).collect(),
        labels: (0..made.classes).map(|class| format!("class {class}")).collect(),
        known: made.classes,
        label_column: "label".to_owned(),
        cases,
    }
}

/// Options for a search of a moment.
pub(super) fn quick(family: ClassifierChoice) -> ClassifyOptions {
    let settings = ClassifySettings { features: Some(1000), units: Some(20), ..ClassifySettings::default() };
    ClassifyOptions { family, trials: 12, seed: 3, settings }
}
