//! The weights of an echo-state reservoir: drawing them, scaling them.
//!
//! W has the given spectral radius, estimated by the growth of ‖Wᵏv‖ (Gelfand's formula), which also converges
//! where the largest eigenvalues are a complex pair and a plain power iteration does not.

use crate::kernel::{Real, SparseRows};
use crate::spec::{EchoSettings, Topology};
use spinwell_core::Rng;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::testing::{row_major, settings};

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
