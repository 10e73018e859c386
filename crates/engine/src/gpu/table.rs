//! Banks of tabulated quantum networks on a card.

use super::device::Gpu;
use super::kernel::{Division, Moving, Stage, constants, weights};
use super::resident::Program;
use crate::quantum::{Bank, Transfer};

/// Streams of a workgroup.
const STREAMS: u32 = 8;
/// Coordinates that a workgroup has room for.
pub(super) const COORDINATES_MAX: usize = 256;

/// A bank's tables on a card.
pub(super) struct TableProgram {
    inputs: usize,
    networks: usize,
    half: usize,
    features: usize,
    dimension: usize,
    fresh: Vec<f32>,
    weights: Vec<wgpu::Buffer>,
}

impl TableProgram {
    /// # Panics
    /// Where there are no networks.
    pub(super) fn load(gpu: &Gpu, bank: &Bank, networks: &[&Transfer]) -> Self {
        let (half, features) = (networks[0].half(), networks[0].features());
        let lines = 2 * half + features;
        let mut table = Vec::with_capacity(networks.len() * 3 * half * lines);
        for network in networks {
            for part in 0..3 {
                for column in 0..half {
                    table.extend((0..lines).map(|line| network.coefficient(part, column, line) as f32));
                }
            }
        }
        let drawn = bank.weights();
        let ears: Vec<u32> = drawn.heard.iter().map(|&input| input as u32).collect();
        let swings: Vec<f32> = drawn.swings.iter().map(|&swing| swing as f32).collect();
        let diagonal: Vec<u32> = bank.diagonal().iter().map(|&index| index as u32).collect();
        let coordinates = networks.len() * 2 * half;
        Self {
            inputs: bank.inputs_len(),
            networks: networks.len(),
            half,
            features,
            dimension: diagonal.len(),
            fresh: bank.fresh()[..coordinates].iter().map(|&value| value as f32).collect(),
            weights: vec![
                weights(gpu, &table),
                weights(gpu, &ears),
                weights(gpu, &swings),
                weights(gpu, &diagonal),
            ],
        }
    }
}

impl Program for TableProgram {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn features(&self) -> usize {
        self.networks * self.features
    }

    fn state_len(&self) -> usize {
        self.fresh.len()
    }

    fn fresh(&self, streams: usize) -> Option<Vec<f32>> {
        Some(self.fresh.iter().flat_map(|&number| std::iter::repeat_n(number, streams)).collect())
    }

    fn bytes(&self) -> u64 {
        self.weights.iter().map(wgpu::Buffer::size).sum()
    }

    fn operations(&self) -> usize {
        self.networks * 3 * self.half * (2 * self.half + self.features)
    }

    fn stages(&self, gpu: &Gpu, stride: u32, moving: &Moving) -> Vec<Stage> {
        let sizes = [self.inputs, self.networks, self.half, self.features, self.dimension];
        let mut shape = vec![stride];
        shape.extend(sizes.map(|size| size as u32));
        shape.extend([0, 0]);
        let shape = constants(gpu, &shape, wgpu::BufferUsages::UNIFORM);
        let division = Division { streams: STREAMS, breadth: self.networks as u32, depth: 1 };
        vec![gpu.kernels.quantum_table.bind(&gpu.device, &shape, moving, &self.weights, division)]
    }
}
