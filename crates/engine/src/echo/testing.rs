//! What the tests of weights and steps share.

use super::{Recurrent, Weights};
use crate::spec::{EchoSettings, Topology};

/// Sixty units, a few of their weights or all.
pub(super) fn settings(density: f64) -> EchoSettings {
    EchoSettings {
        units: 60,
        topology: Topology::Random,
        density,
        spectral_radius: 0.9,
        leak: 0.4,
        input_scale: 0.5,
        bias_scale: 0.2,
        seed: 11,
    }
}

/// The recurrent weights in full.
pub(super) fn row_major(weights: &Weights<f32>) -> Vec<f64> {
    let n = weights.units;
    match &weights.recurrent {
        Recurrent::Dense(matrix) => matrix.iter().map(|&w| f64::from(w)).collect(),
        Recurrent::Sparse(rows) => {
            let mut matrix = vec![0.0; n * n];
            for row in 0..n {
                for entry in rows.starts[row] as usize..rows.starts[row + 1] as usize {
                    matrix[row * n + rows.columns[entry] as usize] = f64::from(rows.values[entry]);
                }
            }
            matrix
        }
    }
}
