//! Products of recent values: the nonlinear features of next-generation reservoir computing.
//!
//! For the vector of `taps` past values of every channel, `stride` rows apart, all monomials of 2 to `order` factors
//! stand once each (Gauthier, Bollt, Griffith & Barbosa 2021, eq. 4-6). The linear part is the model's lags.

use crate::kernel::Real;
use crate::spec::Products;

/// Most factors of a product.
pub(crate) const ORDER_MAX: usize = 4;
/// Most products of a model: their number grows like taps^order.
pub(crate) const PRODUCTS_MAX: usize = 4000;
/// More values than this have more than [`PRODUCTS_MAX`] products of two: 89 · 90 / 2 = 4005.
const VALUES_MAX: usize = 88;

impl Products {
    /// How many products there are for `channels` channels; `usize::MAX` where they cannot be counted.
    pub(crate) fn features(&self, channels: usize) -> usize {
        let values = self.taps.saturating_mul(channels);
        (2..=self.order).map(|order| combinations(values, order)).fold(0, usize::saturating_add)
    }

    /// Writes the products to the front of `features`; `past(offset, channel)` is a past value.
    #[inline(always)]
    pub(crate) fn write<R: Real>(
        &self,
        channels: usize,
        past: impl Fn(usize, usize) -> R,
        features: &mut [R],
    ) {
        let mut values = [R::ZERO; VALUES_MAX];
        let values = &mut values[..self.taps * channels];
        for (index, value) in values.iter_mut().enumerate() {
            *value = past(index / channels * self.stride, index % channels);
        }
        let mut at = 0;
        for order in 2..=self.order {
            multiply(values, order, R::ONE, features, &mut at);
        }
    }
}

/// Writes all products of `factors` of the values, each not before the one before it, times `so_far`.
fn multiply<R: Real>(values: &[R], factors: usize, so_far: R, features: &mut [R], at: &mut usize) {
    for (index, &value) in values.iter().enumerate() {
        let product = so_far * value;
        if factors == 1 {
            features[*at] = product;
            *at += 1;
        } else {
            multiply(&values[index..], factors - 1, product, features, at);
        }
    }
}

/// Multisets of `order` of `values` things.
fn combinations(values: usize, order: usize) -> usize {
    (0..order)
        .try_fold(1usize, |product, i| Some(product.checked_mul(values + i)? / (i + 1)))
        .unwrap_or(usize::MAX)
}
