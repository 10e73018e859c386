//! Step kernels: the arithmetic that serving pays for.
//!
//! The numeric profiles `cpu-f32` and `cpu-f64` mean: 16 logical lanes, fused multiply-add, our own tanh, and one summation
//! order. A unit's sum runs over its inputs one after the other, whatever the width of the registers and
//! however many streams share the pass, so **the bits of a result never depend on the batch it rode in or on
//! the instruction set that computed it**. Code is written over arrays of 16 lanes and compiled once per
//! instruction set through pulp's run-time dispatch (AVX-512, AVX2 with FMA, otherwise the portable path,
//! which is slow because fused multiply-add is then a library call, and which we have not run on other
//! machines).

mod aligned;
mod arch;
mod dense;
mod dot;
mod real;
mod sparse;
mod streams;
mod tanh;

#[cfg(feature = "bench")]
pub(crate) use aligned::Aligned;
pub use arch::InstructionSet;
pub(crate) use arch::arch;
#[cfg(target_arch = "x86_64")]
use arch::avx512;
#[cfg(test)]
use arch::with_each;
pub(crate) use dense::Panels;
pub(crate) use dot::dot;
pub(crate) use real::Real;
pub(crate) use sparse::{Joint, ROWS_MAX, STREAMS as SPARSE_STREAMS, Sparse, SparseRows};
pub(crate) use streams::{One, States, Width, room};
pub(crate) use tanh::tanh_in_place;

/// Logical lanes of the CPU profiles. Changing it changes the bits of every model's predictions.
pub(crate) const LANES: usize = 16;

/// Runs `operation` compiled for the best instruction set of this machine. What it calls must be
/// `#[inline(always)]` to be compiled for it too, and so must be the closure itself: without it the same code runs
/// three times slower, every fused multiply-add being a library call.
#[inline]
pub(crate) fn dispatch<R>(operation: impl FnOnce() -> R) -> R {
    arch().dispatch(operation)
}
