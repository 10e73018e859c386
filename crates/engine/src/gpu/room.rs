//! Room on a card for the streams of one reservoir, and the stepping itself.

use super::Failure;
use super::device::Gpu;
use super::kernel::{Moving, ROW_STRIDE, Stage};
use super::resident::Program;
use crate::model::Leg;
use std::sync::mpsc;
use wgpu::BufferUsages;

/// Where a row's features go when nobody asks for them; `NOWHERE` of the kernels.
const NOWHERE: u32 = u32::MAX;

/// How many streams and rows there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Streams side by side.
    pub(super) streams: usize,
    /// Rows that are sent at once.
    pub(super) rows: usize,
}

/// Buffers of one reservoir.
pub(super) struct Room {
    moving: Moving,
    stages: Vec<Stage>,
    /// What streams begin with; zeros where there is none.
    fresh: Option<wgpu::Buffer>,
    /// What is read back passes through here.
    landing: wgpu::Buffer,
    /// Which of the two states is the newest.
    is_odd: bool,
    /// Numbers that a row has of one slot.
    slot_len: usize,
}

impl Room {
    pub(super) fn new(gpu: &Gpu, program: &dyn Program, size: Size) -> Self {
        let Size { streams, rows } = size;
        let buffer = |numbers: usize, usage: BufferUsages| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 4 * numbers.max(1) as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let state = || buffer(program.state_len() * streams, BufferUsages::STORAGE | BufferUsages::COPY_DST);
        let slot_len = program.features() * streams;
        let moving = Moving {
            rows: buffer(rows * ROW_STRIDE as usize / 4, BufferUsages::UNIFORM | BufferUsages::COPY_DST),
            inputs: buffer(rows * program.inputs() * streams, BufferUsages::STORAGE | BufferUsages::COPY_DST),
            states: [state(), state()],
            features: buffer(rows * slot_len, BufferUsages::STORAGE | BufferUsages::COPY_SRC),
        };
        let fresh = program.fresh(streams);
        let fresh = fresh.map(|fresh| super::kernel::constants(gpu, &fresh, BufferUsages::COPY_SRC));
        Self {
            stages: program.stages(gpu, streams as u32, &moving),
            landing: buffer(rows * slot_len, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            moving,
            fresh,
            is_odd: false,
            slot_len,
        }
    }

    /// Bytes that it takes, on the card and where features land.
    pub(super) fn bytes(program: &dyn Program, size: Size) -> u64 {
        let Size { streams, rows } = size;
        let of_rows = rows * (program.inputs() + 2 * program.features());
        4 * (streams * (3 * program.state_len() + program.scratch_len() + of_rows)) as u64
    }

    /// Puts every stream back to its beginning.
    pub(super) fn begin(&mut self, gpu: &Gpu) {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for state in &self.moving.states {
            match &self.fresh {
                None => encoder.clear_buffer(state, 0, None),
                Some(fresh) => encoder.copy_buffer_to_buffer(fresh, 0, state, 0, fresh.size()),
            }
        }
        gpu.queue.submit([encoder.finish()]);
        self.is_odd = false;
    }

    /// Steps streams by the rows of a leg and appends the features of those that are asked for.
    pub(super) fn step(
        &mut self,
        gpu: &Gpu,
        leg: &Leg<'_>,
        inputs: &[f32],
        features: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        gpu.check()?;
        let _turn = gpu.turn();
        let slots = self.send(gpu, leg, inputs);
        let bytes = 4 * (slots as usize * self.slot_len) as u64;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (record, row) in (0..).zip(leg.rows) {
            for stage in &self.stages {
                stage.dispatch(&mut pass, record, self.is_odd, row.streams as u32);
            }
            self.is_odd = !self.is_odd;
        }
        drop(pass);
        if bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.moving.features, 0, &self.landing, 0, bytes);
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        if bytes == 0 {
            return gpu.wait(submission);
        }
        self.read(gpu, submission, bytes, features)
    }

    /// Uploads what the rows say; the number of slots that their features take.
    fn send(&self, gpu: &Gpu, leg: &Leg<'_>, inputs: &[f32]) -> u32 {
        let mut slots = 0;
        let mut records = vec![0; leg.rows.len() * ROW_STRIDE as usize / 4];
        for (index, (record, row)) in
            (0..).zip(records.chunks_exact_mut(ROW_STRIDE as usize / 4).zip(leg.rows))
        {
            let slot = if row.is_wanted { slots } else { NOWHERE };
            slots += u32::from(row.is_wanted);
            record[..3].copy_from_slice(&[index, row.streams as u32, slot]);
        }
        gpu.queue.write_buffer(&self.moving.rows, 0, bytemuck::cast_slice(&records));
        gpu.queue.write_buffer(&self.moving.inputs, 0, bytemuck::cast_slice(inputs));
        slots
    }

    fn read(
        &self,
        gpu: &Gpu,
        submission: wgpu::SubmissionIndex,
        bytes: u64,
        features: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        let (sender, mapped) = mpsc::channel();
        self.landing.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            // Nobody listens any more where the wait was given up.
            let _ = sender.send(result);
        });
        gpu.wait(submission)?;
        let lost = |reason: String| gpu.give_up(&reason);
        // Another thread's wait may be what calls back, a moment later than this thread's ends.
        mapped.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = self.landing.get_mapped_range(0..bytes).map_err(|error| lost(error.to_string()))?;
        features.extend_from_slice(bytemuck::cast_slice(&view));
        drop(view);
        self.landing.unmap();
        Ok(())
    }
}
