//! Who attacks, and what is done about it.
//!
//! [`Threats`] reads requests as they ended, counts what attacks have in common, for each principal and each address, and says what the
//! next request of the same caller meets: nothing, a low rate, or a block. README.md says what is wanted, why it looks as it does, and
//! what it cannot find.
//!
//! * *Different ones count, not many.* A client with an expired key fails every second for days with one credential; who tries
//!   credentials tries different ones. The same for names, bodies, sequences and addresses (`window`).
//! * *What comes again weighs more* (`standing`): log, then a low rate, then a block, each with an end.
//! * *Nobody is blocked for what others do*: without authentication a request counts against its address, with it against its
//!   principal, and an address's measure does not touch who was good there before.
//! * *Strangers get a fixed space* (`table`).
//!
//! ```
//! use spinwell_core::Millis;
//! use spinwell_policy::threat::{Credential, Event, Observation, Options, Subject, Threats};
//!
//! let mut threats = Threats::new(Options::default(), 42).unwrap();
//! let address = "203.0.113.9".parse().unwrap();
//! let tried = |n: u64| Observation {
//!     now: Millis(n * 100),
//!     address,
//!     event: Event::Refused(Credential { key: n, credential: n, is_known: true }),
//! };
//! let found = (0..30).find_map(|n| threats.observe(&tried(n)).finding).unwrap();
//! assert_eq!(found.subject, Subject::Address(address));
//! ```

mod finding;
mod habits;
mod observation;
mod options;
mod records;
mod sketch;
mod standing;
mod table;
#[cfg(test)]
mod tests;
mod threats;
mod window;

pub use finding::{Detector, Evidence, Finding, Level, Response, Severity, Subject, Verdict};
pub use habits::Past;
pub use observation::{Anomaly, Answer, Credential, Event, Object, Observation, PrincipalId, Request};
pub use options::{InvalidOptions, Limits, Options};
pub use sketch::Sketch;
pub use threats::{Observed, Refusal, Threats, Tracked};
