//! Reservoir models of time series: data, training, forecasting, intervals, the model file.
//!
//! The crate is pure: it reads `impl Read`, reports through a callback, stops when asked, and knows neither clock
//! nor files. Training and serving share one path from rows to features, so **a model is judged with exactly the
//! arithmetic it is served with**.
//!
//! ```
//! use spinwell_engine::data::{Columns, read_csv};
//! use spinwell_engine::settings::Precision;
//! use spinwell_engine::train::{Choice, Feeds, Folds, Options, Score, train};
//! use spinwell_engine::{Family, Silent};
//!
//! let csv: String = (0..400).map(|t| format!("{}\n", (f64::from(t) * 0.3).sin())).collect();
//! let columns = Columns { values: vec!["y".to_owned()], time: None };
//! let table = read_csv(format!("y\n{csv}").as_bytes(), &columns).unwrap();
//! let options = Options {
//!     targets: 1,
//!     feeds: Feeds::Everything,
//!     horizon: 3,
//!     season: Some(1),
//!     choice: Choice::Only(Family::Linear),
//!     settings: Default::default(),
//!     precision: Precision::Auto,
//!     trials: 4,
//!     coverage: 0.9,
//!     seed: 42,
//!     score: Score::Path,
//!     time_column: None,
//! };
//! let trained = train(&table, &Folds::inside(400), &options, &Silent).unwrap();
//! assert!(trained.candidates[trained.chosen].validation.nrmse < 0.01);
//! ```

pub mod adapt;
mod any;
pub mod artefact;
pub mod backtest;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod block;
pub mod classify;
mod cohort;
pub mod cost;
pub mod data;
pub mod detect;
mod echo;
mod encoder;
pub mod free_run;
#[cfg(feature = "gpu")]
pub mod gpu;
mod hands;
mod intervals;
mod kernel;
mod linalg;
pub mod metrics;
mod model;
mod products;
mod quantum;
mod rls;
pub mod season;
pub mod settings;
mod spec;
mod spiking;
pub mod train;
pub mod yardstick;

pub use any::AnyModel;
pub use kernel::InstructionSet;
pub use model::{Contraction, Forecast, Model, Scratch, StateError, Stream, Window, WindowError};
pub use quantum::{QuantumMemory, QuantumSettings};
pub use spec::{
    Base, BlockSettings, EchoSettings, Family, Hearing, LagForm, Lags, Mixing, Products, ReservoirSettings,
    Spec, Topology, Transform,
};
pub use spiking::{Activity, SpikeEncoding, SpikingSettings, SpikingWiring};

/// An observer that hears nothing and never stops.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl train::Observer for Silent {
    fn event(&self, _: &train::Event<'_>) {}

    fn stop_requested(&self) -> bool {
        false
    }
}
