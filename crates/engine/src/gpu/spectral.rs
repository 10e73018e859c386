//! Banks of larger quantum networks on a card, in the eigenbasis of their Hamiltonians.

use super::device::Gpu;
use super::kernel::{Division, Kernel, Moving, Stage, constants, weights};
use super::resident::Program;
use crate::quantum::{Bank, Spectral};
use wgpu::BufferUsages;

/// Edge of the squares that products are made in.
const SQUARE: u32 = 16;
/// Numbers of a state that are evolved by a workgroup.
const EVOLVED: u32 = 64;
/// Matrices that a step holds of each network and stream.
const SCRATCH: usize = 10;

/// A bank's eigenvectors, phases and read-outs on a card.
pub(super) struct SpectralProgram {
    inputs: usize,
    networks: usize,
    dimension: usize,
    substeps: usize,
    observables: usize,
    weights: Vec<wgpu::Buffer>,
}

impl SpectralProgram {
    /// # Panics
    /// Where there are no networks.
    pub(super) fn load(gpu: &Gpu, bank: &Bank, networks: &[&Spectral]) -> Self {
        let (k, observables) = (networks[0].dimension(), networks[0].observables());
        let mut table: Vec<f32> = Vec::new();
        for network in networks {
            for parity in 0..2 {
                for place in 0..k * k {
                    table.push(network.eigenvector(parity, place / k, place % k) as f32);
                }
            }
            table.extend(network.phases().flatten().map(|&phase| phase as f32));
            for observable in 0..observables {
                table.extend((0..k * (k + 1)).map(|pair| network.read_out(observable, pair) as f32));
            }
        }
        let drawn = bank.weights();
        let wiring = drawn.heard.iter().zip(&drawn.swings);
        let wiring: Vec<f32> = wiring.flat_map(|(&input, &swing)| [input as f32, swing as f32]).collect();
        Self {
            inputs: bank.inputs_len(),
            networks: networks.len(),
            dimension: k,
            substeps: networks[0].phases().count(),
            observables,
            weights: vec![weights(gpu, &table), weights(gpu, &wiring)],
        }
    }
}

impl Program for SpectralProgram {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn features(&self) -> usize {
        self.networks * self.substeps * self.observables
    }

    fn state_len(&self) -> usize {
        self.networks * self.dimension * self.dimension
    }

    fn scratch_len(&self) -> usize {
        SCRATCH * self.state_len()
    }

    fn fresh(&self, streams: usize) -> Option<Vec<f32>> {
        let k = self.dimension;
        let mut states = vec![0.0; self.state_len() * streams];
        for state in states.chunks_exact_mut(k * k) {
            state.iter_mut().step_by(k + 1).for_each(|diagonal| *diagonal = 1.0 / k as f32);
        }
        Some(states)
    }

    fn bytes(&self) -> u64 {
        self.weights.iter().map(wgpu::Buffer::size).sum()
    }

    fn operations(&self) -> usize {
        let k = self.dimension;
        // Twelve products, and for each part of the evolution the pairs of both parities.
        let read_outs = self.substeps * k * k * (self.observables + 4);
        self.networks * (12 * k * k * k + read_outs)
    }

    fn stages(&self, gpu: &Gpu, stride: u32, moving: &Moving) -> Vec<Stage> {
        let (k, networks) = (self.dimension as u32, self.networks as u32);
        let sizes = [self.inputs, self.networks, self.dimension, self.substeps, self.observables];
        let mut shape = vec![stride];
        shape.extend(sizes.map(|size| size as u32));
        shape.extend([0, 0]);
        let shape = constants(gpu, &shape, BufferUsages::UNIFORM);
        let scratch = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * (self.scratch_len() * stride as usize) as u64,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let mut own = self.weights.clone();
        own.push(scratch);
        let stage = |kernel: &Kernel, breadth: u32, depth: u32| {
            let division = Division { streams: 1, breadth, depth };
            kernel.bind(&gpu.device, &shape, moving, &own, division)
        };
        let squares = (k / SQUARE) * (k / SQUARE);
        let quarters = (k / 2).div_ceil(SQUARE) * (k / 2).div_ceil(SQUARE);
        let kernels = &gpu.kernels;
        vec![
            stage(&kernels.spectral_rotate, 2 * networks, squares),
            stage(&kernels.spectral_blocks, 4 * networks, squares),
            stage(&kernels.spectral_read, networks, self.substeps as u32),
            stage(&kernels.spectral_evolve, networks, (k * k).div_ceil(EVOLVED)),
            stage(&kernels.spectral_return, 4 * networks, squares),
            stage(&kernels.spectral_home, 4 * networks, quarters),
        ]
    }
}
