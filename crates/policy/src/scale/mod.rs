//! How many nodes there should be, and which are added or removed.
//!
//! The obvious way, a threshold on utilisation and a proportional step, is wrong in four places, and each has its rule here:
//! * *The same utilisation is harmless at twenty nodes and nearly fatal at three.* How many nodes a load needs is asked of a queueing model
//!   and of the ceiling at which a node may be lost ([`crate::capacity`]).
//! * *A node that is added now serves a warm-up later.* What counts is what arrives then: a forecast, as long as its errors are smaller than
//!   those of expecting no change ([`Judged`]). What is coming already counts as there, so that nobody adds nodes twice.
//! * *No data is not zero.* A figure that is missing holds everything back that it would have to allow; nothing is removed for want of a report.
//! * *A reversal soon after costs twice.* Nothing is removed within a cool-down after an addition, and nothing added within one after a removal,
//!   whatever else is the case; so there are no flaps.
//!
//! The weighted score of utilisation, trend, cost and business ([`Score`]) says how large a step is where measurements say no more than
//! "too few". It never decides alone: a cluster that is busy all the time and does not grow has a score below any threshold.
//!
//! [`decide`] is a function of options, state and what is seen; [`Scaler`] keeps the state and a history of records, each of which can be
//! decided again ([`Record::replay`]). Who carries a [`Decision`] out shows what was ordered as [`Phase::Pending`] or [`Phase::Draining`] from
//! then on, and tells what failed ([`Scaler::failed`]). Nodes and gateways are scaled alike, each kind by a scaler of its own. README.md says what is
//! wanted of it and how it goes.
//!
//! ```
//! use spinwell_core::{NodeId, UnixMillis};
//! use spinwell_policy::capacity::PerSecond;
//! use spinwell_policy::scale::{Member, Options, Phase, Region, Scaler, Snapshot};
//! let serves = |name: &str| Member::new(NodeId(name.into()), Phase::Serving, UnixMillis(0));
//! let region = Region { offered: PerSecond::new(1_400.0), ..Region::default() };
//! let members = ["a", "b", "c"].map(serves).to_vec();
//! let mut scaler = Scaler::new(Options::default());
//! let decision = scaler.decide(Snapshot { now: UnixMillis(60_000), members, region });
//! // 1,400 a second keep 1.85 nodes busy: three would do until one is lost.
//! assert_eq!(decision.target, 4);
//! assert!(decision.why[0].to_string().contains("could not be lost"));
//! ```

mod decide;
mod decision;
mod figures;
mod forecast;
mod options;
mod scaler;
mod score;
mod snapshot;
#[cfg(test)]
mod tests;
mod trend;

pub use decide::decide;
pub use decision::{Decision, Failure, Figure, Item, Reason};
pub use figures::{Figures, Model, Obstacle};
pub use forecast::{Forecaster, Judged, Persistence, SeasonalNaive};
pub use options::{BackOff, Options};
pub use scaler::{Mode, Record, Scaler, State, Trouble};
pub use score::{Advice, Score};
pub use snapshot::{CentsPerHour, Forecast, Member, Phase, Region, Snapshot, Worth};
pub use trend::Trend;
