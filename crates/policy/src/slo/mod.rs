//! Service levels: what is promised, whether it is kept, when somebody is told, and what is done about it.
//!
//! Everything here follows from counters: how many events there were, and how many of them were good. Percentiles are never averaged; that
//! 95 % of requests take less than 50 ms is asked of the histogram bucket that ends at 50 ms. Whole numbers are compared with whole
//! numbers, so that a budget is told to the request.
//!
//! The burn rates and their windows are those of the [SRE workbook, chapter 5](https://sre.google/workbook/alerting-on-slos/); why all is as it
//! is stands in the README of this folder. In short: [`Levels`] is told what each process has counted since it started ([`Reading`]), whenever anybody
//! has read it, and is [advanced](Levels::advance) every ten seconds; it answers with what has [changed](Change). [`remedy`] says what is done
//! about that. [`openslo`] and [`prometheus`] tell objectives to others.
//!
//! ```
//! use spinwell_core::UnixMillis;
//! use spinwell_policy::slo::{Change, Counts, Levels, ObjectiveName, Options, Past, Reading, SourceId, defaults};
//! let now = |seconds: u64| UnixMillis(1_795_824_000_000 + seconds * 1_000);
//! let mut levels = Levels::new(defaults::objectives(), Options::default(), &Past::default(), now(0)).unwrap();
//! let availability = ObjectiveName::new(defaults::AVAILABILITY).unwrap();
//! let reading = |good, total| Reading {
//!     source: SourceId("gateway-0".into()),
//!     started: Some(now(1)),
//!     counts: Counts { good, total },
//! };
//! levels.read(&availability, &reading(2_000, 2_000), now(10)).unwrap();
//! assert_eq!(levels.advance(now(10)), []);
//! // Nothing succeeds any more: after half a minute somebody is paged.
//! let told: Vec<_> = (2..=4)
//!     .flat_map(|tick| {
//!         levels.read(&availability, &reading(2_000, 1_000 + tick * 1_000), now(tick * 10)).unwrap();
//!         levels.advance(now(tick * 10))
//!     })
//!     .collect();
//! assert!(told.iter().any(|change| matches!(change, Change::Fires(alert) if alert.id.rule == "outage")));
//! let budget = levels.watch(&availability).unwrap().budget(now(40));
//! assert_eq!((budget.allowed, budget.consumed, budget.left), (2, 3_000, -2_998));
//! ```

pub mod alert;
mod breach;
mod budget;
mod counts;
pub mod defaults;
mod goal;
mod history;
mod levels;
pub mod maintenance;
mod objective;
pub mod openslo;
mod panel;
pub mod prometheus;
pub mod remedy;
mod ring;
mod rules;
mod run;
mod selector;
mod slices;
mod sources;
mod spans;
#[cfg(test)]
mod tests;
mod watch;

pub use alert::{Alert, Options};
pub use breach::{Acknowledged, BREACHES_MAX, Breach, Times};
pub use budget::{Budget, PRESENT};
pub use counts::Counts;
pub use goal::{BurnRate, Goal, PerMillion};
pub use history::{HistoryPast, RESOLUTION};
pub use levels::{Error, Levels, OBJECTIVES_MAX, Past};
pub use objective::{
    Events, Indicator, Invalid, Objective, ObjectiveName, Part, Sample, WINDOW_MAX, WINDOW_MIN,
};
pub use panel::{Dashboard, Health, HealthPart, Panel, Status, Trend};
pub use ring::RingPast;
pub use rules::{EVENTS_MIN, Figures, Reason, Rule, Severity};
pub use run::{Outage, Run};
pub use selector::{Condition, NotASelector, Selector};
pub use slices::Slices;
pub use sources::{Known, Reading, SourceId, SourcesPast, Taken};
pub use watch::{Change, Watch, WatchPast};
