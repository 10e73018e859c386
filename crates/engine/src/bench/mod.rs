//! The kernels as named pieces of work, for those who measure them.
//!
//! The engine knows no clock, so a [`Workload`] only says what one run of it does and how much arithmetic and memory
//! traffic that takes; `examples/engine_speed.rs` and `benches/kernels.rs` hold the stop-watch. Everything but whole
//! trainings runs on one thread, on the kernels that serving runs, with states that have settled.

mod learning;
mod limits;
mod models;
mod reservoirs;
mod series;

pub use crate::kernel::InstructionSet;
pub use models::{Compared, Costed, MODELS};
pub use series::{CLASSIFIERS, Labelled};

/// A piece of work that can be run again and again.
pub struct Workload {
    /// What it is called in tables.
    pub name: String,
    /// What one unit of it is.
    pub unit: &'static str,
    /// Units that one call of `run` does.
    pub units: f64,
    /// Floating-point operations of a unit, counted by the mathematics (zero weights and padding are not work).
    pub flops: Option<f64>,
    /// Bytes of weights and state that a unit must read at least once.
    pub bytes: Option<f64>,
    /// Does it once.
    pub run: Box<dyn FnMut()>,
}

impl Workload {
    fn new(name: impl Into<String>, unit: &'static str, units: usize, run: impl FnMut() + 'static) -> Self {
        let (name, units) = (name.into(), units as f64);
        Self { name, unit, units, flops: None, bytes: None, run: Box::new(run) }
    }

    fn with_flops(self, flops: f64) -> Self {
        Self { flops: Some(flops), ..self }
    }

    fn with_bytes(self, bytes: f64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}

/// A workload that is prepared only when it is asked for.
pub struct Planned {
    /// The name of the workload.
    pub name: String,
    prepare: Box<dyn Fn() -> Workload>,
}

impl Planned {
    fn new(name: impl Into<String>, prepare: impl Fn() -> Workload + 'static) -> Self {
        Self { name: name.into(), prepare: Box::new(prepare) }
    }

    /// Draws weights, lets states settle.
    #[must_use]
    pub fn prepare(&self) -> Workload {
        (self.prepare)()
    }
}

/// All workloads: the machine's limits, reservoirs, learning.
#[must_use]
pub fn all() -> Vec<Planned> {
    let mut all = limits::all();
    all.extend(reservoirs::all());
    all.extend(learning::all());
    all
}
