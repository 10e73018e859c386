//! A dense matrix times the input vectors of one or a few streams.
//!
//! Rows are stored in panels of 16 so that 16 units advance per instruction, and each unit's sum runs over the
//! columns in order. A pass takes a few panels and up to four streams at once: enough independent sums to hide the
//! latency of fused multiply-add, few enough to stay in registers. Written on explicit registers because the same
//! loops over plain arrays of lanes were compiled to memory traffic, about eight times slower.

use super::{LANES, Real};
use pulp::{Simd, WithSimd};

/// A dense matrix, rows padded with zeros to a multiple of 16.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panels<R> {
    /// Columns of the matrix.
    columns: usize,
    /// Rows of the matrix, without padding.
    rows: usize,
    /// Panel after panel; within a panel, column after column, 16 rows each.
    weights: Vec<[R; LANES]>,
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
        Self { columns, rows, weights }
    }

    /// Rows including padding: the length of an output.
    pub(crate) fn padded_rows(&self) -> usize {
        self.rows.next_multiple_of(LANES)
    }

    /// `output[s] = matrix · input[s]` for each of `STREAMS` streams.
    ///
    /// # Panics
    /// Where an input is shorter than the columns or an output shorter than the padded rows.
    #[inline]
    pub(crate) fn multiply<const STREAMS: usize>(
        &self,
        inputs: [&[R]; STREAMS],
        outputs: &mut [&mut [R]; STREAMS],
    ) {
        R::multiply(self, inputs, outputs);
    }

    fn panel(&self, index: usize) -> &[R] {
        self.weights[index * self.columns..][..self.columns].as_flattened()
    }
}

macro_rules! product {
    ($product:ident, $real:ident, $lanes:ident, $register:ident, $as_simd:ident, $as_mut_simd:ident, $splat:ident, $mul_add:ident,
     $($shape:pat => $wide:literal x $registers:literal),+) => {
        /// One product, waiting to be compiled for an instruction set.
        pub(super) struct $product<'p, 'i, 'o, const STREAMS: usize> {
            pub(super) panels: &'p Panels<$real>,
            pub(super) inputs: [&'i [$real]; STREAMS],
            pub(super) outputs: &'p mut [&'o mut [$real]; STREAMS],
        }

        impl<const STREAMS: usize> WithSimd for $product<'_, '_, '_, STREAMS> {
            type Output = ();

            /// Chooses how many panels share a pass so that sums, weights and one input fit the registers: 32 of 16 lanes,
            /// or 16 of 8.
            #[inline(always)]
            fn with_simd<S: Simd>(mut self, simd: S) {
                match (S::$lanes, STREAMS) {
                    $($shape => self.all::<S, $wide, $registers>(simd),)+
                    _ => self.portable(),
                }
            }
        }

        impl<const STREAMS: usize> $product<'_, '_, '_, STREAMS> {
            /// Every panel: `WIDE` at a time, then what is left in smaller groups. `REGISTERS` make up 16 lanes.
            #[inline(always)]
            fn all<S: Simd, const WIDE: usize, const REGISTERS: usize>(&mut self, simd: S) {
                let count = self.panels.padded_rows() / LANES;
                let mut first = 0;
                while first + WIDE <= count {
                    self.pass::<S, WIDE, REGISTERS>(simd, first);
                    first += WIDE;
                }
                if WIDE > 4 && first + 4 <= count {
                    self.pass::<S, 4, REGISTERS>(simd, first);
                    first += 4;
                }
                if WIDE > 2 && first + 2 <= count {
                    self.pass::<S, 2, REGISTERS>(simd, first);
                    first += 2;
                }
                while first < count {
                    self.pass::<S, 1, REGISTERS>(simd, first);
                    first += 1;
                }
            }

            #[inline(always)]
            fn pass<S: Simd, const PANELS: usize, const REGISTERS: usize>(&mut self, simd: S, first: usize) {
                let columns = self.panels.columns;
                let weights: [&[[S::$register; REGISTERS]]; PANELS] = std::array::from_fn(
                    #[inline(always)]
                    |panel| {
                        &S::$as_simd(self.panels.panel(first + panel)).0.as_chunks::<REGISTERS>().0[..columns]
                    },
                );
                let inputs: [&[$real]; STREAMS] = std::array::from_fn(
                    #[inline(always)]
                    |stream| &self.inputs[stream][..columns],
                );
                let mut sums = [[[simd.$splat(0.0); REGISTERS]; STREAMS]; PANELS];
                for column in 0..columns {
                    for stream in 0..STREAMS {
                        let value = simd.$splat(inputs[stream][column]);
                        for panel in 0..PANELS {
                            for register in 0..REGISTERS {
                                let sum = &mut sums[panel][stream][register];
                                *sum = simd.$mul_add(weights[panel][column][register], value, *sum);
                            }
                        }
                    }
                }
                for (panel, sums) in sums.iter().enumerate() {
                    for (stream, sums) in sums.iter().enumerate() {
                        let output = &mut self.outputs[stream][(first + panel) * LANES..][..LANES];
                        S::$as_mut_simd(output).0.copy_from_slice(sums);
                    }
                }
            }

            /// The same sums without registers to speak of.
            fn portable(&mut self) {
                for (input, output) in self.inputs.iter().zip(self.outputs.iter_mut()) {
                    let (output, _) = output[..self.panels.padded_rows()].as_chunks_mut::<LANES>();
                    for (panel, output) in output.iter_mut().enumerate() {
                        *output = [0.0; LANES];
                        for (weights, value) in self.panels.panel(panel).as_chunks::<LANES>().0.iter().zip(*input) {
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
    (16, 1 | 2) => 8 x 1, (16, _) => 4 x 1, (8, 1) => 4 x 2, (8, 2) => 2 x 2, (8, _) => 1 x 2
);
product!(
    ProductF64, f64, F64_LANES, f64s, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_add_f64s,
    (8, 1) => 8 x 2, (8, 2) => 4 x 2, (8, _) => 2 x 2, (4, 1) => 2 x 4, (4, _) => 1 x 4
);

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    #[test]
    fn every_number_of_streams_and_every_dispatch_gives_the_same_bits() {
        let mut rng = Rng::seeded(3);
        let (rows, columns) = (83, 37);
        let matrix: Vec<f32> = (0..rows * columns).map(|_| rng.normal() as f32).collect();
        let inputs: Vec<Vec<f32>> =
            (0..4).map(|_| (0..columns).map(|_| rng.normal() as f32).collect()).collect();
        let panels = Panels::pack(&matrix, rows, columns);
        let alone: Vec<Vec<f32>> = inputs
            .iter()
            .map(|input| {
                let (mut output, mut portable) =
                    (vec![0.0; panels.padded_rows()], vec![0.0; panels.padded_rows()]);
                panels.multiply([input], &mut [&mut output]);
                ProductF32 { panels: &panels, inputs: [input], outputs: &mut [&mut portable] }.portable();
                assert_eq!(output, portable);
                output
            })
            .collect();
        let mut four = vec![vec![0.0; panels.padded_rows()]; 4];
        let [a, b, c, d] = &mut four[..] else { unreachable!("four outputs") };
        panels.multiply(
            [&inputs[0], &inputs[1], &inputs[2], &inputs[3]],
            &mut [a.as_mut_slice(), b.as_mut_slice(), c.as_mut_slice(), d.as_mut_slice()],
        );
        assert_eq!(alone, four);
        for (row, &value) in alone[0].iter().enumerate().take(rows) {
            let exact: f64 =
                (0..columns).map(|c| f64::from(matrix[row * columns + c]) * f64::from(inputs[0][c])).sum();
            assert!((f64::from(value) - exact).abs() < 1e-4, "row {row}");
        }
        assert!(alone[0][rows..].iter().all(|&padding| padding == 0.0));
    }
}
