//! The processing node: models, a bounded queue, and threads that run what waits.
//!
//! Requests arrive over [`NodeLink`](spinwell_protocol::NodeLink) already checked. They wait in a queue of
//! fixed length; an executor that is free takes everything that waits for one model, up to the batch limit,
//! and runs it at once. Nothing is held back to wait for company: under light load a request runs alone and
//! immediately, under heavy load batches form by themselves because executors are busy.

mod alone;
mod batch;
mod callers;
mod cards;
mod deliveries;
#[cfg(test)]
mod example;
mod exchange;
mod executor;
mod fence;
mod file;
#[cfg(test)]
mod forged;
mod gather;
mod kept;
mod models;
mod node;
#[cfg(feature = "gpu")]
mod nvidia;
mod predictor;
mod queue;
mod repository;
mod sequences;
mod serve;
mod settings;
/// What the fuzzer runs, run here on inputs that a seed makes.
#[cfg(test)]
#[path = "../../../fuzz/start_up.rs"]
mod start_up;
mod trial;

pub use alone::Alone;
pub use callers::Callers;
pub use cards::{Cards, CardsError};
pub use exchange::Exchange;
pub use fence::Fence;
pub use file::{FileError, read_model};
#[cfg(feature = "stepped")]
pub use node::stepped;
pub use node::{Node, Options, StartError};
pub use predictor::{Predicted, Prediction, Predictor};
pub use repository::{Problem, ScanError, versions_in};
pub use sequences::RegionKeys;
pub use serve::{serve, serve_connections};
pub use settings::{FILE_NAME as SETTINGS_FILE, Settings};
