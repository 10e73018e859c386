//! A model whose reservoirs are on a card.

use super::Failure;
use super::device::Gpu;
use super::echo::EchoProgram;
use super::kernel::{Moving, Stage};
use super::room::{Room, Size};
use super::spectral::SpectralProgram;
use super::table::{COORDINATES_MAX, TableProgram};
use crate::block::{Block, Reservoir};
use crate::model::{Core, Elsewhere, Leg, Parts};
use crate::quantum::Matrices;
use crate::{Forecast, Model, Scratch, Window, WindowError};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Most windows that step side by side.
const STREAMS_MAX: usize = 256;
/// Streams come in multiples of this many.
const STREAMS_STEP: usize = 8;
/// Most rows that are sent at once.
const ROWS_MAX: usize = 1024;
/// Most numbers that are sent or come back at once, 64 MiB.
const SENT_MAX: usize = 16 << 20;
/// Multiplications that are asked for at once: some milliseconds of a card, seconds of a software one. Systems take a card
/// away from whoever occupies it for too long.
const WORK_MAX: usize = 4_000_000_000;
/// Rooms of a model that are kept for its next batches.
const ROOMS_KEPT: usize = 8;
/// Bytes of a card's rooms that are kept, of all models.
const IDLE_BYTES_MAX: u64 = 512 << 20;

/// Why a model stays on the CPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It computes in 64 bits.
    #[error("it computes in 64 bits, which cards do slowly or not at all")]
    Wide,
    /// Nothing of it would run on a card.
    #[error("it has no echo-state or quantum reservoir that a card can step: {0}")]
    NothingToDo(&'static str),
    /// A card's buffers do not hold it.
    #[error("it needs {needed} bytes in one buffer, and the card gives {given}")]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// Bytes that there are.
        given: u64,
    },
    /// The card failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A reservoir on a card.
pub(super) trait Program: Send + Sync {
    /// Inputs of a row.
    fn inputs(&self) -> usize;
    /// Features of a row.
    fn features(&self) -> usize;
    /// Numbers of a stream's state.
    fn state_len(&self) -> usize;
    /// Numbers that a step needs of each stream beside its state.
    fn scratch_len(&self) -> usize {
        0
    }
    /// What so many streams begin with; `None` for zeros.
    fn fresh(&self, streams: usize) -> Option<Vec<f32>>;
    /// Bytes of its weights.
    fn bytes(&self) -> u64;
    /// Multiplications of a stream's row.
    fn operations(&self) -> usize;
    /// What a row takes, in order.
    fn stages(&self, gpu: &Gpu, stride: u32, moving: &Moving) -> Vec<Stage>;
}

/// A model on a card.
pub struct Resident {
    gpu: Arc<Gpu>,
    model: Arc<Model>,
    /// One for each reservoir that the card steps.
    programs: Vec<Option<Box<dyn Program>>>,
    /// Rooms that nobody uses at the moment.
    rooms: Mutex<Vec<Rooms>>,
}

/// Room for all reservoirs of some streams.
struct Rooms {
    size: Size,
    rooms: Vec<Option<Room>>,
}

/// Rooms in use.
struct Lease<'r> {
    gpu: &'r Gpu,
    rooms: &'r mut Rooms,
}

impl Resident {
    /// Brings a model's reservoirs onto a card.
    ///
    /// # Errors
    /// Where the card can do nothing for this model, cannot hold it, or fails.
    pub fn load(gpu: Arc<Gpu>, model: Arc<Model>) -> Result<Self, Unsupported> {
        let Core::F32(parts) = model.core() else { return Err(Unsupported::Wide) };
        let mut reason = "it has no reservoir";
        let mut programs: Vec<Option<Box<dyn Program>>> = Vec::new();
        for block in &parts.encoder.blocks {
            let given = gpu.buffer_bytes_max();
            let needed = largest_weights(block);
            if needed > given {
                return Err(Unsupported::TooLarge { needed, given });
            }
            let program = in_memory(&gpu, || program(&gpu, block))?;
            programs.push(program.map_err(|why| reason = why).ok());
        }
        if programs.iter().all(Option::is_none) {
            return Err(Unsupported::NothingToDo(reason));
        }
        gpu.check()?;
        let resident = Self { gpu, model, programs, rooms: Mutex::default() };
        let needed = 4 * (STREAMS_STEP * resident.widest()) as u64;
        let given = resident.gpu.buffer_bytes_max();
        if needed > given {
            return Err(Unsupported::TooLarge { needed, given });
        }
        Ok(resident)
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The card.
    #[must_use]
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Bytes that the weights take on the card.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.programs().map(Program::bytes).sum()
    }

    /// As [`Model::forecast_windows`], with the card's arithmetic.
    ///
    /// # Errors
    /// Where the card fails; then nothing has been answered.
    pub fn forecast_windows(
        &self,
        windows: &[Window<'_>],
    ) -> Result<Vec<Result<Forecast, WindowError>>, Failure> {
        let parts = self.parts();
        let mut results: Vec<_> =
            windows.iter().map(|window| self.model.check(window).map(|()| None)).collect();
        let mut wanted: Vec<usize> = (0..windows.len()).filter(|&index| results[index].is_ok()).collect();
        wanted.sort_by_key(|&index| std::cmp::Reverse(windows[index].series.rows()));
        if let Some(&longest) = wanted.first() {
            self.gpu.check()?;
            let mut rooms = self.rooms_for(wanted.len(), windows[longest].series.rows())?;
            let lease = Lease { gpu: &self.gpu, rooms: &mut rooms };
            parts.forecast_offloaded(windows, &wanted, &mut results, &mut Scratch::default(), lease)?;
            self.keep(rooms);
        }
        let answered = |result: Result<Option<Forecast>, WindowError>| {
            result.map(|forecast| forecast.expect("every checked window was forecast"))
        };
        Ok(results.into_iter().map(answered).collect())
    }

    /// The same programs under another model's name: a card that computes something else.
    #[cfg(test)]
    pub(super) fn with_model(mut self, model: Arc<Model>) -> Self {
        self.model = model;
        self
    }

    pub(super) fn parts(&self) -> &Parts<f32> {
        match self.model.core() {
            Core::F32(parts) => parts,
            Core::F64(_) => unreachable!("models of 64 bits are not brought onto a card"),
        }
    }

    fn programs(&self) -> impl Iterator<Item = &dyn Program> {
        self.programs.iter().flatten().map(AsRef::as_ref)
    }

    /// Most numbers that one stream takes in one buffer.
    fn widest(&self) -> usize {
        let widest = |program: &dyn Program| {
            let a_row = program.features().max(program.inputs());
            program.state_len().max(program.scratch_len()).max(a_row)
        };
        self.programs().map(widest).max().unwrap_or(0)
    }

    /// Rooms for so many windows, as many as fit a card's buffers.
    fn rooms_for(&self, windows: usize, rows: usize) -> Result<Rooms, Failure> {
        let numbers = self.gpu.buffer_bytes_max() as usize / 4;
        // Powers of two, so that few sizes are asked for.
        let wanted = windows.next_power_of_two().clamp(STREAMS_STEP, STREAMS_MAX);
        let fitting = numbers / self.widest();
        let streams = if wanted > fitting { fitting / STREAMS_STEP * STREAMS_STEP } else { wanted };
        let a_row =
            self.programs().map(|program| program.inputs().max(program.features())).max().unwrap_or(1);
        let rows_fitting = numbers.min(SENT_MAX) / (a_row * streams);
        let operations: usize = self.programs().map(Program::operations).sum();
        let rows_bearable = WORK_MAX / (operations * streams).max(1);
        let rows = rows.next_power_of_two().min(ROWS_MAX).min(rows_fitting).min(rows_bearable).max(1);
        let size = Size { streams, rows };
        if let Some(rooms) = self.kept(size) {
            return Ok(rooms);
        }
        let room = |program: &Option<Box<dyn Program>>| {
            program.as_ref().map(|program| Room::new(&self.gpu, program.as_ref(), size))
        };
        in_memory(&self.gpu, || Rooms { size, rooms: self.programs.iter().map(room).collect() })
    }

    /// Rooms of so many streams and at least so many rows, where they are at hand.
    fn kept(&self, size: Size) -> Option<Rooms> {
        let mut idle = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |rooms: &Rooms| rooms.size.streams == size.streams && rooms.size.rows >= size.rows;
        let place = idle.iter().position(fits)?;
        let rooms = idle.remove(place);
        self.gpu.idle_bytes.fetch_sub(self.bytes_of(rooms.size), Ordering::Relaxed);
        Some(rooms)
    }

    /// Keeps rooms for the next batch, unless there are enough.
    fn keep(&self, rooms: Rooms) {
        let bytes = self.bytes_of(rooms.size);
        let with_more = |idle: u64| Some(idle + bytes).filter(|&idle| idle <= IDLE_BYTES_MAX);
        let mut idle = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < ROOMS_KEPT
            && self.gpu.idle_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more).is_ok()
        {
            // The last one kept is the first one used, so that the others can be let go of.
            idle.insert(0, rooms);
        } else if let Some(oldest) = idle.pop() {
            self.gpu.idle_bytes.fetch_sub(self.bytes_of(oldest.size), Ordering::Relaxed);
        }
    }

    fn bytes_of(&self, size: Size) -> u64 {
        self.programs().map(|program| Room::bytes(program, size)).sum()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let idle = std::mem::take(self.rooms.get_mut().unwrap_or_else(PoisonError::into_inner));
        let bytes: u64 = idle.iter().map(|rooms| self.bytes_of(rooms.size)).sum();
        self.gpu.idle_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Makes buffers; where the card has no memory for them, the card itself is none the worse.
fn in_memory<T>(gpu: &Gpu, make: impl FnOnce() -> T) -> Result<T, Failure> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let made = make();
    match pollster::block_on(scope.pop()) {
        None => Ok(made),
        Some(_) => Err(Failure::Full),
    }
}

/// Bytes of the largest buffer of a reservoir's weights.
fn largest_weights(block: &Block<f32>) -> u64 {
    let numbers = match &block.reservoir {
        Reservoir::Echo(echo) => EchoProgram::largest_weights(echo),
        Reservoir::Quantum(bank) => bank.matrices_len(),
        Reservoir::Spiking(_) => 0,
    };
    4 * numbers as u64
}

impl Elsewhere for Lease<'_> {
    type Error = Failure;

    fn steps(&self, block: usize) -> bool {
        self.rooms.rooms[block].is_some()
    }

    fn streams(&self) -> usize {
        self.rooms.size.streams
    }

    fn rows(&self) -> usize {
        self.rooms.size.rows
    }

    fn begin(&mut self) {
        self.rooms.rooms.iter_mut().flatten().for_each(|room| room.begin(self.gpu));
    }

    fn step(
        &mut self,
        block: usize,
        leg: &Leg<'_>,
        inputs: &[f32],
        features: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        let room = self.rooms.rooms[block].as_mut().expect("only blocks that are here are stepped here");
        room.step(self.gpu, leg, inputs, features)
    }
}

/// The program of a reservoir, or why there is none.
fn program(gpu: &Gpu, block: &Block<f32>) -> Result<Box<dyn Program>, &'static str> {
    match &block.reservoir {
        Reservoir::Echo(echo) => Ok(Box::new(EchoProgram::load(gpu, echo))),
        Reservoir::Spiking(_) => Err("spiking neurons are stepped by events, which suits the CPU"),
        Reservoir::Quantum(bank) => {
            let settings = &bank.weights().settings;
            if settings.drive > 0.0 {
                return Err("its qubits are driven by neurons that step on the CPU");
            }
            if settings.shots.is_some() {
                return Err("the noise of finite shots is drawn on the CPU");
            }
            match bank.matrices() {
                Matrices::Tables(tables) if 2 * tables[0].half() > COORDINATES_MAX => {
                    Err("its networks have more coordinates than a workgroup has room for")
                }
                Matrices::Tables(tables) => Ok(Box::new(TableProgram::load(gpu, bank, &tables))),
                Matrices::Spectra(spectra) => Ok(Box::new(SpectralProgram::load(gpu, bank, &spectra))),
            }
        }
    }
}
