//! Reservoirs on graphics cards, through Vulkan.
//!
//! A card steps the reservoirs of many windows side by side; everything else stays here. What reservoirs hear does not
//! depend on their state, so that the rows of all windows are prepared first, stepped on the card one dispatch a row
//! without waiting in between, and read back as features. Scores, intervals and read-outs are then the CPU's own,
//! in 64 bits where they are so there. Windows of different lengths begin together and leave one by one: the longest
//! stand first, so that those under way are always the first streams.
//!
//! Sums run in another order than on the CPU and the card has its own exponential function, so the bits differ: this is
//! a [numeric profile](spinwell_core::NumericProfile::GpuF32) of its own. [`Resident::self_test`] says how far it is
//! from the CPU's. A prediction's bits do not depend on the windows beside it: every sum has one order, whatever the
//! number of streams.
//!
//! A card that fails is not asked again: callers get a [`Failure`] and turn to the CPU, as they do for a batch that the
//! card has no memory for.

mod agreement;
mod device;
mod echo;
mod kernel;
mod resident;
mod room;
mod spectral;
mod table;
#[cfg(test)]
mod tests;

pub use agreement::{AGREEMENT_MAX, Disagreement};
pub use device::{Adapter, Gpu, OpenError, adapters};
pub use resident::{Resident, Unsupported};

use sha2::{Digest, Sha256};

const ROW: &str = include_str!("shaders/row.wgsl");
const ECHO: &str = include_str!("shaders/echo.wgsl");
const ECHO_DENSE: &str = include_str!("shaders/echo_dense.wgsl");
const ECHO_SPARSE: &str = include_str!("shaders/echo_sparse.wgsl");
const QUANTUM_TABLE: &str = include_str!("shaders/quantum_table.wgsl");
const SPECTRAL: &str = include_str!("shaders/spectral.wgsl");
const SPECTRAL_PRODUCT: &str = include_str!("shaders/spectral_product.wgsl");
const SPECTRAL_ROTATE: &str = include_str!("shaders/spectral_rotate.wgsl");
const SPECTRAL_BLOCKS: &str = include_str!("shaders/spectral_blocks.wgsl");
const SPECTRAL_READ: &str = include_str!("shaders/spectral_read.wgsl");
const SPECTRAL_EVOLVE: &str = include_str!("shaders/spectral_evolve.wgsl");
const SPECTRAL_RETURN: &str = include_str!("shaders/spectral_return.wgsl");
const SPECTRAL_HOME: &str = include_str!("shaders/spectral_home.wgsl");
/// Everything that is compiled for a card.
const SOURCES: [&str; 13] = [
    ROW,
    ECHO,
    ECHO_DENSE,
    ECHO_SPARSE,
    QUANTUM_TABLE,
    SPECTRAL,
    SPECTRAL_PRODUCT,
    SPECTRAL_ROTATE,
    SPECTRAL_BLOCKS,
    SPECTRAL_READ,
    SPECTRAL_EVOLVE,
    SPECTRAL_RETURN,
    SPECTRAL_HOME,
];

/// Why a card did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It stopped working, for good; what it said.
    #[error("the graphics card stopped working: {0}")]
    Lost(String),
    /// It has no memory left for this batch.
    #[error("the graphics card has no memory left")]
    Full,
}

/// The first 12 hexadecimal digits of the SHA-256 of everything that is compiled for a card: part of what names the
/// arithmetic of a prediction.
#[must_use]
pub fn shader_hash() -> String {
    let mut hash = Sha256::new();
    SOURCES.iter().for_each(|source| hash.update(source));
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
