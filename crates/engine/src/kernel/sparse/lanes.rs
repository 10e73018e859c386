//! Many streams, one per lane.
//!
//! An entry of the matrix is broadcast once and multiplied with a row of all streams' vectors. Sums wait for themselves,
//! so that four registers of sums must be under way: four rows of 16 streams, two of 32, or one of 64.

use super::super::Width;
use super::Joint;
use pulp::{Simd, WithSimd};

/// Registers of sums under way.
const UNDER_WAY: usize = 4;

/// What is multiplied, in registers.
struct Values<'p, R, V> {
    matrix: &'p Joint<R>,
    vectors: &'p [V],
    /// Registers of a row of vectors.
    registers: usize,
    /// The first of the tile.
    first: usize,
}

macro_rules! product {
    ($product:ident, $real:ident, $as_simd:ident, $as_mut_simd:ident, $splat:ident, $mul_add:ident, $lanes:ident, $register:ident) => {
        /// One product, waiting to be compiled for an instruction set.
        pub(crate) struct $product<'p> {
            pub(crate) matrix: &'p Joint<$real>,
            pub(crate) vectors: &'p [$real],
            pub(crate) width: Width,
            pub(crate) outputs: &'p mut [$real],
        }

        impl WithSimd for $product<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(mut self, simd: S) {
                let registers = self.width.active / S::$lanes;
                let mut first = 0;
                while first + UNDER_WAY <= registers {
                    self.tile::<S, 4, 1>(simd, first);
                    first += UNDER_WAY;
                }
                if first + 2 <= registers {
                    self.tile::<S, 2, 2>(simd, first);
                    first += 2;
                }
                if first < registers {
                    self.tile::<S, 1, 4>(simd, first);
                }
            }
        }

        impl $product<'_> {
            /// One entry of a row, times all streams of a tile.
            #[inline(always)]
            fn add<S: Simd, const WIDE: usize>(
                simd: S,
                values: &Values<'_, $real, S::$register>,
                entry: usize,
                sums: &mut [S::$register; WIDE],
            ) {
                let weight = simd.$splat(values.matrix.values[entry]);
                let place = values.matrix.columns[entry] as usize * values.registers + values.first;
                let vectors = &values.vectors[place..][..WIDE];
                for register in 0..WIDE {
                    sums[register] = simd.$mul_add(weight, vectors[register], sums[register]);
                }
            }

            /// All rows for `WIDE` registers of streams, `ROWS` rows together.
            #[inline(always)]
            fn tile<S: Simd, const WIDE: usize, const ROWS: usize>(&mut self, simd: S, first: usize) {
                let rows = self.matrix.rows();
                let mut row = 0;
                while row + ROWS <= rows {
                    self.rows::<S, WIDE, ROWS>(simd, first, row);
                    row += ROWS;
                }
                while row < rows {
                    self.rows::<S, WIDE, 1>(simd, first, row);
                    row += 1;
                }
            }

            #[inline(always)]
            fn rows<S: Simd, const WIDE: usize, const ROWS: usize>(
                &mut self,
                simd: S,
                first: usize,
                row: usize,
            ) {
                let registers = self.width.stride / S::$lanes;
                let matrix = self.matrix;
                let values = Values { matrix, vectors: S::$as_simd(self.vectors).0, registers, first };
                let ends = &matrix.starts[row..][..=ROWS];
                let mut sums = [[simd.$splat(0.0); WIDE]; ROWS];
                let mut common = ends[1] - ends[0];
                for row in 1..ROWS {
                    common = common.min(ends[row + 1] - ends[row]);
                }
                for offset in 0..common {
                    for row in 0..ROWS {
                        Self::add(simd, &values, ends[row] + offset, &mut sums[row]);
                    }
                }
                let (outputs, _) = S::$as_mut_simd(self.outputs);
                for next in 0..ROWS {
                    for entry in ends[next] + common..ends[next + 1] {
                        Self::add(simd, &values, entry, &mut sums[next]);
                    }
                    outputs[(row + next) * registers + first..][..WIDE].copy_from_slice(&sums[next]);
                }
            }
        }
    };
}

product!(LanesF32, f32, as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_add_f32s, F32_LANES, f32s);
product!(LanesF64, f64, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_add_f64s, F64_LANES, f64s);
