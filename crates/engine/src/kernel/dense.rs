//! A dense matrix times the input vectors of any number of streams.
//!
//! Rows are stored in panels of 16 so that 16 units advance per instruction, and each unit's sum runs over the
//! columns in order. A pass takes a few panels and up to six streams: enough independent sums to hide the latency of
//! fused multiply-add and to use each weight six times once it is in a register, few enough to stay in registers.
//! All streams pass a group of panels before the next group is looked at, so that a group comes from memory once a step
//! and from the second cache after that. Written on explicit registers because the same loops over plain arrays of
//! lanes were compiled to memory traffic, about eight times slower.

use super::aligned::Aligned;
use super::{LANES, Real};
use pulp::{Simd, WithSimd};
use std::sync::Arc;

/// A dense matrix, rows padded with zeros to a multiple of 16.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panels<R> {
    /// Columns of the matrix.
    columns: usize,
    /// Rows of the matrix, without padding.
    rows: usize,
    /// Panel after panel; within a panel, column after column, 16 rows each. They never change.
    weights: Arc<Aligned<R>>,
}

impl<R: Real> Panels<R> {
    /// Packs a row-major matrix.
    ///
    /// # Panics
    /// Where `matrix` does not hold `rows * columns` values.
    pub(crate) fn pack(matrix: &[R], rows: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), rows * columns, "matrix of {rows} x {columns}");
        let mut weights = vec![[R::ZERO; LANES]; rows.div_ceil(LANES) * columns];
        for row in 0..rows {
            for column in 0..columns {
                weights[row / LANES * columns + column][row % LANES] = matrix[row * columns + column];
            }
        }
        Self { columns, rows, weights: Arc::new(Aligned::new(weights.as_flattened())) }
    }

    /// The entry at a row and a column.
    #[cfg(feature = "gpu")]
    pub(crate) fn entry(&self, row: usize, column: usize) -> R {
        self.weights[(row / LANES * self.columns + column) * LANES + row % LANES]
    }

    /// Rows including padding: the length of an output.
    pub(crate) fn padded_rows(&self) -> usize {
        self.rows.next_multiple_of(LANES)
    }

    /// `output[s] = matrix · input(s)` for each of `streams` streams. Outputs begin `stride` apart, at least the padded rows.
    ///
    /// # Panics
    /// Where an input is shorter than the columns, or there is no room for the outputs.
    #[inline]
    pub(crate) fn multiply<'i>(
        &self,
        streams: usize,
        input: impl Fn(usize) -> &'i [R],
        outputs: &mut [R],
        stride: usize,
    ) {
        R::multiply(self, streams, input, outputs, stride);
    }

    fn panel(&self, index: usize) -> &[R] {
        &self.weights[index * self.columns * LANES..][..self.columns * LANES]
    }
}

macro_rules! product {
    ($product:ident, $real:ident, $lanes:ident, $register:ident, $as_simd:ident, $as_mut_simd:ident, $splat:ident, $mul_add:ident,
     $wide_lanes:literal => [$w1:literal, $w2:literal, $w4:literal, $w6:literal] x $wide_registers:literal,
     $narrow_lanes:literal => [$n1:literal, $n2:literal, $n4:literal, $n6:literal] x $narrow_registers:literal) => {
        /// One product, waiting to be compiled for an instruction set.
        pub(super) struct $product<'p, F> {
            pub(super) panels: &'p Panels<$real>,
            pub(super) streams: usize,
            pub(super) input: F,
            pub(super) outputs: &'p mut [$real],
            pub(super) stride: usize,
        }

        impl<'i, F: Fn(usize) -> &'i [$real]> WithSimd for $product<'_, F> {
            type Output = ();

            /// Chooses how many panels share a pass with 1, 2, 4 or 6 streams so that sums, weights and one input fit the
            /// registers: 32 of 64 bytes, or 16 of 32.
            #[inline(always)]
            fn with_simd<S: Simd>(mut self, simd: S) {
                match S::$lanes {
                    $wide_lanes => self.all::<S, $w1, $w2, $w4, $w6, $wide_registers>(simd),
                    $narrow_lanes => self.all::<S, $n1, $n2, $n4, $n6, $narrow_registers>(simd),
                    _ => self.portable(),
                }
            }
        }

        impl<'i, F: Fn(usize) -> &'i [$real]> $product<'_, F> {
            /// All streams through all panels. A register holds 16 lanes ÷ `REGISTERS`.
            #[inline(always)]
            fn all<
                S: Simd,
                const P1: usize,
                const P2: usize,
                const P4: usize,
                const P6: usize,
                const REGISTERS: usize,
            >(
                &mut self,
                simd: S,
            ) {
                // Few streams take many panels at once, many streams few.
                match self.streams {
                    0 => {}
                    1 => self.groups::<S, P1, REGISTERS>(
                        simd,
                        #[inline(always)]
                        |it, first| it.pass::<S, P1, 1, REGISTERS>(simd, first, 0),
                    ),
                    2 => self.groups::<S, P2, REGISTERS>(
                        simd,
                        #[inline(always)]
                        |it, first| it.pass::<S, P2, 2, REGISTERS>(simd, first, 0),
                    ),
                    3 | 4 => self.groups::<S, P4, REGISTERS>(
                        simd,
                        #[inline(always)]
                        |it, first| it.streams::<S, P4, 4, REGISTERS>(simd, first),
                    ),
                    _ => self.groups::<S, P6, REGISTERS>(
                        simd,
                        #[inline(always)]
                        |it, first| it.streams::<S, P6, 6, REGISTERS>(simd, first),
                    ),
                }
            }

            /// Calls `group` for as many whole groups of panels as there are; what is left goes panel by panel.
            #[inline(always)]
            fn groups<S: Simd, const PANELS: usize, const REGISTERS: usize>(
                &mut self,
                simd: S,
                group: impl Fn(&mut Self, usize),
            ) {
                let count = self.panels.padded_rows() / LANES;
                let mut first = 0;
                while first + PANELS <= count {
                    group(self, first);
                    first += PANELS;
                }
                if PANELS > 4 && first + 4 <= count {
                    self.streams::<S, 4, 2, REGISTERS>(simd, first);
                    first += 4;
                }
                if PANELS > 2 && first + 2 <= count {
                    self.streams::<S, 2, 4, REGISTERS>(simd, first);
                    first += 2;
                }
                while first < count {
                    self.streams::<S, 1, 6, REGISTERS>(simd, first);
                    first += 1;
                }
            }

            /// All streams through one group of panels, at most `AT_ONCE` together.
            #[inline(always)]
            fn streams<S: Simd, const PANELS: usize, const AT_ONCE: usize, const REGISTERS: usize>(
                &mut self,
                simd: S,
                first: usize,
            ) {
                let mut stream = 0;
                while stream < self.streams {
                    let left = self.streams - stream;
                    // Where a sum of 16 lanes takes four registers, more than two streams do not fit.
                    if REGISTERS < 4 && AT_ONCE >= 6 && left >= 6 {
                        self.pass::<S, PANELS, 6, REGISTERS>(simd, first, stream);
                        stream += 6;
                    } else if REGISTERS < 4 && AT_ONCE >= 4 && left >= 4 {
                        self.pass::<S, PANELS, 4, REGISTERS>(simd, first, stream);
                        stream += 4;
                    } else if left >= 2 {
                        self.pass::<S, PANELS, 2, REGISTERS>(simd, first, stream);
                        stream += 2;
                    } else {
                        self.pass::<S, PANELS, 1, REGISTERS>(simd, first, stream);
                        stream += 1;
                    }
                }
            }

            #[inline(always)]
            fn pass<S: Simd, const PANELS: usize, const STREAMS: usize, const REGISTERS: usize>(
                &mut self,
                simd: S,
                first: usize,
                stream: usize,
            ) {
                let columns = self.panels.columns;
                let weights: [&[[S::$register; REGISTERS]]; PANELS] = std::array::from_fn(
                    #[inline(always)]
                    |panel| {
                        &S::$as_simd(self.panels.panel(first + panel)).0.as_chunks::<REGISTERS>().0[..columns]
                    },
                );
                let inputs: [&[$real]; STREAMS] = std::array::from_fn(
                    #[inline(always)]
                    |offset| &(self.input)(stream + offset)[..columns],
                );
                let mut sums = [[[simd.$splat(0.0); REGISTERS]; STREAMS]; PANELS];
                for column in 0..columns {
                    for offset in 0..STREAMS {
                        let value = simd.$splat(inputs[offset][column]);
                        for panel in 0..PANELS {
                            for register in 0..REGISTERS {
                                let sum = &mut sums[panel][offset][register];
                                *sum = simd.$mul_add(weights[panel][column][register], value, *sum);
                            }
                        }
                    }
                }
                for (panel, sums) in sums.iter().enumerate() {
                    for (offset, sums) in sums.iter().enumerate() {
                        let place = (stream + offset) * self.stride + (first + panel) * LANES;
                        S::$as_mut_simd(&mut self.outputs[place..][..LANES]).0.copy_from_slice(sums);
                    }
                }
            }

            /// The same sums without registers to speak of.
            fn portable(&mut self) {
                let padded = self.panels.padded_rows();
                for stream in 0..self.streams {
                    let (input, output) =
                        ((self.input)(stream), &mut self.outputs[stream * self.stride..][..padded]);
                    for (panel, output) in output.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        *output = [0.0; LANES];
                        for (weights, value) in
                            self.panels.panel(panel).as_chunks::<LANES>().0.iter().zip(input)
                        {
                            for lane in 0..LANES {
                                output[lane] = weights[lane].mul_add(*value, output[lane]);
                            }
                        }
                    }
                }
            }
        }
    };
}

product!(
    ProductF32, f32, F32_LANES, f32s, as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_add_f32s,
    16 => [8, 8, 4, 4] x 1, 8 => [4, 2, 1, 1] x 2
);
product!(
    ProductF64, f64, F64_LANES, f64s, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_add_f64s,
    8 => [8, 4, 2, 2] x 2, 4 => [2, 1, 1, 1] x 4
);

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn check<R: Real>(rows: usize, columns: usize, streams: usize) {
        let mut rng = Rng::seeded((rows * columns + streams) as u64);
        let mut draw = |count: usize| -> Vec<R> { (0..count).map(|_| R::narrow(rng.normal())).collect() };
        let matrix = draw(rows * columns);
        let inputs: Vec<Vec<R>> = (0..streams).map(|_| draw(columns)).collect();
        let panels = Panels::pack(&matrix, rows, columns);
        let padded = panels.padded_rows();
        let mut together = vec![R::ONE; streams * padded];
        panels.multiply(streams, |stream| &inputs[stream], &mut together, padded);
        for (input, together) in inputs.iter().zip(together.chunks_exact(padded)) {
            // Column after column with one rounding each: what every path must give to the bit.
            for row in 0..rows {
                let sum = (0..columns).fold(R::ZERO, |sum, c| matrix[row * columns + c].fused(input[c], sum));
                assert_eq!(sum, together[row], "{rows} x {columns}, {streams} streams, row {row}");
            }
            assert!(together[rows..].iter().all(|&padding| padding == R::ZERO));
        }
    }

    #[test]
    fn every_size_and_number_of_streams_gives_the_same_bits_on_every_instruction_set() {
        super::super::with_each(|| {
            for (rows, columns) in [(1, 1), (83, 37), (64, 5), (200, 20), (330, 7)] {
                for streams in [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 64] {
                    check::<f32>(rows, columns, streams);
                    check::<f64>(rows, columns, streams);
                }
            }
        });
    }
}
