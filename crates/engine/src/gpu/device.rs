//! Finding cards and opening them.

use super::Failure;
use super::kernel::Kernels;
use pollster::block_on;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a card may work on one submission, which is bounded to take far less. Beyond, its driver hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest buffer that is asked for, in bytes; more streams or rows go in several passes.
const BUFFER_BYTES_MAX: u64 = 256 << 20;

/// A card that this machine's drivers offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its place among them, the number in `--device gpu:I`.
    pub index: usize,
    /// What it calls itself.
    pub name: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// Whether it is a program that only plays a card.
    pub is_software: bool,
}

/// Why a card could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is none of that number.
    #[error("there is no graphics card {index}; this machine has {count}")]
    Missing {
        /// The number.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// Its driver refuses.
    #[error("graphics card {index} ({name}) cannot be opened: {reason}")]
    Refused {
        /// The number.
        index: usize,
        /// What it calls itself.
        name: String,
        /// What the driver says.
        reason: String,
    },
}

/// An open card.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) kernels: Kernels,
    adapter: Adapter,
    buffer_bytes_max: u64,
    /// Bytes of rooms that wait for their next use, of all models.
    pub(super) idle_bytes: AtomicU64,
    /// Whose submission the card works on: waiting for one's own must not count the work of others.
    turn: Mutex<()>,
    trouble: Arc<Mutex<Option<String>>>,
    #[cfg(test)]
    pub(super) fails_to_wait: std::sync::atomic::AtomicBool,
}

/// The cards that this machine's drivers offer, in the drivers' order; none where there is no driver.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    found().iter().enumerate().map(|(index, adapter)| describe(index, &adapter.get_info())).collect()
}

fn found() -> Vec<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::VULKAN))
}

fn describe(index: usize, info: &wgpu::AdapterInfo) -> Adapter {
    Adapter {
        index,
        name: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        is_software: info.device_type == wgpu::DeviceType::Cpu,
    }
}

impl Gpu {
    /// Opens card number `index` and compiles the kernels for it.
    ///
    /// # Errors
    /// Where there is no such card or its driver refuses.
    pub fn open(index: usize) -> Result<Self, OpenError> {
        let mut found = found();
        if index >= found.len() {
            return Err(OpenError::Missing { index, count: found.len() });
        }
        let chosen = found.swap_remove(index);
        let adapter = describe(index, &chosen.get_info());
        let refused = |reason: String| OpenError::Refused { index, name: adapter.name.clone(), reason };
        let limits = chosen.limits();
        let descriptor =
            wgpu::DeviceDescriptor { required_limits: limits.clone(), ..wgpu::DeviceDescriptor::default() };
        let (device, queue) =
            block_on(chosen.request_device(&descriptor)).map_err(|error| refused(error.to_string()))?;
        let trouble = Arc::new(Mutex::new(None));
        let (by_error, by_loss) = (trouble.clone(), trouble.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&by_error, error.to_string())));
        device.set_device_lost_callback(move |_, message| note(&by_loss, message));
        let kernels = Kernels::compile(&device);
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let gpu = Self {
            device,
            queue,
            kernels,
            adapter: adapter.clone(),
            buffer_bytes_max: bytes.min(BUFFER_BYTES_MAX),
            idle_bytes: AtomicU64::new(0),
            turn: Mutex::default(),
            trouble,
            #[cfg(test)]
            fails_to_wait: std::sync::atomic::AtomicBool::new(false),
        };
        gpu.check().map_err(|failure| refused(failure.to_string()))?;
        Ok(gpu)
    }

    /// The same card with smaller buffers, so that batches are split sooner.
    #[must_use]
    pub fn with_buffers_of(mut self, bytes: u64) -> Self {
        self.buffer_bytes_max = self.buffer_bytes_max.min(bytes);
        self
    }

    /// Which card it is.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    pub(super) fn buffer_bytes_max(&self) -> u64 {
        self.buffer_bytes_max
    }

    /// Whether the card still works, as far as its driver has said.
    ///
    /// # Errors
    /// What it said, or why it was written off.
    pub fn check(&self) -> Result<(), Failure> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(message) => Err(Failure::Lost(message.clone())),
        }
    }

    /// Writes off the card: it is not asked again.
    pub fn give_up(&self, message: &str) -> Failure {
        note(&self.trouble, message.to_owned());
        Failure::Lost(message.to_owned())
    }

    /// Takes the device away, as a driver does when it resets a card.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Waits until a submission is done.
    pub(super) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), Failure> {
        let until = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        // The library panics where a driver says that the device is lost while it is waited for.
        let waited = catch_unwind(AssertUnwindSafe(|| self.poll(until)));
        let trouble = match waited {
            Ok(Ok(_)) => return self.check(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its driver failed".to_owned(),
        };
        // Letting go of the queue would wait for the hanging work without end.
        std::mem::forget(self.queue.clone());
        Err(self.give_up(&trouble))
    }

    #[cfg(not(test))]
    fn poll(&self, until: wgpu::PollType) -> Result<wgpu::PollStatus, wgpu::PollError> {
        self.device.poll(until)
    }

    /// The same, unless a test makes it fail.
    #[cfg(test)]
    fn poll(&self, until: wgpu::PollType) -> Result<wgpu::PollStatus, wgpu::PollError> {
        assert!(!self.fails_to_wait.load(std::sync::atomic::Ordering::SeqCst), "as a lost device does");
        self.device.poll(until)
    }

    /// The right to submit work and wait for it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the first trouble: what follows are its consequences.
fn note(trouble: &Mutex<Option<String>>, message: String) {
    trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
}
