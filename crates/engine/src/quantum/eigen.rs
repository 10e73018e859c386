//! Eigenvalues of symmetric matrices and phases, in the same bits on every machine.
//!
//! The matrices of a bank are not stored but rebuilt where its model is loaded, so nothing here may come from a
//! mathematics library that differs between machines: additions, products, quotients and square roots only, in a fixed
//! order.

/// Sweeps after which Jacobi's method is taken to have converged; symmetric matrices of 128 rows need about ten.
const SWEEPS_MAX: usize = 40;

/// Eigenvalues and eigenvectors of a symmetric matrix.
pub(crate) struct Eigen {
    /// Eigenvalues, in no particular order.
    pub(crate) values: Vec<f64>,
    /// Row α is the eigenvector of value α; an orthogonal matrix.
    pub(crate) vectors: Vec<f64>,
}

/// Diagonalises a row-major symmetric matrix by cyclic Jacobi rotations (Golub & Van Loan, "Matrix computations", 4th
/// ed., §8.5.3-8.5.5), which is slow for large matrices but very accurate.
pub(crate) fn diagonalise(mut matrix: Vec<f64>, size: usize) -> Eigen {
    let mut vectors = vec![0.0; size * size];
    vectors.iter_mut().step_by(size + 1).for_each(|diagonal| *diagonal = 1.0);
    let total: f64 = matrix.iter().map(|v| v * v).sum();
    for _ in 0..SWEEPS_MAX {
        let off: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| row * size + column))
            .map(|position| matrix[position] * matrix[position])
            .sum();
        // What is left changes eigenvalues by its square.
        if off <= 1e-34 * total {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut vectors, size, (p, q));
            }
        }
    }
    Eigen { values: matrix.iter().step_by(size + 1).copied().collect(), vectors }
}

/// One Jacobi rotation, which makes the entry at row p and column q zero.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, (p, q): (usize, usize)) {
    let (app, aqq, apq) = (matrix[p * size + p], matrix[q * size + q], matrix[p * size + q]);
    if apq == 0.0 {
        return;
    }
    let slope = (aqq - app) / (2.0 * apq);
    let magnitude = 1.0 / (slope.abs() + (slope * slope + 1.0).sqrt());
    let tangent = if slope < 0.0 { -magnitude } else { magnitude };
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for row in 0..size {
        let (a, b) = (matrix[row * size + p], matrix[row * size + q]);
        matrix[row * size + p] = cosine * a - sine * b;
        matrix[row * size + q] = sine * a + cosine * b;
    }
    for rows in [&mut *matrix, vectors] {
        let (upper, lower) = rows.split_at_mut(q * size);
        for (a, b) in upper[p * size..][..size].iter_mut().zip(&mut lower[..size]) {
            (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
        }
    }
    matrix[p * size + p] = app - tangent * apq;
    matrix[q * size + q] = aqq + tangent * apq;
    matrix[p * size + q] = 0.0;
    matrix[q * size + p] = 0.0;
}

/// Cosine and sine of a finite angle: Taylor's series of a fraction of the angle below one half, doubled back.
pub(crate) fn cosine_and_sine(angle: f64) -> [f64; 2] {
    let (mut small, mut doublings) = (angle, 0);
    while small.abs() > 0.5 {
        small *= 0.5;
        doublings += 1;
    }
    let square = small * small;
    let (mut cosine, mut sine) = (1.0, 1.0);
    // The first dropped terms are below 0.5^18/18!, 1e-21.
    for order in (1..=8).rev() {
        let order = f64::from(order);
        cosine = 1.0 - cosine * square / ((2.0 * order - 1.0) * (2.0 * order));
        sine = 1.0 - sine * square / ((2.0 * order) * (2.0 * order + 1.0));
    }
    sine *= small;
    for _ in 0..doublings {
        (cosine, sine) = (cosine * cosine - sine * sine, 2.0 * cosine * sine);
        // Keeps doubling from moving the pair off the circle.
        let length = (cosine * cosine + sine * sine).sqrt();
        (cosine, sine) = (cosine / length, sine / length);
    }
    [cosine, sine]
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    #[test]
    fn eigenvectors_rebuild_the_matrix_and_are_orthogonal() {
        let mut rng = Rng::seeded(5);
        for size in [2, 8, 33] {
            let mut matrix = vec![0.0; size * size];
            for row in 0..size {
                for column in 0..=row {
                    // Multiples of one half make some eigenvalues equal.
                    let value = (rng.normal() * 2.0).round() / 2.0;
                    (matrix[row * size + column], matrix[column * size + row]) = (value, value);
                }
            }
            let Eigen { values, vectors } = diagonalise(matrix.clone(), size);
            for a in 0..size {
                for b in 0..size {
                    let rebuilt: f64 = (0..size)
                        .map(|eigen| vectors[eigen * size + a] * values[eigen] * vectors[eigen * size + b])
                        .sum();
                    let product: f64 = (0..size).map(|i| vectors[a * size + i] * vectors[b * size + i]).sum();
                    assert!((rebuilt - matrix[a * size + b]).abs() < 1e-13, "{size}: entry {a}, {b}");
                    assert!((product - f64::from(u8::from(a == b))).abs() < 1e-14, "{size}: rows {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn phases_agree_with_the_mathematics_library() {
        for angle in [0.0, 1e-9, -0.3, 0.5, 2.0, -7.7, 63.0, 4321.0] {
            let [cosine, sine] = cosine_and_sine(angle);
            // Doubling spreads the rounding of the angle itself.
            let tolerance = 1e-15 * (2.0 + angle.abs());
            assert!((cosine - angle.cos()).abs() < tolerance, "cos {angle}: {cosine}");
            assert!((sine - angle.sin()).abs() < tolerance, "sin {angle}: {sine}");
        }
    }
}
