//! The models on the disk: `<folder>/<name>/<version>/model.spinwell`.
//!
//! A file that cannot be loaded does not stop the others: it is reported with its code and path, kept in the
//! catalogue as broken so that callers are told the truth, and skipped. So is a model's folder that cannot be
//! read, except that nobody knows then which versions it has. Whatever is not named like a model
//! and a version is no model and is left alone.

use crate::Predictor;
use crate::cards::{CPU, Cards, Placed};
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_engine::AnyModel;
use spinwell_protocol::{Catalogue, Entry, ForecastFacts, ModelDescription, ModelFacts, Task};
use spinwell_runtime::telemetry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of a model's file.
const FILE_NAME: &str = "model.spinwell";

/// The folder of models cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the models folder {} cannot be read", folder.display())]
pub struct ScanError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}

impl ScanError {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let mut message = telemetry::chain(self);
        if self.source.kind() == io::ErrorKind::NotFound {
            let folder = self.folder.display();
            message.push_str(&format!("; `spinwell train --models {folder}` puts models there"));
        }
        Fault::new(Code::Io, message)
    }
}

/// A model file, or a model's folder, that was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// Which kind of trouble.
    pub code: Code,
    /// What exactly.
    pub message: String,
}

/// A model in memory.
#[derive(Clone)]
pub struct Loaded {
    /// What callers may know of it.
    pub description: Arc<ModelDescription>,
    /// The model.
    pub predictor: Arc<dyn Predictor>,
}

/// What a folder of models holds.
#[derive(Default)]
pub struct Repository {
    /// Models that answer.
    pub models: Vec<Loaded>,
    /// Files that were not loaded.
    pub problems: Vec<Problem>,
    pub(crate) broken: Vec<(ModelName, ModelVersion, Code)>,
}

/// What the node allows callers to ask of any model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Windows in one request.
    pub(crate) windows_max: usize,
    /// Rows in one window.
    pub(crate) rows_max: usize,
    /// Rows in all windows of one request.
    pub(crate) rows_in_all_max: usize,
}

/// What models are loaded with.
#[derive(Clone, Copy)]
struct Terms<'c> {
    bounds: Bounds,
    cards: &'c Cards,
}

impl Repository {
    /// Loads every version of every model under `folder`.
    ///
    /// # Errors
    /// Where the folder itself cannot be read. What is wrong with anything in it is a [`Problem`].
    pub(crate) fn scan(folder: &Path, bounds: Bounds, cards: &Cards) -> Result<Self, ScanError> {
        Self::scan_with(folder, bounds, cards, folders_in)
    }

    /// The same with another way to list the folders in a folder, one that a test can make fail.
    fn scan_with(
        folder: &Path,
        bounds: Bounds,
        cards: &Cards,
        list: impl Fn(&Path) -> io::Result<Vec<String>>,
    ) -> Result<Self, ScanError> {
        let in_folder = |source| ScanError { folder: folder.to_owned(), source };
        let mut repository = Self::default();
        for name in list(folder).map_err(in_folder)? {
            let Ok(model) = name.parse::<ModelName>() else { continue };
            let model_folder = folder.join(&name);
            match list(&model_folder) {
                Ok(versions) => {
                    repository.load_all(&model_folder, &model, &versions, Terms { bounds, cards });
                }
                Err(error) => repository.report(&model_folder, Code::Io, telemetry::chain(&error)),
            }
        }
        Ok(repository)
    }

    /// The catalogue of this repository.
    pub(crate) fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (name, version, code) in &self.broken {
            catalogue.insert(name, *version, Entry::Broken(*code));
        }
        for Loaded { description, .. } in &self.models {
            catalogue.insert(&description.name, description.version, Entry::Ready(description.clone()));
        }
        catalogue
    }

    fn load_all(&mut self, folder: &Path, name: &ModelName, versions: &[String], terms: Terms<'_>) {
        let mut versions: Vec<_> = versions.iter().filter_map(|text| ModelVersion::of_folder(text)).collect();
        versions.sort_unstable();
        for version in versions {
            self.load(&folder.join(version.to_string()).join(FILE_NAME), name, version, terms);
        }
    }

    fn load(&mut self, path: &Path, name: &ModelName, version: ModelVersion, terms: Terms<'_>) {
        let loaded = fs::read(path).map_err(|error| (Code::Io, telemetry::chain(&error))).and_then(|bytes| {
            AnyModel::from_bytes(&bytes).map_err(|error| (error.code(), telemetry::chain(&error)))
        });
        match loaded {
            Ok(model) => {
                let mut facts = facts(&model, name, version, terms.bounds);
                let predictor = match model {
                    AnyModel::Forecaster(model) => {
                        let Placed { predictor, profile, device } = terms.cards.place(name, Arc::new(model));
                        (facts.profile, facts.device) = (profile, device);
                        predictor
                    }
                    AnyModel::Classifier(classifier) => Arc::new(classifier),
                    AnyModel::Detector(detector) => Arc::new(detector),
                };
                let (hash, device) = (facts.hash, &facts.device);
                tracing::info!(model = %name, %version, %hash, device, "model loaded");
                self.models.push(Loaded { description: Arc::new(ModelDescription::new(facts)), predictor });
            }
            Err((code, message)) => {
                self.broken.push((name.clone(), version, code));
                self.report(path, code, message);
            }
        }
    }

    fn report(&mut self, path: &Path, code: Code, message: String) {
        tracing::error!(%code, path = %path.display(), message, "model not loaded");
        self.problems.push(Problem { path: path.to_owned(), code, message });
    }
}

/// The names of the folders in a folder, in order.
fn folders_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Follows links, because operators link versions into place.
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn task(model: &AnyModel) -> Task {
    match model {
        AnyModel::Forecaster(model) => Task::Forecast(ForecastFacts {
            horizon: model.horizon(),
            season: model.season(),
            targets: model.targets().to_vec(),
            coverage: model.coverage(),
            is_spiking: model.has_spiking_neurons(),
        }),
        AnyModel::Classifier(classifier) => Task::Classify { labels: classifier.labels().to_vec() },
        AnyModel::Detector(detector) => {
            Task::Detect { targets: detector.targets().to_vec(), alpha: detector.alpha() }
        }
    }
}

fn facts(model: &AnyModel, name: &ModelName, version: ModelVersion, bounds: Bounds) -> ModelFacts {
    // A model that needs more rows than the limits would otherwise be one that nobody can call.
    let window_max = bounds.rows_max.max(model.window_recommended());
    ModelFacts {
        name: name.clone(),
        version,
        hash: model.hash(),
        family: model.family().to_owned(),
        task: task(model),
        channels: model.channels().to_vec(),
        window_min: model.window_min(),
        window_recommended: model.window_recommended(),
        window_max,
        time_column: model.time_column().map(str::to_owned),
        profile: model.profile(),
        device: CPU.to_owned(),
        max_batch_size: bounds.windows_max,
        request_rows_max: bounds.rows_in_all_max.max(window_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { windows_max: 8, rows_max: 1000, rows_in_all_max: 4000 };

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            spinwell_runtime::files::write_atomically(&path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn broken_files_are_reported_and_known_to_the_catalogue() {
        let folder = folder_with(&[
            ("text/1/model.spinwell", b"not a model at all, but long enough to hold a header"),
            ("empty/2/model.spinwell", b""),
            ("missing/3/card.json", b"{}"),
            ("not a name/1/model.spinwell", b"x"),
            ("odd/latest/model.spinwell", b"x"),
            ("odd/007/model.spinwell", b"x"),
            ("odd/0/model.spinwell", b"x"),
            ("loose.txt", b"x"),
        ]);
        let repository = Repository::scan(folder.path(), BOUNDS, &Cards::default()).unwrap();
        assert!(repository.models.is_empty());
        let found: Vec<_> = repository
            .problems
            .iter()
            .map(|problem| {
                let name = problem.path.strip_prefix(folder.path()).unwrap();
                (name.display().to_string(), problem.code)
            })
            .collect();
        let wanted = [
            ("empty/2/model.spinwell", Code::FileTruncated),
            ("missing/3/model.spinwell", Code::Io),
            ("text/1/model.spinwell", Code::FileForeign),
        ];
        assert_eq!(found, wanted.map(|(path, code)| (path.to_owned(), code)));
        let catalogue = repository.catalogue();
        assert_eq!(catalogue.find("text", None).unwrap_err().code(), Code::FileForeign);
        assert_eq!(catalogue.find("odd", None).unwrap_err().code(), Code::ModelNotFound);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let fault =
            Repository::scan(&folder.path().join("none"), BOUNDS, &Cards::default()).err().unwrap().fault();
        assert_eq!(fault.code(), Code::Io);
        assert!(fault.message().contains("none` puts models there"), "{fault}");
    }

    #[test]
    fn a_model_s_folder_that_cannot_be_read_leaves_the_others() {
        let folder = folder_with(&[("locked/1/model.spinwell", b""), ("empty/1/model.spinwell", b"")]);
        // Permissions would not stop a test that runs as root.
        let repository = Repository::scan_with(folder.path(), BOUNDS, &Cards::default(), |path| {
            if path.ends_with("locked") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            folders_in(path)
        });
        let problems = repository.unwrap().problems;
        let found: Vec<_> = problems.iter().map(|problem| (problem.path.clone(), problem.code)).collect();
        let file = folder.path().join("empty/1/model.spinwell");
        assert_eq!(found, [(file, Code::FileTruncated), (folder.path().join("locked"), Code::Io)]);
    }
}
