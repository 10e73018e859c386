//! Objectives as OpenSLO v1 documents, and back.
//!
//! The specification (github.com/OpenSLO/OpenSLO, v1) says less than an objective here does, and more. What it cannot say stands in
//! annotations whose names begin with `spinwell/`, so that what is written is read as it was, and others can still read the rest:
//!
//! | here | in a document |
//! |---|---|
//! | share of good events | `budgetingMethod: Occurrences`, `ratioMetric` with `good` or `bad`, and `total`; queries are sums of counters |
//! | time slices | `Timeslices`, `timeSliceTarget: 1`; `spinwell/slice-per-second`: what must be served where more is asked for |
//! | at least | `target` |
//! | 100 % | `target: 0.999999`, because targets must be less than 1, with `spinwell/target: "1"`; 1 is read as well |
//! | more than; a band | `spinwell/goal: more-than`; `within` with `spinwell/high`, `spinwell/events-min`, `target` being the least |
//! | burn rates | alert policies with one condition of kind `burnrate`; `spinwell/short-window` (without it a twelfth of the long one), `spinwell/events-min` |
//! | other rules | `spinwell/outage`, `spinwell/any-event`, `spinwell/out-of-band` |
//! | weight | `spinwell/weight` |
//!
//! A document without `alertPolicies` has the usual rules, one with an empty list has none. What would mean another thing here than
//! its author meant is refused by the name of its field: threshold metrics and raw ratios, calendar windows, `RatioTimeslices`, queries that are more
//! than sums of counters.
//!
//! ```
//! use spinwell_policy::slo::{defaults, openslo};
//! let objectives = defaults::objectives();
//! assert_eq!(openslo::read(&openslo::write(&objectives)), Ok(objectives));
//! ```

mod query;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use read::read;
pub use tree::{Error, Tree};
pub use write::write;

/// What documents say that they are.
const API_VERSION: &str = "openslo/v1";

/// Names of annotations.
mod annotations {
    pub(super) const SLICE_PER_SECOND: &str = "spinwell/slice-per-second";
    pub(super) const TARGET: &str = "spinwell/target";
    pub(super) const GOAL: &str = "spinwell/goal";
    pub(super) const HIGH: &str = "spinwell/high";
    pub(super) const EVENTS_MIN: &str = "spinwell/events-min";
    pub(super) const SHORT_WINDOW: &str = "spinwell/short-window";
    pub(super) const OUTAGE: &str = "spinwell/outage";
    pub(super) const ANY_EVENT: &str = "spinwell/any-event";
    pub(super) const OUT_OF_BAND: &str = "spinwell/out-of-band";
    pub(super) const WEIGHT: &str = "spinwell/weight";
    pub(super) const MORE_THAN: &str = "more-than";
    pub(super) const WITHIN: &str = "within";
    /// With what all of ours begin.
    pub(super) const PREFIX: &str = "spinwell/";
    /// All of a document of kind SLO.
    pub(super) const ALL: [&str; 9] =
        [SLICE_PER_SECOND, TARGET, GOAL, HIGH, EVENTS_MIN, OUTAGE, ANY_EVENT, OUT_OF_BAND, WEIGHT];
}
