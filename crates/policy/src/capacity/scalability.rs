//! What more nodes are worth.
//!
//! Nodes that share something (a log, a gateway, a network) do not add up. Gunther's universal scalability law
//! ("Guerrilla Capacity Planning", 2007, ch. 4) says X(N) = λ·N / (1 + σ·(N − 1) + κ·N·(N − 1)): λ of one node alone, less what waits
//! for the shared (contention, σ) and for agreement of each with each (coherency, κ). With κ above zero there is a number of nodes beyond which more
//! carry less: N* = √((1 − σ) / κ).
//!
//! Fitted by least squares of the throughput itself. N / X is linear in (1, σ, κ) / λ, so that a linear fit begins, and Gauss-Newton steps
//! end it, damped where they would not help (Levenberg 1944, Marquardt 1963). Neither σ nor κ may be negative: where one would
//! be, it is left out and the rest fitted anew.

use super::PerSecond;
use std::fmt;

/// Steps of a fit, at most; ten are usual.
const STEPS: usize = 100;
/// A fit ends where a step changes the squared error by no more than this part.
const CONVERGED: f64 = 1e-14;
/// Where not even steps as small as that help, nothing does.
const DAMPING_MOST: f64 = 1e9;

/// What so many nodes carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// So many nodes.
    pub nodes: f64,
    /// What they carried, as busy as could be.
    pub throughput: PerSecond,
}

/// What nodes carry together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalability {
    /// What one node carries alone (λ).
    pub alone: PerSecond,
    /// The part of the work that is done one after the other (σ).
    pub contention: f64,
    /// The part of the work that each pair of nodes adds (κ).
    pub coherency: f64,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitError {
    /// Three unknowns need three numbers of nodes.
    TooFew {
        /// So many were measured.
        sizes: usize,
    },
    /// Nodes below one, or nodes that carried nothing.
    Impossible,
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FitError::TooFew { sizes } => {
                write!(f, "{sizes} numbers of nodes were measured, three are needed")
            }
            FitError::Impossible => f.write_str("a number of nodes below one, or nodes that carried nothing"),
        }
    }
}

impl std::error::Error for FitError {}

impl Scalability {
    /// What so many nodes carry.
    #[must_use]
    pub fn throughput(&self, nodes: f64) -> PerSecond {
        let shared = 1.0 + self.contention * (nodes - 1.0) + self.coherency * nodes * (nodes - 1.0);
        PerSecond::new(self.alone.get() * nodes / shared).unwrap_or(PerSecond::ZERO)
    }

    /// What so many nodes carry, as a part of what as many would that share nothing.
    #[must_use]
    pub fn efficiency(&self, nodes: f64) -> f64 {
        self.throughput(nodes).get() / (self.alone.get() * nodes)
    }

    /// The number of nodes that carries the most; `None` where more always carry more.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        let nodes = ((1.0 - self.contention).max(0.0) / self.coherency).sqrt();
        nodes.is_finite().then_some(nodes.max(1.0))
    }

    /// The law that is closest to what was measured.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub fn fit(measured: &[Measured]) -> Result<Self, FitError> {
        if measured.iter().any(|one| !(one.nodes >= 1.0 && one.throughput.get() > 0.0)) {
            return Err(FitError::Impossible);
        }
        let mut sizes: Vec<f64> = measured.iter().map(|one| one.nodes).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        if sizes.len() < 3 {
            return Err(FitError::TooFew { sizes: sizes.len() });
        }
        let choices = [[true, true], [true, false], [false, true], [false, false]];
        let fits = choices.map(|[contention, coherency]| Fit::of(measured, [true, contention, coherency]));
        let allowed = fits.into_iter().flatten().filter(Fit::is_allowed);
        let best = allowed.min_by(|a, b| a.error.total_cmp(&b.error)).ok_or(FitError::Impossible)?;
        let [one, contention, coherency] = best.weights;
        let alone = PerSecond::new(1.0 / one).ok_or(FitError::Impossible)?;
        Ok(Self { alone, contention: contention / one, coherency: coherency / one })
    }
}

/// N / X as a weighted sum of 1, N − 1 and N·(N − 1).
#[derive(Debug, Clone, Copy)]
struct Fit {
    weights: [f64; 3],
    /// Sum of squared errors of X.
    error: f64,
}

impl Fit {
    /// The best one that uses these terms and no others.
    fn of(measured: &[Measured], used: [bool; 3]) -> Option<Self> {
        let terms = |one: &Measured| terms(one.nodes, used);
        // N / X − Σ w·t = (N / X)·(1 − X / X̂) to first order: weighed so, a relative error of X counts the same at every size.
        let rows = measured.iter().map(|one| {
            let ratio = one.nodes / one.throughput.get();
            (terms(one).map(|term| term / ratio), 1.0)
        });
        let mut fit = Self::with(measured, solve(rows, used, 0.0)?, used);
        let mut damping = 1e-3;
        for _ in 0..STEPS {
            let rows = measured.iter().map(|one| {
                let terms = terms(one);
                let ratio = dot(fit.weights, terms);
                let steep = -one.nodes / (ratio * ratio);
                (terms.map(|term| steep * term), one.throughput.get() - one.nodes / ratio)
            });
            let Some(step) = solve(rows, used, damping) else { break };
            let next = Self::with(measured, std::array::from_fn(|at| fit.weights[at] + step[at]), used);
            if next.error < fit.error {
                let gained = fit.error - next.error;
                let is_over = gained <= CONVERGED * fit.error;
                (fit, damping) = (next, damping / 10.0);
                if is_over {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > DAMPING_MOST {
                    break;
                }
            }
        }
        Some(fit)
    }

    fn with(measured: &[Measured], weights: [f64; 3], used: [bool; 3]) -> Self {
        let error = |one: &Measured| {
            let ratio = dot(weights, terms(one.nodes, used));
            // A throughput that is negative or without bound is none.
            if ratio > 0.0 { (one.throughput.get() - one.nodes / ratio).powi(2) } else { f64::INFINITY }
        };
        Self { weights, error: measured.iter().map(error).sum() }
    }

    fn is_allowed(&self) -> bool {
        let [one, contention, coherency] = self.weights;
        self.error.is_finite() && one > 0.0 && contention >= 0.0 && coherency >= 0.0
    }
}

fn terms(nodes: f64, used: [bool; 3]) -> [f64; 3] {
    let all = [1.0, nodes - 1.0, nodes * (nodes - 1.0)];
    std::array::from_fn(|at| if used[at] { all[at] } else { 0.0 })
}

/// The least squares solution of rows (terms, value) by normal equations, with `damping` times each diagonal on top; zero for unused terms.
fn solve(rows: impl Iterator<Item = ([f64; 3], f64)>, used: [bool; 3], damping: f64) -> Option<[f64; 3]> {
    let (mut gram, mut cross) = ([[0.0; 3]; 3], [0.0; 3]);
    for (terms, value) in rows {
        for row in 0..3 {
            cross[row] += terms[row] * value;
            (0..3).for_each(|column| gram[row][column] += terms[row] * terms[column]);
        }
    }
    for at in 0..3 {
        gram[at][at] = if used[at] { gram[at][at] * (1.0 + damping) } else { 1.0 };
    }
    let determinant = determinant(gram);
    let solution: [f64; 3] = std::array::from_fn(|column| {
        // Cramer's rule.
        let mut replaced = gram;
        (0..3).for_each(|row| replaced[row][column] = cross[row]);
        self::determinant(replaced) / determinant
    });
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}

fn determinant(of: [[f64; 3]; 3]) -> f64 {
    let minor = |a: usize, b: usize| of[1][a] * of[2][b] - of[1][b] * of[2][a];
    of[0][0] * minor(1, 2) - of[0][1] * minor(0, 2) + of[0][2] * minor(0, 1)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn measured(points: &[(f64, f64)]) -> Vec<Measured> {
        let one = |&(nodes, rate): &(f64, f64)| Measured { nodes, throughput: PerSecond::new(rate).unwrap() };
        points.iter().map(one).collect()
    }

    fn law(alone: f64, contention: f64, coherency: f64) -> Scalability {
        Scalability { alone: PerSecond::new(alone).unwrap(), contention, coherency }
    }

    /// The SPEC SDM91 figures of a SPARCcenter 2000 that Gunther's book uses. The R package `usl` prints for them
    /// σ = 0.0277285 ± 0.009, κ = 0.0001044 ± 0.00002 and λ = 89.995 ± 14.2, by the same least squares.
    #[test]
    fn a_published_fit_is_found_again() {
        let rates = [
            (1.0, 64.9),
            (18.0, 995.9),
            (36.0, 1652.4),
            (72.0, 1853.2),
            (108.0, 1828.9),
            (144.0, 1775.0),
            (216.0, 1702.2),
        ];
        let fit = Scalability::fit(&measured(&rates)).unwrap();
        assert!((fit.contention - 0.027_728_5).abs() < 1e-5, "{fit:?}");
        assert!((fit.coherency - 0.000_104_4).abs() < 1e-6, "{fit:?}");
        assert!((fit.alone.get() - 89.995_233).abs() < 0.01, "{fit:?}");
        let peak = fit.peak().unwrap();
        assert!((96.0..97.0).contains(&peak), "{peak}");
        assert!(
            fit.throughput(peak) > fit.throughput(peak - 5.0)
                && fit.throughput(peak) > fit.throughput(peak + 5.0)
        );
    }

    #[test]
    fn what_cannot_be_is_not_fitted() {
        let fit = |points: &[(f64, f64)]| Scalability::fit(&measured(points)).unwrap_err();
        assert_eq!(fit(&[(1.0, 5.0), (2.0, 9.0), (2.0, 10.0)]), FitError::TooFew { sizes: 2 });
        assert_eq!(fit(&[(1.0, 5.0), (2.0, 0.0), (3.0, 10.0)]), FitError::Impossible);
        assert_eq!(fit(&[(0.0, 5.0), (2.0, 3.0), (3.0, 10.0)]), FitError::Impossible);
    }

    #[test]
    fn nodes_that_add_up_have_no_peak() {
        // More than twice as much with twice the nodes: noise, or caches; never a negative part.
        let fit =
            Scalability::fit(&measured(&[(1.0, 100.0), (2.0, 203.0), (4.0, 410.0), (8.0, 830.0)])).unwrap();
        assert_eq!((fit.contention, fit.coherency, fit.peak()), (0.0, 0.0, None));
        assert!((fit.throughput(20.0).get() - 2_067.3).abs() < 0.1, "{fit:?}");
        assert!((fit.efficiency(20.0) - 1.0).abs() < 1e-12);
        // Amdahl's law has no peak, but an end.
        let amdahl = law(100.0, 0.1, 0.0);
        assert_eq!(amdahl.peak(), None);
        assert!((amdahl.throughput(1e9).get() - 1_000.0).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn a_law_is_found_from_what_it_says(alone in 1.0..1e4f64, contention in 0.0..0.3f64, coherency in 0.0..0.01f64) {
            let law = law(alone, contention, coherency);
            let points: Vec<Measured> = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0]
                .map(|nodes| Measured { nodes, throughput: law.throughput(nodes) }).to_vec();
            let fit = Scalability::fit(&points).unwrap();
            prop_assert!((fit.alone.get() / alone - 1.0).abs() < 1e-4, "{fit:?}");
            prop_assert!((fit.contention - contention).abs() < 1e-4, "{fit:?}");
            prop_assert!((fit.coherency - coherency).abs() < 1e-5, "{fit:?}");
        }
    }
}
