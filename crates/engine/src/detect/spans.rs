//! Errors averaged over spans of rows: what is small in every row and never stops is seen in the long ones.

/// Rows that the averages run over, give or take: exponential weights with mean age span − 1.
pub(crate) const SPANS: [usize; 4] = [1, 6, 24, 96];
/// Errors beyond so many scales count as so many: one wild row must not fill a long average for hours.
const LIMIT: f64 = 30.0;

/// The running averages of one target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Averages {
    /// Weighted mean and sum of squared weights for each span.
    means: [(f64, f64); SPANS.len()],
}

impl Averages {
    /// Takes in an error in scales and gives, for each span, the size of the average in units of what an average of
    /// independent errors of size 1 would have.
    pub(super) fn observe(&mut self, error: f64) -> [f64; SPANS.len()] {
        let error = error.clamp(-LIMIT, LIMIT);
        let mut sizes = [0.0; SPANS.len()];
        for ((size, span), (mean, squares)) in sizes.iter_mut().zip(SPANS).zip(&mut self.means) {
            let weight = 1.0 / span as f64;
            *mean += weight * (error - *mean);
            *squares = (1.0 - weight).powi(2) * *squares + weight * weight;
            *size = mean.abs() / squares.sqrt();
        }
        sizes
    }

    /// Everything that it holds, in order.
    pub(super) fn numbers(&mut self) -> impl Iterator<Item = (&mut f64, &mut f64)> {
        self.means.iter_mut().map(|(mean, squares)| (mean, squares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    #[test]
    fn averages_of_independent_errors_have_size_one_from_the_first_row_on() {
        let mut rng = Rng::seeded(3);
        let mut squares = [[0.0; SPANS.len()]; 3];
        for _ in 0..4000 {
            let mut averages = Averages::default();
            for row in 0..40 {
                let sizes = averages.observe(rng.normal());
                if let Some(place) = [0, 10, 39].iter().position(|&at| at == row) {
                    (0..SPANS.len()).for_each(|k| squares[place][k] += sizes[k] * sizes[k] / 4000.0);
                }
            }
        }
        assert!(squares.as_flattened().iter().all(|square| (square - 1.0).abs() < 0.1), "{squares:?}");
    }

    #[test]
    fn a_small_shift_that_stays_fills_the_long_span_and_a_wild_row_does_not_stay() {
        let mut averages = Averages::default();
        let sizes = (0..400).map(|_| averages.observe(0.5)).last().unwrap();
        assert!(sizes[0] == 0.5 && sizes[3] > 6.0, "{sizes:?}");
        let mut averages = Averages::default();
        let wild = averages.observe(1e9);
        assert!(wild.iter().all(|&size| size <= LIMIT + 1e-9), "{wild:?}");
    }
}
