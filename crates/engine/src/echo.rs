//! The echo-state reservoir: a fixed random recurrent network that is only listened to.
//!
//! x ← (1 − a)·x + a·tanh(W·x + W_in·u + b)   (Jaeger 2001; leaky form: Lukoševičius 2012, eq. 2-3)
//!
//! with u the standardised channels of the row and, where asked for, the values one season before the targets.
//! W has the given spectral radius, estimated by the growth of ‖Wᵏv‖ (Gelfand's formula), which also converges
//! where the largest eigenvalues are a complex pair and a plain power iteration does not.

use crate::kernel::{LANES, Panels, ROWS_MAX, SparsePanels, SparseRows, WideState, tanh_in_place};
use crate::spec::EchoSettings;
use spinwell_core::Rng;

/// Inputs are clipped to this many standard deviations: beyond it a unit is saturated anyway.
const INPUT_LIMIT: f32 = 4.0;

/// The recurrent part in its stored form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recurrent {
    /// Row-major, units × units.
    Dense(Vec<f32>),
    /// Compressed rows.
    Sparse(SparseRows),
}

/// The weights as they stand in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    /// Units of the reservoir.
    pub(crate) units: usize,
    /// Inputs of a step, the constant 1 not counted.
    pub(crate) inputs: usize,
    /// Share of the state that a step renews.
    pub(crate) leak: f32,
    /// Recurrent weights, already scaled to the spectral radius.
    pub(crate) recurrent: Recurrent,
    /// Row-major, units × (inputs + 1); the last column is the bias.
    pub(crate) input: Vec<f32>,
}

impl Weights {
    /// Draws the weights of `settings` for `inputs` input values a step.
    pub(crate) fn draw(settings: &EchoSettings, inputs: usize) -> Self {
        let units = settings.units;
        let mut rng = Rng::seeded(settings.seed);
        let mut sparse = SparseRows { starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for _ in 0..units {
            for column in 0..units {
                if settings.density >= 1.0 || rng.uniform() < settings.density {
                    sparse.columns.push(column as u32);
                    sparse.values.push(rng.uniform_in(-1.0, 1.0) as f32);
                }
            }
            sparse.starts.push(sparse.values.len() as u32);
        }
        let radius = spectral_radius(&sparse, &mut rng);
        let scale = if radius > 0.0 { settings.spectral_radius / radius } else { 0.0 };
        for value in &mut sparse.values {
            *value = (f64::from(*value) * scale) as f32;
        }
        let mut input = Vec::with_capacity(units * (inputs + 1));
        for _ in 0..units {
            for _ in 0..inputs {
                input.push(rng.uniform_in(-settings.input_scale, settings.input_scale) as f32);
            }
            input.push(rng.uniform_in(-settings.bias_scale, settings.bias_scale) as f32);
        }
        let recurrent =
            if settings.density >= 1.0 { Recurrent::Dense(sparse.values) } else { Recurrent::Sparse(sparse) };
        Self { units, inputs, leak: settings.leak as f32, recurrent, input }
    }
}

/// The spectral radius of a sparse square matrix by Gelfand's formula: the mean logarithmic growth of a vector's
/// norm over 200 products, after 100 that let it settle.
fn spectral_radius(matrix: &SparseRows, rng: &mut Rng) -> f64 {
    let rows = matrix.rows();
    let mut vector: Vec<f64> = (0..rows).map(|_| rng.normal()).collect();
    let mut growth = 0.0;
    let (settle, measure) = (100, 200);
    for step in 0..settle + measure {
        let next: Vec<f64> = (0..rows)
            .map(|row| {
                (matrix.starts[row] as usize..matrix.starts[row + 1] as usize)
                    .map(|entry| f64::from(matrix.values[entry]) * vector[matrix.columns[entry] as usize])
                    .sum()
            })
            .collect();
        let norm = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm < 1e-300 {
            return 0.0;
        }
        if step >= settle {
            growth += norm.ln();
        }
        vector = next.into_iter().map(|v| v / norm).collect();
    }
    (growth / f64::from(measure)).exp()
}

/// A reservoir ready to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservoir {
    weights: Weights,
    kernel: Kernel,
}

#[derive(Debug, Clone, PartialEq)]
enum Kernel {
    /// State, inputs and bias in one product.
    Dense(Panels),
    /// Inputs and bias first, then the recurrent rows.
    Sparse(Panels, SparsePanels),
}

impl Reservoir {
    /// Packs weights for the kernels.
    pub(crate) fn new(weights: Weights) -> Self {
        let (units, extra) = (weights.units, weights.inputs + 1);
        let kernel = match &weights.recurrent {
            Recurrent::Sparse(rows) => {
                Kernel::Sparse(Panels::pack(&weights.input, units, extra), SparsePanels::pack(rows))
            }
            Recurrent::Dense(matrix) => {
                let rows = matrix.chunks_exact(units).zip(weights.input.chunks_exact(extra));
                let joined: Vec<f32> = rows.flat_map(|(a, b)| a.iter().chain(b).copied()).collect();
                Kernel::Dense(Panels::pack(&joined, units, units + extra))
            }
        };
        Self { weights, kernel }
    }

    /// The weights as they stand in a file.
    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Units of the reservoir.
    pub(crate) fn units(&self) -> usize {
        self.weights.units
    }

    /// A stream's vector before its first row: the state (zeros), room for the inputs, and the constant 1.
    pub(crate) fn fresh(&self) -> Vec<f32> {
        let mut vector = vec![0.0; self.weights.units + self.weights.inputs + 1];
        if let Some(last) = vector.last_mut() {
            *last = 1.0;
        }
        vector
    }

    /// The slots of a stream's vector that the next step's inputs are written to.
    pub(crate) fn inputs<'v>(&self, vector: &'v mut [f32]) -> &'v mut [f32] {
        &mut vector[self.weights.units..][..self.weights.inputs]
    }

    /// Scratch that a step of `streams` streams needs.
    pub(crate) fn scratch_len(&self) -> usize {
        self.weights.units.next_multiple_of(LANES)
    }

    /// Advances the vectors of a few streams by one row each. `scratch` holds one output per stream.
    #[inline(always)]
    pub(crate) fn step<const STREAMS: usize>(
        &self,
        vectors: &mut [&mut [f32]; STREAMS],
        scratch: &mut [&mut [f32]; STREAMS],
    ) {
        let units = self.weights.units;
        for vector in vectors.iter_mut() {
            for input in self.inputs(vector) {
                *input = input.clamp(-INPUT_LIMIT, INPUT_LIMIT);
            }
        }
        match &self.kernel {
            Kernel::Dense(panels) => panels.multiply(std::array::from_fn(|s| &*vectors[s]), scratch),
            Kernel::Sparse(panels, recurrent) => {
                panels.multiply(std::array::from_fn(|s| &vectors[s][units..]), scratch);
                let mut wide: WideState = [0.0; ROWS_MAX];
                for (vector, scratch) in vectors.iter().zip(scratch.iter_mut()) {
                    wide[..units].copy_from_slice(&vector[..units]);
                    recurrent.multiply_add(&wide, scratch);
                }
            }
        }
        let leak = self.weights.leak;
        for (vector, scratch) in vectors.iter_mut().zip(scratch.iter_mut()) {
            let (lanes, _) = scratch.as_chunks_mut::<LANES>();
            for lanes in lanes.iter_mut() {
                tanh_in_place(lanes);
            }
            for (state, fresh) in vector[..units].iter_mut().zip(scratch.iter()) {
                *state = leak.mul_add(*fresh - *state, *state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dispatch;

    fn settings(density: f64) -> EchoSettings {
        EchoSettings {
            units: 60,
            density,
            spectral_radius: 0.9,
            leak: 0.4,
            input_scale: 0.5,
            bias_scale: 0.2,
            seasonal_inputs: vec![],
            seed: 11,
        }
    }

    fn row_major(weights: &Weights) -> Vec<f64> {
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

    #[test]
    fn the_spectral_radius_agrees_with_the_eigenvalues() {
        for density in [1.0, 0.2] {
            let weights = Weights::draw(&settings(density), 1);
            let matrix = row_major(&weights);
            let faer = faer::Mat::from_fn(60, 60, |r, c| matrix[r * 60 + c]);
            let largest = faer.eigenvalues().unwrap().iter().map(|e| e.re.hypot(e.im)).fold(0.0, f64::max);
            assert!((largest - 0.9).abs() < 0.02, "density {density}: {largest}");
        }
    }

    #[test]
    fn a_step_is_the_equation_in_64_bits_to_the_precision_of_32() {
        for density in [1.0, 0.2] {
            let weights = Weights::draw(&settings(density), 2);
            let matrix = row_major(&weights);
            let reservoir = Reservoir::new(weights.clone());
            let mut vector = reservoir.fresh();
            let mut scratch = vec![0.0; reservoir.scratch_len()];
            let mut exact = vec![0.0f64; 60];
            for step in 0..50 {
                let inputs = [(step as f32 * 0.3).sin(), -0.5];
                reservoir.inputs(&mut vector).copy_from_slice(&inputs);
                dispatch(
                    #[inline(always)]
                    || reservoir.step(&mut [&mut vector[..]], &mut [&mut scratch[..]]),
                );
                let before = exact.clone();
                for unit in 0..60 {
                    let row = &weights.input[unit * 3..][..3];
                    let drive: f64 = (0..60).map(|c| matrix[unit * 60 + c] * before[c]).sum::<f64>()
                        + f64::from(row[0]) * f64::from(inputs[0])
                        + f64::from(row[1]) * f64::from(inputs[1])
                        + f64::from(row[2]);
                    exact[unit] = 0.6 * before[unit] + 0.4 * drive.tanh();
                }
            }
            for unit in 0..60 {
                assert!(
                    (f64::from(vector[unit]) - exact[unit]).abs() < 1e-5,
                    "density {density}, unit {unit}"
                );
            }
        }
    }
}
