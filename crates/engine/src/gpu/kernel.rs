//! Programs of a card and what they are bound to.
//!
//! All of them see the same first bindings (shape, row, inputs, the state before and after, features), see
//! `shaders/row.wgsl`, and then the weights of their own.

use super::device::Gpu;
use super::{
    ECHO, ECHO_DENSE, ECHO_SPARSE, QUANTUM_TABLE, ROW, SPECTRAL, SPECTRAL_BLOCKS, SPECTRAL_EVOLVE,
    SPECTRAL_HOME, SPECTRAL_PRODUCT, SPECTRAL_READ, SPECTRAL_RETURN, SPECTRAL_ROTATE,
};
use std::num::NonZeroU64;

/// Bytes from one row's record to the next: the alignment that every card is content with.
pub(super) const ROW_STRIDE: u32 = 256;
/// Bytes of a row's record.
const ROW_BYTES: u64 = 16;

/// A compiled program.
pub(super) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// All of them.
pub(super) struct Kernels {
    pub(super) echo_dense: Kernel,
    pub(super) echo_sparse: Kernel,
    pub(super) quantum_table: Kernel,
    pub(super) spectral_rotate: Kernel,
    pub(super) spectral_blocks: Kernel,
    pub(super) spectral_read: Kernel,
    pub(super) spectral_evolve: Kernel,
    pub(super) spectral_return: Kernel,
    pub(super) spectral_home: Kernel,
}

impl Kernels {
    pub(super) fn compile(device: &wgpu::Device) -> Self {
        let kernel = |parts: &[&str], weights: u32| Kernel::compile(device, parts.concat(), weights, 0);
        let spectral = |own: &[&str]| {
            let parts = [&[ROW, SPECTRAL], own].concat();
            Kernel::compile(device, parts.concat(), 2, 1)
        };
        Self {
            echo_dense: kernel(&[ROW, ECHO, ECHO_DENSE], 1),
            echo_sparse: kernel(&[ROW, ECHO, ECHO_SPARSE], 4),
            quantum_table: kernel(&[ROW, QUANTUM_TABLE], 4),
            spectral_rotate: spectral(&[SPECTRAL_ROTATE, SPECTRAL_PRODUCT]),
            spectral_blocks: spectral(&[SPECTRAL_BLOCKS, SPECTRAL_PRODUCT]),
            spectral_read: spectral(&[SPECTRAL_READ]),
            spectral_evolve: spectral(&[SPECTRAL_EVOLVE]),
            spectral_return: spectral(&[SPECTRAL_RETURN, SPECTRAL_PRODUCT]),
            spectral_home: spectral(&[SPECTRAL_HOME, SPECTRAL_PRODUCT]),
        }
    }
}

/// The buffers that change from row to row.
pub(super) struct Moving {
    /// Row records, see [`row_record`].
    pub(super) rows: wgpu::Buffer,
    /// Rows × inputs × streams.
    pub(super) inputs: wgpu::Buffer,
    /// States of even rows are read from the first and written to the second; of odd rows the other way round.
    pub(super) states: [wgpu::Buffer; 2],
    /// Slots × streams × features.
    pub(super) features: wgpu::Buffer,
}

/// A kernel with everything it works on.
pub(super) struct Stage {
    pipeline: wgpu::ComputePipeline,
    bound: [wgpu::BindGroup; 2],
    /// Streams of a workgroup.
    streams: u32,
    /// Workgroups beside each other for the same streams, in both further directions.
    breadth: u32,
    depth: u32,
}

/// How a kernel's work is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    /// Streams of a workgroup.
    pub(super) streams: u32,
    /// Workgroups for the same streams, in one direction.
    pub(super) breadth: u32,
    /// And in the other.
    pub(super) depth: u32,
}

impl Kernel {
    fn compile(device: &wgpu::Device, source: String, weights: u32, scratches: u32) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let mut entries = vec![
            entry(0, wgpu::BufferBindingType::Uniform, None),
            entry(1, wgpu::BufferBindingType::Uniform, NonZeroU64::new(ROW_BYTES)),
            entry(2, storage(true), None),
            entry(3, storage(true), None),
            entry(4, storage(false), None),
            entry(5, storage(false), None),
        ];
        let own =
            std::iter::repeat_n(true, weights as usize).chain(std::iter::repeat_n(false, scratches as usize));
        entries.extend((6..).zip(own).map(|(binding, read_only)| entry(binding, storage(read_only), None)));
        let layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("step"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { pipeline, layout }
    }

    /// Binds the kernel to its buffers.
    pub(super) fn bind(
        &self,
        device: &wgpu::Device,
        shape: &wgpu::Buffer,
        moving: &Moving,
        weights: &[wgpu::Buffer],
        division: Division,
    ) -> Stage {
        let bound = [0, 1].map(|odd: usize| {
            let row =
                wgpu::BufferBinding { buffer: &moving.rows, offset: 0, size: NonZeroU64::new(ROW_BYTES) };
            let fixed = [&moving.inputs, &moving.states[odd], &moving.states[1 - odd], &moving.features];
            let mut entries = vec![
                wgpu::BindGroupEntry { binding: 0, resource: shape.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(row) },
            ];
            let storages = fixed.into_iter().chain(weights).zip(2..);
            entries.extend(storages.map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            }));
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &self.layout,
                entries: &entries,
            })
        });
        let Division { streams, breadth, depth } = division;
        Stage { pipeline: self.pipeline.clone(), bound, streams, breadth, depth }
    }
}

impl Stage {
    /// Steps `streams` streams by the row whose record is number `record`; `odd` says which state is read.
    pub(super) fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, record: u32, odd: bool, streams: u32) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bound[usize::from(odd)], &[record * ROW_STRIDE]);
        pass.dispatch_workgroups(streams.div_ceil(self.streams), self.breadth, self.depth);
    }
}

fn entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    dynamic: Option<NonZeroU64>,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic.is_some(),
            min_binding_size: dynamic,
        },
        count: None,
    }
}

/// A buffer that holds these numbers and never changes. It is written through the queue: a buffer that is mapped when
/// it is made panics where the card has been lost.
pub(super) fn constants<N: bytemuck::NoUninit>(
    gpu: &Gpu,
    numbers: &[N],
    usage: wgpu::BufferUsages,
) -> wgpu::Buffer {
    let bytes: &[u8] = bytemuck::cast_slice(numbers);
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes.len() as u64,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, bytes);
    buffer
}

/// The weights of a kernel; a buffer cannot be empty.
pub(super) fn weights<N: bytemuck::NoUninit + Default>(gpu: &Gpu, numbers: &[N]) -> wgpu::Buffer {
    let numbers = if numbers.is_empty() { &[N::default()] } else { numbers };
    constants(gpu, numbers, wgpu::BufferUsages::STORAGE)
}
