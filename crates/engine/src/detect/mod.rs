//! Anomaly detection: how unlikely the newest row is, given the rows before it.
//!
//! A forecaster says what the row should have been and how far off it usually is; the errors in these units are
//! watched alone and averaged over several spans, so that a spike and a long quiet shift are both seen (`spans`).
//! Each of these figures becomes a p-value: by its rank among errors that training left out of its fits, and beyond
//! their largest twentieth by an exponential tail that follows the stream (`tail`). The p-value of a row is the
//! smallest one times how many there are (Bonferroni), its score −ln p. A row is an anomaly where p is at most
//! [`Detector::alpha`].
//!
//! ```
//! use spinwell_engine::data::{Columns, read_csv};
//! use spinwell_engine::detect::{ALPHA, train_detector};
//! use spinwell_engine::settings::Precision;
//! use spinwell_engine::train::{Choice, Feeds, Options, Score};
//! use spinwell_engine::{Family, Scratch, Silent};
//!
//! let wave = |t: i32| (f64::from(t) * 0.3).sin() + 0.1 * (f64::from(t) * 1.7).sin();
//! let csv: String = (0..600).map(|t| format!("{}\n", wave(t))).collect();
//! let columns = Columns { values: vec!["y".to_owned()], time: None };
//! let table = read_csv(format!("y\n{csv}").as_bytes(), &columns).unwrap();
//! let options = Options {
//!     targets: 1,
//!     feeds: Feeds::Everything,
//!     horizon: 1,
//!     season: Some(1),
//!     choice: Choice::Only(Family::Linear),
//!     settings: Default::default(),
//!     precision: Precision::Auto,
//!     trials: 4,
//!     coverage: 0.95,
//!     seed: 42,
//!     score: Score::Path,
//!     time_column: None,
//! };
//! let detector = train_detector(&table, 600, ALPHA, &options, &Silent).unwrap().detector;
//! let (mut watch, mut scratch) = (detector.watch(), Scratch::default());
//! let verdicts: Vec<_> = (600..700)
//!     .map(|t| detector.step(&mut watch, &[if t == 680 { 3.0 } else { wave(t) }], &mut scratch))
//!     .collect();
//! assert!(verdicts[80].unwrap().is_anomaly);
//! assert!(!verdicts[79].unwrap().is_anomaly);
//! ```

mod detector;
mod events;
mod spans;
mod tail;
#[cfg(test)]
mod tests;
mod train;

pub use detector::{Detector, Verdict, Watch};
pub use events::{EVENT_GAP, Events, events};
pub(crate) use spans::SPANS;
pub use train::{TrainedDetector, scored_rows, train_detector};

/// The share of usual rows that are called anomalies unless another is chosen: one row in 2,000.
pub const ALPHA: f64 = 5e-4;
