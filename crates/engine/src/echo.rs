//! The echo-state reservoir: a fixed random recurrent network that is only listened to.
//!
//! x ← (1 − a)·x + a·tanh(W·x + W_in·u + b)   (Jaeger 2001; leaky form: Lukoševičius 2012, eq. 2-3)
//!
//! with u the standardised channels of the row and, where asked for, the values one season before the targets.
//! W has the given spectral radius, estimated by the growth of ‖Wᵏv‖ (Gelfand's formula), which also converges
//! where the largest eigenvalues are a complex pair and a plain power iteration does not.

use crate::kernel::{LANES, Panels, ROWS_MAX, Real, SparsePanels, SparseRows, WideState, tanh_in_place};
use crate::spec::{EchoSettings, Topology};
use spinwell_core::Rng;

/// Inputs are clipped to this many standard deviations: beyond it a unit is saturated anyway.
const INPUT_LIMIT: f64 = 4.0;

/// The recurrent part in its stored form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recurrent<R> {
    /// Row-major, units × units.
    Dense(Vec<R>),
    /// Compressed rows.
    Sparse(SparseRows<R>),
}

/// The weights as they stand in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights<R> {
    /// Units of the reservoir.
    pub(crate) units: usize,
    /// Inputs of a step, the constant 1 not counted.
    pub(crate) inputs: usize,
    /// Share of the state that a step renews.
    pub(crate) leak: R,
    /// Recurrent weights, already scaled to the spectral radius.
    pub(crate) recurrent: Recurrent<R>,
    /// Row-major, units × (inputs + 1); the last column is the bias.
    pub(crate) input: Vec<R>,
}

impl<R: Real> Weights<R> {
    /// Draws the weights of `settings` for `inputs` input values a step.
    pub(crate) fn draw(settings: &EchoSettings, inputs: usize) -> Self {
        let units = settings.units;
        let mut rng = Rng::seeded(settings.seed);
        let recurrent = match settings.topology {
            Topology::Random => random(settings, &mut rng),
            Topology::Orthogonal => {
                let radius = settings.spectral_radius;
                let matrix = orthogonal(units, &mut rng);
                Recurrent::Dense(matrix.into_iter().map(|w| R::narrow(w * radius)).collect())
            }
            Topology::Cycle => Recurrent::Sparse(cycle(units, R::narrow(settings.spectral_radius))),
        };
        let mut input = Vec::with_capacity(units * (inputs + 1));
        for _ in 0..units {
            for _ in 0..inputs {
                input.push(R::narrow(rng.uniform_in(-settings.input_scale, settings.input_scale)));
            }
            input.push(R::narrow(rng.uniform_in(-settings.bias_scale, settings.bias_scale)));
        }
        Self { units, inputs, leak: R::narrow(settings.leak), recurrent, input }
    }
}

/// Independent weights, scaled to the spectral radius.
fn random<R: Real>(settings: &EchoSettings, rng: &mut Rng) -> Recurrent<R> {
    let units = settings.units;
    let mut sparse = SparseRows { starts: vec![0], columns: Vec::new(), values: Vec::new() };
    for _ in 0..units {
        for column in 0..units {
            if settings.density >= 1.0 || rng.uniform() < settings.density {
                sparse.columns.push(column as u32);
                sparse.values.push(rng.uniform_in(-1.0, 1.0));
            }
        }
        sparse.starts.push(sparse.values.len() as u32);
    }
    let radius = spectral_radius(&sparse, rng);
    let scale = if radius > 0.0 { settings.spectral_radius / radius } else { 0.0 };
    let values: Vec<R> = sparse.values.iter().map(|value| R::narrow(value * scale)).collect();
    if settings.density >= 1.0 {
        return Recurrent::Dense(values);
    }
    Recurrent::Sparse(SparseRows { starts: sparse.starts, columns: sparse.columns, values })
}

/// A random orthogonal matrix, row-major: Gaussian rows made orthonormal one after the other (modified Gram-Schmidt,
/// each row twice, which keeps them orthogonal to working precision).
fn orthogonal(units: usize, rng: &mut Rng) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(units);
    for _ in 0..units {
        let mut row: Vec<f64> = (0..units).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for other in &rows {
                let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
        rows.push(row);
    }
    rows.concat()
}

/// Unit i hears unit i − 1 and no other.
fn cycle<R: Real>(units: usize, weight: R) -> SparseRows<R> {
    SparseRows {
        starts: (0..=units as u32).collect(),
        columns: (0..units).map(|unit| ((unit + units - 1) % units) as u32).collect(),
        values: vec![weight; units],
    }
}

/// The spectral radius of a sparse square matrix by Gelfand's formula: the mean logarithmic growth of a vector's
/// norm over 200 products, after 100 that let it settle.
fn spectral_radius(matrix: &SparseRows<f64>, rng: &mut Rng) -> f64 {
    let rows = matrix.rows();
    let mut vector: Vec<f64> = (0..rows).map(|_| rng.normal()).collect();
    let mut growth = 0.0;
    let (settle, measure) = (100, 200);
    for step in 0..settle + measure {
        let next: Vec<f64> = (0..rows)
            .map(|row| {
                (matrix.starts[row] as usize..matrix.starts[row + 1] as usize)
                    .map(|entry| matrix.values[entry] * vector[matrix.columns[entry] as usize])
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
pub(crate) struct Echo<R> {
    weights: Weights<R>,
    kernel: Kernel<R>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kernel<R> {
    /// State, inputs and bias in one product.
    Dense(Panels<R>),
    /// Inputs and bias first, then the recurrent rows.
    Sparse(Panels<R>, SparsePanels<R>),
}

impl<R: Real> Echo<R> {
    /// Draws a reservoir of `settings` for `inputs` input values a step.
    pub(crate) fn draw(settings: &EchoSettings, inputs: usize) -> Self {
        Self::new(Weights::draw(settings, inputs))
    }

    /// Packs weights for the kernels.
    pub(crate) fn new(weights: Weights<R>) -> Self {
        let (units, extra) = (weights.units, weights.inputs + 1);
        let kernel = match &weights.recurrent {
            Recurrent::Sparse(rows) => {
                Kernel::Sparse(Panels::pack(&weights.input, units, extra), SparsePanels::pack(rows))
            }
            Recurrent::Dense(matrix) => {
                let rows = matrix.chunks_exact(units).zip(weights.input.chunks_exact(extra));
                let joined: Vec<R> = rows.flat_map(|(a, b)| a.iter().chain(b).copied()).collect();
                Kernel::Dense(Panels::pack(&joined, units, units + extra))
            }
        };
        Self { weights, kernel }
    }

    /// The weights as they stand in a file.
    pub(crate) fn weights(&self) -> &Weights<R> {
        &self.weights
    }

    /// Units of the reservoir.
    pub(crate) fn units(&self) -> usize {
        self.weights.units
    }

    /// A stream's vector before its first row: the state (zeros), room for the inputs, and the constant 1.
    pub(crate) fn fresh(&self) -> Vec<R> {
        let mut vector = vec![R::ZERO; self.weights.units + self.weights.inputs + 1];
        if let Some(last) = vector.last_mut() {
            *last = R::ONE;
        }
        vector
    }

    /// The slots of a stream's vector that the next step's inputs are written to.
    pub(crate) fn inputs<'v>(&self, vector: &'v mut [R]) -> &'v mut [R] {
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
        vectors: &mut [&mut [R]; STREAMS],
        scratch: &mut [&mut [R]; STREAMS],
    ) {
        let units = self.weights.units;
        for vector in vectors.iter_mut() {
            for input in self.inputs(vector) {
                *input = input.limited(R::narrow(-INPUT_LIMIT), R::narrow(INPUT_LIMIT));
            }
        }
        match &self.kernel {
            Kernel::Dense(panels) => panels.multiply(std::array::from_fn(|s| &*vectors[s]), scratch),
            Kernel::Sparse(panels, recurrent) => {
                panels.multiply(std::array::from_fn(|s| &vectors[s][units..]), scratch);
                let mut wide: WideState<R> = [R::ZERO; ROWS_MAX];
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
                *state = leak.fused(*fresh - *state, *state);
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
            topology: Topology::Random,
            density,
            spectral_radius: 0.9,
            leak: 0.4,
            input_scale: 0.5,
            bias_scale: 0.2,
            seed: 11,
        }
    }

    fn row_major(weights: &Weights<f32>) -> Vec<f64> {
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
            let weights = Weights::<f32>::draw(&settings(density), 1);
            let matrix = row_major(&weights);
            let faer = faer::Mat::from_fn(60, 60, |r, c| matrix[r * 60 + c]);
            let largest = faer.eigenvalues().unwrap().iter().map(|e| e.re.hypot(e.im)).fold(0.0, f64::max);
            assert!((largest - 0.9).abs() < 0.02, "density {density}: {largest}");
        }
    }

    #[test]
    fn a_step_is_the_equation_in_64_bits_to_the_precision_of_32() {
        for density in [1.0, 0.2] {
            let weights = Weights::<f32>::draw(&settings(density), 2);
            let matrix = row_major(&weights);
            let reservoir = Echo::new(weights.clone());
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

    #[test]
    fn an_orthogonal_reservoir_is_orthogonal_and_a_cycle_is_a_ring() {
        let matrix = orthogonal(40, &mut Rng::seeded(4));
        for a in 0..40 {
            for b in 0..40 {
                let product: f64 = (0..40).map(|i| matrix[a * 40 + i] * matrix[b * 40 + i]).sum();
                assert!((product - f64::from(u8::from(a == b))).abs() < 1e-12, "{a} {b}");
            }
        }
        let ring = cycle(5, 0.5f64);
        assert!(ring.is_well_formed());
        assert_eq!((ring.columns, ring.values), (vec![4, 0, 1, 2, 3], vec![0.5; 5]));
    }
}
