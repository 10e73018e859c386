//! The words that every Spinwell crate shares, and nothing else.
//!
//! Tier 0 of the house: no dependency, no I/O, no clock. A type lives here only when at least two crates of
//! different tiers must agree on it.
//!
//! ```
//! use spinwell_core::{Code, Fault};
//! let fault = Fault::new(Code::WindowTooShort, "the window has 12 rows, model taxi needs at least 432");
//! assert_eq!(fault.code().as_str(), "SPW-WINDOW-TOO-SHORT");
//! assert!(!fault.code().retryable());
//! ```

mod fault;
mod fnv;
mod ids;
mod outcome;
mod priority;
mod region;
mod rng;
mod sequence;
mod series;
mod trace;
mod units;

pub use fault::{Blame, Code, Fault};
pub use fnv::Fnv;
pub use ids::{InvalidName, ModelHash, ModelName, ModelVersion, NodeId};
pub use outcome::{
    BatchCall, BatchCallId, BatchCallPhase, BatchPart, BatchPlan, BatchShare, Outcome, Protocol, ResultClass,
    SequenceStep, Timings,
};
pub use priority::{Priority, TenantId};
pub use region::{Caller, Order};
pub use rng::{Rng, split_mix_64};
pub use sequence::{SequenceId, SequenceKey, StateSource};
pub use series::{NumericProfile, Samples, Series};
pub use trace::{InvalidTraceParent, SpanId, Trace, TraceId, TraceParent};
pub use units::{Micros, Millis, Ratio, UnixMicros, UnixMillis};
