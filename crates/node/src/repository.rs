//! The models on the disk: `<folder>/<name>/<version>/model.spinwell`.
//!
//! A file that cannot be loaded does not stop the others: it is reported with its code and path, kept in the
//! catalogue as broken so that callers are told the truth, and skipped. So is a model's folder that cannot be
//! read, except that nobody knows then which versions it has. Beside the versions may lie the file that says how the model is
//! served; where that is wrong, none of its versions is. Whatever is not named like a model
//! and a version is no model and is left alone.

use crate::cards::{CPU, Cards, Placed};
use crate::executor::Job;
use crate::file::read_model;
use crate::queue::{Lane, Queue};
use crate::sequences::Stateful;
use crate::settings::{self, Settings};
use crate::{Predictor, kept, trial};
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_engine::AnyModel;
use spinwell_protocol::{ForecastFacts, ModelDescription, ModelFacts, Task, Traffic};
use spinwell_runtime::telemetry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The name of a model's file.
pub(crate) const FILE_NAME: &str = "model.spinwell";

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

impl Problem {
    /// The reason in the repository's index.
    pub(crate) fn said(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }
}

/// A model in memory.
pub(crate) struct Loaded {
    /// What callers may know of it.
    pub(crate) description: Arc<ModelDescription>,
    /// The model.
    pub(crate) predictor: Arc<dyn Predictor>,
    /// The same where it can keep sequences.
    pub(crate) stateful: Option<Arc<dyn Stateful>>,
    /// About what a sequence's state takes in memory.
    pub(crate) state_bytes: usize,
    /// What its file takes, and about as much its weights in memory.
    pub(crate) file_bytes: usize,
    /// How many windows may step side by side in a batch, so that their states fit the model's memory.
    pub(crate) windows_max: AtomicUsize,
    /// Its lane in the queue.
    pub(crate) lane: Lane<Job>,
}

impl Loaded {
    /// How many windows may step side by side in a batch.
    pub(crate) fn windows_max(&self) -> usize {
        self.windows_max.load(Ordering::Relaxed)
    }
}

/// How a model is served whose file says so.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// What its file says.
    pub(crate) settings: Settings,
    /// Windows that may step side by side in a batch.
    pub(crate) windows_max: usize,
    /// How requests are split between its versions.
    pub(crate) traffic: Traffic,
    /// Why a canary or a shadow that the file names is left out of that.
    pub(crate) off: Vec<Fault>,
}

/// What a folder of models holds.
#[derive(Default)]
pub(crate) struct Repository {
    /// Models that answer.
    pub(crate) models: Vec<Arc<Loaded>>,
    /// Files that were not loaded.
    pub(crate) problems: Vec<Problem>,
    pub(crate) broken: Vec<(ModelName, ModelVersion, Problem)>,
    /// How the models that answer are served.
    pub(crate) served: Vec<(ModelName, Served)>,
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
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) bounds: Bounds,
    pub(crate) cards: Arc<Cards>,
    pub(crate) queue: Arc<Queue<Job>>,
    /// Threads that run models.
    pub(crate) executors: usize,
    /// Where the files of models with sequences are kept, so that their states outlive them.
    pub(crate) kept: Option<PathBuf>,
}

/// Loads every version of every model under `folder`; those of `before` whose files have not changed are taken over.
///
/// # Errors
/// Where the folder itself cannot be read. What is wrong with anything in it is a [`Problem`].
pub(crate) fn scan(folder: &Path, terms: &Terms) -> Result<Repository, ScanError> {
    scan_with(folder, terms, folders_in)
}

/// The same with another way to list the folders in a folder, one that a test can make fail.
fn scan_with(
    folder: &Path,
    terms: &Terms,
    list: impl Fn(&Path) -> io::Result<Vec<String>>,
) -> Result<Repository, ScanError> {
    let in_folder = |source| ScanError { folder: folder.to_owned(), source };
    let mut repository = Repository::default();
    for name in list(folder).map_err(in_folder)? {
        let Ok(model) = name.parse::<ModelName>() else { continue };
        let model_folder = folder.join(&name);
        match list(&model_folder) {
            Ok(versions) => {
                let versions = versions_of(&versions);
                match Repository::of_model(&model_folder, &model, &versions, &[], terms) {
                    Ok(mut own) => {
                        own.report_parts_off(&model_folder);
                        repository.add(own);
                    }
                    Err(fault) => repository.refuse(&model_folder, &model, &versions, &fault),
                }
            }
            Err(error) => repository.report(&model_folder, Code::Io, telemetry::chain(&error)),
        }
    }
    Ok(repository)
}

/// Loads every version of one model; versions of `before` whose files have not changed are taken over as they are.
///
/// # Errors
/// [`Code::ModelNotFound`] where it has no folder; [`Code::ConfigInvalid`] where its versions cannot be served as its
/// `serving.toml` says, a canary and a shadow included: whoever has it loaded is there to mend it, and what is served stays.
pub(crate) fn scan_model(
    folder: &Path,
    name: &ModelName,
    before: &[Arc<Loaded>],
    terms: &Terms,
) -> Result<Repository, Fault> {
    let own = folder.join(name.as_str());
    let versions = folders_in(&own).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let message = format!("there is no model named {name} in the models folder");
            Fault::new(Code::ModelNotFound, message)
        }
        _ => Fault::new(Code::Io, format!("the folder of model {name} cannot be read: {error}")),
    })?;
    let repository = Repository::of_model(&own, name, &versions_of(&versions), before, terms)?;
    let off = repository.served.iter().find_map(|(_, served)| served.off.first().cloned());
    off.map_or(Ok(repository), Err)
}

/// The versions in a model's folder that a server would look at, lowest first: the folders that are named like one.
///
/// # Errors
/// Where the folder cannot be read.
pub fn versions_in(home: &Path) -> io::Result<Vec<ModelVersion>> {
    Ok(versions_of(&folders_in(home)?))
}

/// The versions among the names of folders, lowest first.
fn versions_of(folders: &[String]) -> Vec<ModelVersion> {
    let mut versions: Vec<_> = folders.iter().filter_map(|text| ModelVersion::of_folder(text)).collect();
    versions.sort_unstable();
    versions
}

/// The models under `folder` by name and version, without loading any.
pub(crate) fn list(folder: &Path) -> Result<Vec<(ModelName, ModelVersion)>, ScanError> {
    let in_folder = |source| ScanError { folder: folder.to_owned(), source };
    let mut all = Vec::new();
    for name in folders_in(folder).map_err(in_folder)? {
        let Ok(model) = name.parse::<ModelName>() else { continue };
        let versions = versions_in(&folder.join(&name)).unwrap_or_default();
        all.extend(versions.into_iter().map(|version| (model.clone(), version)));
    }
    Ok(all)
}

impl Repository {
    /// Every version of one model, and how they are served.
    fn of_model(
        folder: &Path,
        name: &ModelName,
        versions: &[ModelVersion],
        before: &[Arc<Loaded>],
        terms: &Terms,
    ) -> Result<Self, Fault> {
        let settings = Settings::read(folder, name)?;
        // Before anything is loaded: what is too large for its limit is not to take the room that others need.
        let file = |version: &ModelVersion| folder.join(version.to_string()).join(FILE_NAME);
        let on_disk = versions.iter().filter_map(|version| fs::metadata(file(version)).ok());
        let weights = on_disk.map(|file| file.len()).fold(0, u64::saturating_add);
        if settings.windows_max(name, weights, 0, terms.executors).is_err() {
            // Told with all of it: whoever allows what the weights take should not be refused again for the windows. One version
            // at a time, and none of them stays.
            let stream = |version| {
                read_model(&file(version)).map_or(0, |(model, _)| 2 * state_bytes_of(&model) as u64)
            };
            let stream = versions.iter().map(stream).max().unwrap_or(0);
            settings.windows_max(name, weights, stream, terms.executors)?;
        }
        let mut own = Self::default();
        own.load_all(folder, name, versions, before, terms);
        if own.models.is_empty() {
            return Ok(own);
        }
        let weights = own.models.iter().map(|loaded| loaded.file_bytes as u64).sum();
        // Beside the state that a stream keeps, its numbers may stand in the lanes of a cohort.
        let stream = own.models.iter().map(|loaded| 2 * loaded.state_bytes as u64).max().unwrap_or(0);
        let windows_max = settings.windows_max(name, weights, stream, terms.executors)?;
        let descriptions: Vec<_> = own.models.iter().map(|loaded| loaded.description.clone()).collect();
        let cause = |version| {
            let broken = own.broken.iter().find(|(_, broken, _)| *broken == version);
            broken.map(|(.., problem)| problem.said())
        };
        let (traffic, off) = settings.traffic(name, &descriptions, cause)?;
        own.served.push((name.clone(), Served { settings, windows_max, traffic, off }));
        Ok(own)
    }

    fn add(&mut self, other: Self) {
        self.models.extend(other.models);
        self.problems.extend(other.problems);
        self.broken.extend(other.broken);
        self.served.extend(other.served);
    }

    /// Serves none of a model's versions, because of what its file says.
    fn refuse(&mut self, folder: &Path, name: &ModelName, versions: &[ModelVersion], fault: &Fault) {
        let path = folder.join(settings::FILE_NAME);
        let problem = Problem { path: path.clone(), code: fault.code(), message: fault.message().to_owned() };
        self.broken.extend(versions.iter().map(|&version| (name.clone(), version, problem.clone())));
        self.report(&path, fault.code(), problem.message);
    }

    fn load_all(
        &mut self,
        folder: &Path,
        name: &ModelName,
        versions: &[ModelVersion],
        before: &[Arc<Loaded>],
        terms: &Terms,
    ) {
        for &version in versions {
            let before = before.iter().find(|loaded| loaded.description.version == version);
            let path = folder.join(version.to_string()).join(FILE_NAME);
            match load(&path, name, version, before, terms) {
                Ok(loaded) => self.models.push(loaded),
                Err((code, message)) => {
                    let problem = Problem { path: path.clone(), code, message: message.clone() };
                    self.broken.push((name.clone(), version, problem));
                    self.report(&path, code, message);
                }
            }
        }
    }

    /// Tells of canaries and shadows that are off, though the default version serves.
    fn report_parts_off(&mut self, folder: &Path) {
        let path = folder.join(settings::FILE_NAME);
        for fault in self.served.iter().flat_map(|(_, served)| &served.off) {
            let (code, message) = (fault.code(), fault.message().to_owned());
            tracing::error!(%code, path = %path.display(), message, "a part of the traffic is off");
            self.problems.push(Problem { path: path.clone(), code, message });
        }
    }

    fn report(&mut self, path: &Path, code: Code, message: String) {
        tracing::error!(%code, path = %path.display(), message, "model not loaded");
        self.problems.push(Problem { path: path.to_owned(), code, message });
    }
}

/// Loads a version and tries it out, unless `before` is it already.
fn load(
    path: &Path,
    name: &ModelName,
    version: ModelVersion,
    before: Option<&Arc<Loaded>>,
    terms: &Terms,
) -> Result<Arc<Loaded>, (Code, String)> {
    let (model, bytes) = read_model(path).map_err(|error| (error.code(), telemetry::chain(&error)))?;
    if let Some(before) = before.filter(|before| before.description.hash == model.hash()) {
        return Ok(before.clone());
    }
    let loaded = place(model, bytes.len(), name, version, terms);
    trial::check(&loaded).map_err(|why| (Code::Internal, why))?;
    if let (Some(folder), Some(_)) = (&terms.kept, &loaded.stateful) {
        let kept = kept::keep(folder, &loaded.description, &bytes);
        kept.map_err(|error| (Code::Io, format!("its file cannot be kept for its sequences: {error}")))?;
    }
    let (hash, device) = (loaded.description.hash, &loaded.description.device);
    tracing::info!(model = %name, %version, %hash, device, "model loaded");
    Ok(Arc::new(loaded))
}

/// Brings a model to where it answers.
pub(crate) fn place(
    model: AnyModel,
    file_bytes: usize,
    name: &ModelName,
    version: ModelVersion,
    terms: &Terms,
) -> Loaded {
    let (mut facts, state_bytes) = (facts(&model, name, version, terms.bounds), state_bytes_of(&model));
    let (predictor, stateful): (Arc<dyn Predictor>, Option<Arc<dyn Stateful>>) = match model {
        AnyModel::Forecaster(model) => {
            let model = Arc::new(model);
            let Placed { predictor, profile, device } = terms.cards.place(name, model.clone());
            (facts.profile, facts.device) = (profile, device);
            (predictor, Some(model))
        }
        AnyModel::Classifier(classifier) => (Arc::new(classifier), None),
        AnyModel::Detector(detector) => {
            let detector = Arc::new(detector);
            (detector.clone(), Some(detector))
        }
    };
    let (lane, windows_max) = (terms.queue.open_lane(name), AtomicUsize::new(usize::MAX));
    let description = Arc::new(ModelDescription::new(facts));
    Loaded { description, predictor, stateful, state_bytes, file_bytes, windows_max, lane }
}

/// Bytes that a model keeps of a stream; none where it keeps no state.
fn state_bytes_of(model: &AnyModel) -> usize {
    let of = |model: &dyn Stateful| model.save(&model.fresh()).len();
    match model {
        AnyModel::Forecaster(model) => of(model),
        AnyModel::Classifier(_) => 0,
        AnyModel::Detector(detector) => of(detector),
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

pub(crate) fn facts(model: &AnyModel, name: &ModelName, version: ModelVersion, bounds: Bounds) -> ModelFacts {
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

    fn terms() -> Terms {
        let bounds = Bounds { windows_max: 8, rows_max: 1000, rows_in_all_max: 4000 };
        let queue = Arc::new(Queue::new(crate::example::LIMITS));
        Terms { bounds, cards: Arc::default(), queue, executors: 1, kept: None }
    }

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
        let repository = scan(folder.path(), &terms()).unwrap();
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
        let broken: Vec<_> =
            repository.broken.iter().map(|(name, version, _)| (name.as_str(), version.0)).collect();
        assert_eq!(broken, [("empty", 2), ("missing", 3), ("text", 1)]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let fault = scan(&folder.path().join("none"), &terms()).err().unwrap().fault();
        assert_eq!(fault.code(), Code::Io);
        assert!(fault.message().contains("none` puts models there"), "{fault}");
    }

    #[test]
    fn a_model_s_folder_that_cannot_be_read_leaves_the_others() {
        let folder = folder_with(&[("locked/1/model.spinwell", b""), ("empty/1/model.spinwell", b"")]);
        // Permissions would not stop a test that runs as root.
        let repository = scan_with(folder.path(), &terms(), |path| {
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
