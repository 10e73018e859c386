//! Classification of labelled time series: reading cases, features, training, the trained classifier.
//!
//! A series becomes many features that are drawn once and never trained (dilated convolutions, pooled states of a
//! reservoir, or both), and one ridge regression reads them. Which of them, and how strongly the readout is penalised,
//! is chosen on training cases that are left out in turn.
//!
//! ```
//! use spinwell_engine::classify::{CaseColumns, ClassifyObserver, ClassifyOptions, Split};
//! use spinwell_engine::classify::{read_cases, score, train_classifier};
//!
//! let mut csv = "split,label,t0,t1,t2,t3,t4,t5,t6,t7,t8,t9,t10,t11\n".to_owned();
//! for case in 0..24 {
//!     let (split, label) = (["train", "test"][case % 2], ["slow", "fast"][case / 2 % 2]);
//!     let speed = if label == "fast" { 1.5 } else { 0.7 };
//!     let wave = |t: usize| ((t + case) as f64 * speed).sin().to_string();
//!     csv += &format!("{split},{label},{}\n", (0..12).map(wave).collect::<Vec<_>>().join(","));
//! }
//! let cases = read_cases(csv.as_bytes(), &CaseColumns::default()).unwrap();
//! let options = ClassifyOptions { trials: 3, ..ClassifyOptions::default() };
//! let trained = train_classifier(&cases, &options, ClassifyObserver::SILENT).unwrap();
//! let answer = trained.classifier.classify(&cases.cases[0].values).unwrap();
//! assert_eq!(trained.classifier.labels()[answer.label], "slow");
//! assert!(score(&trained.classifier, &cases, Split::Test).unwrap().accuracy > 0.9);
//! ```

mod cases;
mod choose;
mod extract;
mod file;
mod model;
mod options;
mod plan;
mod pool;
mod read;
mod ridge;
mod score;
mod series;
mod settings;
mod shape;
mod softmax;
mod spec;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod train;

pub(crate) use extract::Extractor;
pub(crate) use shape::Shape;

pub use cases::{Case, CaseColumns, Cases, Error, Split};
pub use choose::ClassifierCandidate;
pub use model::{Classified, Classifier, ClassifyError};
pub use options::{
    ClassifierChoice, ClassifyEvent, ClassifyObserver, ClassifyOptions, ClassifySettings, TrainError,
};
pub use read::{check_one_case, read_cases};
pub use score::{ClassFigures, ClassifyFigures, score};
pub use settings::SETTINGS_KEYS;
pub use spec::{ClassifierFamily, ClassifierSpec, ShapeForm};
pub use train::{TrainedClassifier, train_classifier};
