//! The two floating-point types that models compute in, behind one name.
//!
//! Everything between a row and a forecast is written once for both. What differs is how wide a register's worth of
//! them is, which only the kernels know.

use super::sparse::{Joint, LanesF32, LanesF64};
use super::{Panels, Width};
use spinwell_core::NumericProfile;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A floating-point type with the kernels of its numeric profile.
pub(crate) trait Real:
    Copy
    + Default
    + PartialOrd
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
{
    /// What predictions in this type are called.
    const PROFILE: NumericProfile;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Above every finite value.
    const INFINITY: Self;

    /// The nearest value of this type.
    fn narrow(value: f64) -> Self;
    /// The value in 64 bits.
    fn widen(self) -> f64;
    /// Appends its little-endian bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
    /// The value of as many little-endian bytes as it has.
    fn from_le_slice(bytes: &[u8]) -> Self;
    /// `self · by + plus`, rounded once.
    fn fused(self, by: Self, plus: Self) -> Self;
    /// The value, or the nearest within [`low`, `high`].
    fn limited(self, low: Self, high: Self) -> Self;
    /// Hyperbolic tangent by our own polynomial, see [`super::tanh`].
    fn hyperbolic_tangent(self) -> Self;
    /// `outputs[s] = panels · input(s)`, see [`Panels::multiply`].
    fn multiply<'i>(
        panels: &Panels<Self>,
        streams: usize,
        input: impl Fn(usize) -> &'i [Self],
        outputs: &mut [Self],
        stride: usize,
    );
    /// A sparse matrix times the vectors of many streams, see [`super::Sparse::multiply_lanes`].
    fn multiply_lanes(matrix: &Joint<Self>, vectors: &[Self], width: Width, outputs: &mut [Self]);
    /// The same numbers, if they are of 32 bits.
    fn as_narrow(values: &[Self]) -> Option<&[f32]>;
    /// The same numbers, if they are of 32 bits.
    fn as_narrow_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

macro_rules! real {
    ($real:ident, $profile:ident, $tanh:ident, $product:ident, $lanes:ident, $as_narrow:expr, $as_narrow_mut:expr) => {
        impl Real for $real {
            const PROFILE: NumericProfile = NumericProfile::$profile;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $real::INFINITY;

            #[inline(always)]
            fn narrow(value: f64) -> Self {
                value as $real
            }

            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }

            fn append_to(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn from_le_slice(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("a slice as long as the type"))
            }

            #[inline(always)]
            fn fused(self, by: Self, plus: Self) -> Self {
                self.mul_add(by, plus)
            }

            #[inline(always)]
            fn limited(self, low: Self, high: Self) -> Self {
                self.clamp(low, high)
            }

            #[inline(always)]
            fn hyperbolic_tangent(self) -> Self {
                super::tanh::$tanh(self)
            }

            #[inline]
            fn multiply<'i>(
                panels: &Panels<Self>,
                streams: usize,
                input: impl Fn(usize) -> &'i [Self],
                outputs: &mut [Self],
                stride: usize,
            ) {
                super::arch().dispatch(super::dense::$product { panels, streams, input, outputs, stride });
            }

            #[inline]
            fn multiply_lanes(matrix: &Joint<Self>, vectors: &[Self], width: Width, outputs: &mut [Self]) {
                super::arch().dispatch($lanes { matrix, vectors, width, outputs });
            }

            #[inline(always)]
            fn as_narrow(values: &[Self]) -> Option<&[f32]> {
                $as_narrow(values)
            }

            #[inline(always)]
            fn as_narrow_mut(values: &mut [Self]) -> Option<&mut [f32]> {
                $as_narrow_mut(values)
            }
        }
    };
}

real!(f32, CpuF32, tanh_f32, ProductF32, LanesF32, Some, Some);
real!(f64, CpuF64, tanh_f64, ProductF64, LanesF64, |_| None, |_| None);
