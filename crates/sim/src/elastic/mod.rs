//! Simulated days of a region that grows and shrinks, under our scaler and under the rules of others.
//!
//! Each second of a day so much arrives ([`day`]), the nodes that serve take what they can, a bounded queue takes what it can, and the rest is
//! refused ([`region`]). A rule looks and says how many nodes there should be ([`rules`]); what it orders serves a warm-up later. Every
//! rule sees the same day, begins with the same nodes, and has the same bounds, warm-ups, drains and losses. Every rule is tuned by the same
//! random search on days that it is not measured on ([`tune`]).
//!
//! It is a model of flows, not of requests: a second in which P95 would be over 50 ms by the queueing model, or in which more than 0.1 % is
//! refused, is missed, and all that is compared is how many those are and how many hours of nodes that took.
//!
//! ```
//! use spinwell_sim::elastic::{day, rules::Settings, run};
//! let day = day::Kind::FlashCrowd.of_seed(3).first(3_600);
//! let measured = run::run(&day, &Settings::Ours(Default::default()));
//! assert_eq!(measured.flaps, 0);
//! assert!(measured.node_hours >= 3.0);
//! ```

pub mod day;
pub mod page;
pub mod region;
pub mod rules;
pub mod run;
pub mod tune;
