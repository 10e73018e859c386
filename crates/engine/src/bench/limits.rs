//! What the machine can do at best: fused multiply-adds without memory, reading without arithmetic.

use super::{Planned, Workload};
use crate::kernel::{Aligned, Real, arch};
use pulp::{Simd, WithSimd};
use std::hint::black_box;

/// Fused multiply-adds that do not wait for each other: enough to hide a latency of five cycles on two units.
const CHAINS: usize = 12;
const ROUNDS: usize = 4096;
/// Bytes that stay in the second cache but not in the first.
const SECOND_CACHE: usize = 384 << 10;
/// Bytes that no cache holds.
const MEMORY: usize = 256 << 20;

pub(super) fn all() -> Vec<Planned> {
    vec![
        Planned::new("peak-f32", || peak("peak-f32", || arch().dispatch(Narrow))),
        Planned::new("peak-f64", || peak("peak-f64", || arch().dispatch(Wide))),
        Planned::new("read-l2", || read("read-l2", SECOND_CACHE)),
        Planned::new("read-memory", || read("read-memory", MEMORY)),
    ]
}

fn peak(name: &str, run: impl Fn() -> usize + 'static) -> Workload {
    let lanes = run();
    let operations = (2 * CHAINS * ROUNDS * lanes) as f64;
    Workload::new(name, "run", 1, move || {
        black_box(run());
    })
    .with_flops(operations)
}

struct Narrow;
struct Wide;

macro_rules! chains {
    ($shape:ident, $lanes:ident, $splat:ident, $mul_add:ident, $reduce:ident) => {
        impl WithSimd for $shape {
            /// Lanes of a register.
            type Output = usize;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> usize {
                let factor = simd.$splat(black_box(0.5));
                let mut sums = [simd.$splat(black_box(1.0)); CHAINS];
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        *sum = simd.$mul_add(*sum, factor, factor);
                    }
                }
                for sum in sums {
                    black_box(simd.$reduce(sum));
                }
                S::$lanes
            }
        }
    };
}

chains!(Narrow, F32_LANES, splat_f32s, mul_add_f32s, reduce_sum_f32s);
chains!(Wide, F64_LANES, splat_f64s, mul_add_f64s, reduce_sum_f64s);

struct Read<'v>(&'v [f32]);

impl WithSimd for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (registers, _) = S::as_simd_f32s(self.0);
        let (chunks, _) = registers.as_chunks::<8>();
        let mut sums = [simd.splat_f32s(0.0); 8];
        for chunk in chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum = simd.add_f32s(*sum, *value);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
    }
}

fn read(name: &str, bytes: usize) -> Workload {
    let values = Aligned::new(&vec![f32::ONE; bytes / size_of::<f32>()]);
    Workload::new(name, "run", 1, move || {
        black_box(arch().dispatch(Read(&values)));
    })
    .with_bytes(bytes as f64)
}
