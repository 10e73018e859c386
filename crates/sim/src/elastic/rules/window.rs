//! Values of the last so many looks.

use std::collections::VecDeque;

/// The newest values.
#[derive(Debug, Clone)]
pub(super) struct Window {
    values: VecDeque<f64>,
    most: usize,
}

impl Window {
    /// Keeps so many.
    pub(super) fn new(most: usize) -> Self {
        Self { values: VecDeque::new(), most: most.max(1) }
    }

    pub(super) fn push(&mut self, value: f64) {
        while self.values.len() >= self.most {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// The mean of those that there are; 0 where there is none.
    pub(super) fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len().max(1) as f64
    }

    /// The largest; 0 where there is none.
    pub(super) fn most(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// The smallest; infinite where there is none.
    pub(super) fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
