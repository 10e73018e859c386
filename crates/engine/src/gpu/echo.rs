//! Echo-state reservoirs on a card.

use super::device::Gpu;
use super::kernel::{Division, Moving, Stage, constants, weights};
use super::resident::Program;
use crate::echo::{Echo, Recurrent, Weights};

/// Units and streams of a workgroup's square.
const TILE: usize = 32;
/// Columns that a workgroup looks at together.
const DEPTH: usize = 16;
/// Units of a workgroup of the sparse kernel.
const SPARSE_UNITS: u32 = 2;

/// An echo-state reservoir's weights on a card.
pub(super) struct EchoProgram {
    units: usize,
    inputs: usize,
    columns: usize,
    leak: f32,
    is_dense: bool,
    operations: usize,
    weights: Vec<wgpu::Buffer>,
}

impl EchoProgram {
    /// Numbers of the largest buffer.
    pub(super) fn largest_weights(echo: &Echo<f32>) -> usize {
        let Weights { units, inputs, recurrent, .. } = echo.weights();
        match recurrent {
            Recurrent::Dense(_) => {
                units.next_multiple_of(TILE) * (units + inputs + 1).next_multiple_of(DEPTH)
            }
            Recurrent::Sparse(rows) => rows.values.len().max(units * (inputs + 1)),
        }
    }

    pub(super) fn load(gpu: &Gpu, echo: &Echo<f32>) -> Self {
        let stored = echo.weights();
        let (units, inputs) = (stored.units, stored.inputs);
        let columns = (units + inputs + 1).next_multiple_of(DEPTH);
        let (is_dense, weights) = match &stored.recurrent {
            Recurrent::Dense(matrix) => {
                let mut joined = vec![0.0; units.next_multiple_of(TILE) * columns];
                let rows = matrix.chunks_exact(units).zip(stored.input.chunks_exact(inputs + 1));
                for (target, (recurrent, input)) in joined.chunks_exact_mut(columns).zip(rows) {
                    target[..units].copy_from_slice(recurrent);
                    target[units..][..=inputs].copy_from_slice(input);
                }
                (true, vec![weights(gpu, &joined)])
            }
            Recurrent::Sparse(rows) => (
                false,
                vec![
                    weights(gpu, &rows.starts),
                    weights(gpu, &rows.columns),
                    weights(gpu, &rows.values),
                    weights(gpu, &stored.input),
                ],
            ),
        };
        let operations = match &stored.recurrent {
            Recurrent::Dense(_) => units * columns,
            Recurrent::Sparse(rows) => rows.values.len() + units * (inputs + 1),
        };
        Self { units, inputs, columns, leak: stored.leak, is_dense, operations, weights }
    }
}

impl Program for EchoProgram {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn features(&self) -> usize {
        self.units
    }

    fn state_len(&self) -> usize {
        self.units
    }

    fn fresh(&self, _: usize) -> Option<Vec<f32>> {
        None
    }

    fn bytes(&self) -> u64 {
        self.weights.iter().map(wgpu::Buffer::size).sum()
    }

    fn operations(&self) -> usize {
        self.operations
    }

    fn stages(&self, gpu: &Gpu, stride: u32, moving: &Moving) -> Vec<Stage> {
        let sizes = [stride, self.units as u32, self.inputs as u32, self.columns as u32];
        let shape = [&sizes[..], &[self.leak.to_bits(), 0, 0, 0]].concat();
        let shape = constants(gpu, &shape, wgpu::BufferUsages::UNIFORM);
        let units = self.units as u32;
        let (kernel, streams, breadth) = if self.is_dense {
            (&gpu.kernels.echo_dense, TILE as u32, units.div_ceil(TILE as u32))
        } else {
            (&gpu.kernels.echo_sparse, TILE as u32, units.div_ceil(SPARSE_UNITS))
        };
        vec![kernel.bind(&gpu.device, &shape, moving, &self.weights, Division { streams, breadth, depth: 1 })]
    }
}
