//! The readout's product: 16 partial sums over the features, then a fixed tree.

use super::{LANES, Real};

/// The dot product of two equally long vectors whose length is a multiple of 16.
///
/// # Panics
/// In debug builds, where the lengths differ or are not a multiple of 16.
#[inline(always)]
pub(crate) fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    debug_assert!(
        a.len() == b.len() && a.len().is_multiple_of(LANES),
        "dot of {} and {} values",
        a.len(),
        b.len()
    );
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    let mut sums = [R::ZERO; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].fused(b[lane], sums[lane]);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let other = sums[lane + width];
            sums[lane] += other;
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dispatch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_sum_in_64_bits_and_with_itself_undispatched(
            pairs in prop::collection::vec((-3.0f32..3.0, -3.0f32..3.0), 0..20)
        ) {
            let mut a: Vec<f32> = pairs.iter().map(|p| p.0).collect();
            let mut b: Vec<f32> = pairs.iter().map(|p| p.1).collect();
            a.resize(a.len().next_multiple_of(LANES), 0.0);
            b.resize(b.len().next_multiple_of(LANES), 0.0);
            let exact: f64 = pairs.iter().map(|p| f64::from(p.0) * f64::from(p.1)).sum();
            let fast = dispatch(#[inline(always)] || dot(&a, &b));
            prop_assert!((f64::from(fast) - exact).abs() < 1e-4);
            prop_assert_eq!(fast.to_bits(), dot(&a, &b).to_bits());
        }
    }
}
