//! A trained model of any kind, for those who learn from the file what they have been given.
//!
//! What every kind has in common is answered here (its name, its channels, how much it needs to see); what it
//! predicts differs, so callers match on the kind for that.

use crate::artefact::{Error, Kind, open};
use crate::classify::Classifier;
use crate::detect::Detector;
use crate::model::Model;
use spinwell_core::{ModelHash, NumericProfile};

/// A trained model.
#[derive(Debug, Clone)]
pub enum AnyModel {
    /// Says what comes next.
    Forecaster(Model),
    /// Says which class a window is of.
    Classifier(Classifier),
    /// Says how unlikely the last row of a window is.
    Detector(Detector),
}

/// Runs the same expression on the model, whatever its kind.
macro_rules! with_model {
    ($any:expr, $model:ident => $result:expr) => {
        match $any {
            AnyModel::Forecaster($model) => $result,
            AnyModel::Classifier($model) => $result,
            AnyModel::Detector($model) => $result,
        }
    };
}

impl AnyModel {
    /// Reads a model file of any kind.
    ///
    /// # Errors
    /// Where the bytes are not a model file, are damaged, or are of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (kind, _) = open(bytes)?;
        match kind {
            Kind::Forecaster => Model::from_bytes(bytes).map(AnyModel::Forecaster),
            Kind::Classifier => Classifier::from_bytes(bytes).map(AnyModel::Classifier),
            Kind::Detector => Detector::from_bytes(bytes).map(AnyModel::Detector),
        }
    }

    /// The bytes of the model file. The same model always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        with_model!(self, model => model.to_bytes())
    }

    /// The SHA-256 of the model file.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        with_model!(self, model => model.hash())
    }

    /// What the model does, as `spinwell train --task` takes it.
    #[must_use]
    pub const fn task(&self) -> &'static str {
        match self {
            AnyModel::Forecaster(_) => "forecast",
            AnyModel::Classifier(_) => "classify",
            AnyModel::Detector(_) => "anomaly",
        }
    }

    /// The name of the family it belongs to.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            AnyModel::Forecaster(model) => model.family().as_str(),
            AnyModel::Classifier(classifier) => classifier.family().as_str(),
            AnyModel::Detector(detector) => detector.forecaster().family().as_str(),
        }
    }

    /// Names of the channels of a row, in order.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        match self {
            AnyModel::Forecaster(model) => model.channels(),
            AnyModel::Classifier(classifier) => classifier.channels(),
            AnyModel::Detector(detector) => detector.forecaster().channels(),
        }
    }

    /// Rows that a window needs at least.
    #[must_use]
    pub fn window_min(&self) -> usize {
        with_model!(self, model => model.window_min())
    }

    /// Rows that a window should have. A classifier has no better advice than the whole series: its least.
    #[must_use]
    pub fn window_recommended(&self) -> usize {
        match self {
            AnyModel::Forecaster(model) => model.window_recommended(),
            AnyModel::Classifier(classifier) => classifier.window_min(),
            AnyModel::Detector(detector) => detector.window_recommended(),
        }
    }

    /// The column that ordered the rows in training.
    #[must_use]
    pub fn time_column(&self) -> Option<&str> {
        match self {
            AnyModel::Forecaster(model) => model.time_column(),
            AnyModel::Classifier(_) => None,
            AnyModel::Detector(detector) => detector.forecaster().time_column(),
        }
    }

    /// The arithmetic it predicts with.
    #[must_use]
    pub fn profile(&self) -> NumericProfile {
        match self {
            AnyModel::Forecaster(model) => model.profile(),
            // Features are computed in 32 bits, and nothing is more exact than they are.
            AnyModel::Classifier(_) => NumericProfile::CpuF32,
            AnyModel::Detector(detector) => detector.forecaster().profile(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{CaseColumns, ClassifyObserver, ClassifyOptions, ClassifySettings};
    use crate::classify::{read_cases, train_classifier};
    use crate::data::{Columns, read_csv};
    use crate::train::{Choice, Feeds, Folds, Options, Score, train};
    use crate::{Family, Silent, settings};
    use sha2::{Digest, Sha256};
    use spinwell_core::{Code, Rng, Samples, Series};

    fn forecaster_file() -> Vec<u8> {
        let csv: String = (0..300).map(|t| format!("{}\n", (f64::from(t) * 0.3).sin())).collect();
        let columns = Columns { values: vec!["y".to_owned()], time: None };
        let table = read_csv(format!("y\n{csv}").as_bytes(), &columns).unwrap();
        let options = Options {
            targets: 1,
            feeds: Feeds::Everything,
            horizon: 1,
            season: Some(1),
            choice: Choice::Only(Family::Linear),
            settings: settings::Settings::default(),
            precision: settings::Precision::F32,
            trials: 1,
            coverage: 0.9,
            seed: 1,
            score: Score::Path,
            time_column: None,
        };
        train(&table, &Folds::inside(300), &options, &Silent).unwrap().model.to_bytes()
    }

    fn classifier_file() -> Vec<u8> {
        let mut csv = "label,t0,t1,t2,t3,t4,t5,t6,t7,t8,t9,t10,t11\n".to_owned();
        for case in 0..24 {
            let (label, speed) = [("slow", 0.7), ("fast", 1.5)][case % 2];
            let wave = |t: usize| ((t + case) as f64 * speed).sin().to_string();
            csv += &format!("{label},{}\n", (0..12).map(wave).collect::<Vec<_>>().join(","));
        }
        let cases = read_cases(csv.as_bytes(), &CaseColumns::default()).unwrap();
        let settings = ClassifySettings { features: Some(400), units: Some(10), ..Default::default() };
        let options = ClassifyOptions { trials: 3, settings, ..ClassifyOptions::default() };
        train_classifier(&cases, &options, ClassifyObserver::SILENT).unwrap().classifier.to_bytes()
    }

    /// The file with its payload's checksum made right again, as a forger would.
    fn resealed(mut file: Vec<u8>) -> Vec<u8> {
        let checksum = Sha256::digest(&file[52..]);
        file[20..52].copy_from_slice(&checksum);
        file
    }

    fn changed(file: &[u8], at: usize, value: u8) -> Vec<u8> {
        let mut file = file.to_vec();
        file[at] = value;
        file
    }

    #[test]
    fn every_kind_comes_back_from_its_file_with_the_same_bytes_and_hash() {
        for (file, task) in [(forecaster_file(), "forecast"), (classifier_file(), "classify")] {
            let model = AnyModel::from_bytes(&file).unwrap();
            assert_eq!((model.task(), model.to_bytes()), (task, file.clone()));
            assert_eq!(model.hash(), crate::artefact::hash(&file));
            assert!(model.window_min() <= model.window_recommended());
        }
    }

    #[test]
    fn a_file_of_another_kind_is_told_from_a_damaged_one() {
        let (forecaster, classifier) = (forecaster_file(), classifier_file());
        let error = Model::from_bytes(&classifier).unwrap_err();
        assert_eq!(error.code(), Code::TaskMismatch);
        assert_eq!(error.to_string(), "the model file holds a classifier, not a forecaster");
        let error = Classifier::from_bytes(&forecaster).unwrap_err();
        assert_eq!(error.to_string(), "the model file holds a forecaster, not a classifier");
        // A damaged file is damaged first: its kind is not to be believed.
        let damaged = changed(&forecaster, 52, 1);
        assert_eq!(Classifier::from_bytes(&damaged).unwrap_err().code(), Code::FileCorrupt);
    }

    #[test]
    fn a_classifier_file_that_is_not_whole_and_ours_is_refused() {
        let file = classifier_file();
        for (name, bytes, code) in [
            ("empty", vec![], Code::FileTruncated),
            ("foreign", b"PK\x03\x04 a zip file".to_vec(), Code::FileForeign),
            ("header only", file[..30].to_vec(), Code::FileTruncated),
            ("cut", file[..file.len() - 1].to_vec(), Code::FileTruncated),
            ("longer", [&file[..], b"x"].concat(), Code::FileCorrupt),
            ("one bit", changed(&file, file.len() / 2, !file[file.len() / 2]), Code::FileCorrupt),
            ("future", changed(&file, 8, 99), Code::FileFromTheFuture),
            ("unknown kind", resealed(changed(&file, 52, 99)), Code::FileCorrupt),
            ("forged family", resealed(changed(&file, 53, 99)), Code::FileCorrupt),
            ("forged into a forecaster", resealed(changed(&file, 52, 0)), Code::FileCorrupt),
        ] {
            assert_eq!(AnyModel::from_bytes(&bytes).unwrap_err().code(), code, "{name}");
        }
        for length in 0..file.len().min(400) {
            assert!(AnyModel::from_bytes(&file[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_forged_classifier_is_refused_or_answers_without_a_panic() {
        let file = classifier_file();
        let mut rng = Rng::seeded(5);
        let series = Series::new(1, 12, 1, Samples::F32((0..12u8).map(f32::from).collect())).unwrap();
        let window = crate::Window { series: &series, index: 0 };
        for _ in 0..300 {
            let mut forged = file.clone();
            for _ in 0..2 {
                // Most of the file is weights; what fits together stands in its first part.
                let reach = if rng.below(2) == 0 { 500 } else { (file.len() - 52) as u64 };
                forged[52 + rng.below(reach) as usize] = rng.below(256) as u8;
            }
            if let Ok(AnyModel::Classifier(classifier)) = AnyModel::from_bytes(&resealed(forged)) {
                let _ = classifier.classify_windows(&[window]);
            }
        }
    }

    #[test]
    fn windows_of_a_series_are_classified_one_by_one() {
        let classifier = Classifier::from_bytes(&classifier_file()).unwrap();
        let values: Vec<f64> = (0..24).map(|t| (f64::from(t) * 1.5).sin()).collect();
        let series = Series::new(2, 12, 1, Samples::F64(values.clone())).unwrap();
        let windows = [0, 1].map(|index| crate::Window { series: &series, index });
        let found = classifier.classify_windows(&windows);
        let wanted = [classifier.classify(&values[..12]), classifier.classify(&values[12..])];
        assert_eq!(found, wanted);
        let wide = Series::new(1, 6, 2, Samples::F64(values[..12].to_vec())).unwrap();
        let refused = classifier.classify_windows(&[crate::Window { series: &wide, index: 0 }]);
        assert_eq!(refused[0].as_ref().unwrap_err().code(), Code::TensorShape);
    }
}
