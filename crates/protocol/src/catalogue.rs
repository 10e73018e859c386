//! What is served: names, versions, and what each model takes and gives.
//!
//! The gateway checks requests against a description instead of asking the node, so that a bad request costs
//! no hop. A catalogue never changes: a node that loads another model publishes another catalogue, and a
//! request keeps the one that it started with.

use crate::{OutputFacts, OutputName, Task, Traffic, quoted, separated};
use spinwell_core::{Code, Fault, ModelHash, ModelName, ModelVersion, NumericProfile};
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;

/// The facts of a model that callers may know.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFacts {
    /// The model's name.
    pub name: ModelName,
    /// The version under that name.
    pub version: ModelVersion,
    /// What the model is.
    pub hash: ModelHash,
    /// The family it belongs to, such as `echo` or `linear`.
    pub family: String,
    /// What it does, which fixes its outputs.
    pub task: Task,
    /// The input's channels: targets first, where the model hears them.
    pub channels: Vec<String>,
    /// Rows below which a window is refused.
    pub window_min: usize,
    /// Rows from which the model has forgotten where it started.
    pub window_recommended: usize,
    /// Rows above which a window is refused.
    pub window_max: usize,
    /// The column that ordered the rows of the training file, so that a client can order its own alike.
    pub time_column: Option<String>,
    /// The arithmetic it predicts with.
    pub profile: NumericProfile,
    /// What it predicts on: `cpu`, or the cards with their drivers and the hash of what was compiled for them.
    pub device: String,
    /// Windows in one request at most.
    pub max_batch_size: usize,
    /// Rows in all windows of one request at most.
    pub request_rows_max: usize,
}

/// A model as it is served: its facts, and what follows from them and is needed for every answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDescription {
    facts: ModelFacts,
    outputs: Vec<OutputFacts>,
    hash_text: String,
    version_text: String,
}

impl ModelDescription {
    /// The description of a model with these facts.
    #[must_use]
    pub fn new(facts: ModelFacts) -> Self {
        let (hash_text, version_text) = (facts.hash.to_string(), facts.version.to_string());
        Self { outputs: facts.task.outputs(), facts, hash_text, version_text }
    }

    /// Every output, in the order of the metadata.
    #[must_use]
    pub fn outputs(&self) -> &[OutputFacts] {
        &self.outputs
    }

    /// An output, where the model has it.
    #[must_use]
    pub fn output(&self, name: OutputName) -> Option<&OutputFacts> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// The hash in hexadecimal digits.
    #[must_use]
    pub fn hash_text(&self) -> &str {
        &self.hash_text
    }

    /// The version in decimal digits.
    #[must_use]
    pub fn version_text(&self) -> &str {
        &self.version_text
    }

    /// The platform, as metadata and config name it.
    #[must_use]
    pub fn platform(&self) -> String {
        format!("spinwell_{}", self.facts.family)
    }

    /// What a caller may want to know beyond the shapes, as text, in alphabetical order.
    #[must_use]
    pub fn properties(&self) -> BTreeMap<String, String> {
        let facts = &self.facts;
        let of_every_task = [
            ("channels", separated::join(&facts.channels)),
            ("device", facts.device.clone()),
            ("family", facts.family.clone()),
            ("model_hash", self.hash_text.clone()),
            ("profile", facts.profile.to_string()),
            ("request_rows_max", facts.request_rows_max.to_string()),
            ("task", facts.task.as_str().to_owned()),
            ("time_column", facts.time_column.clone().unwrap_or_default()),
            ("window_max", facts.window_max.to_string()),
            ("window_min", facts.window_min.to_string()),
            ("window_recommended", facts.window_recommended.to_string()),
        ];
        let all = of_every_task.into_iter().chain(facts.task.properties());
        all.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl Deref for ModelDescription {
    type Target = ModelFacts;

    fn deref(&self) -> &ModelFacts {
        &self.facts
    }
}

/// One version in a catalogue.
#[derive(Debug, Clone)]
pub enum Entry {
    /// It answers.
    Ready(Arc<ModelDescription>),
    /// Its file is there and could not be loaded, for this reason.
    Broken(Code),
}

/// Everything that a node serves.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    models: HashMap<String, BTreeMap<ModelVersion, Entry>>,
    traffic: HashMap<String, Arc<Traffic>>,
}

impl Catalogue {
    /// Adds a version; a later one of the same name and number takes its place.
    pub fn insert(&mut self, name: &ModelName, version: ModelVersion, entry: Entry) {
        self.models.entry(name.as_str().to_owned()).or_default().insert(version, entry);
    }

    /// Splits the requests for a model that name no version.
    pub fn split(&mut self, name: &ModelName, traffic: Traffic) {
        self.traffic.insert(name.as_str().to_owned(), Arc::new(traffic));
    }

    /// How the requests for a model are split that name no version.
    #[must_use]
    pub fn traffic(&self, name: &str) -> Option<&Arc<Traffic>> {
        self.traffic.get(name)
    }

    /// The model of that name, in the version asked for or, where none is, in its default version: the one that its traffic
    /// says, otherwise the highest that is ready.
    ///
    /// # Errors
    /// [`Code::ModelNotFound`], [`Code::VersionNotFound`], or the code of the file that could not be loaded.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<&Arc<ModelDescription>, Fault> {
        let versions = self.models.get(name).ok_or_else(|| self.no_model(name))?;
        let entry = match version.filter(|text| !text.is_empty()) {
            Some(text) => asked_version(versions, text).ok_or_else(|| no_version(name, text, versions))?,
            None => self
                .default_of(name)
                .and_then(|version| versions.get(&version))
                .into_iter()
                .chain(versions.values().rev())
                .find(|entry| matches!(entry, Entry::Ready(_)))
                .or_else(|| versions.values().next_back())
                .ok_or_else(|| self.no_model(name))?,
        };
        match entry {
            Entry::Ready(model) => Ok(model),
            Entry::Broken(code) => {
                let what = match code {
                    Code::ConfigInvalid => "its serving.toml could not be followed",
                    _ => "its file could not be loaded",
                };
                let message =
                    format!("model {} is not ready: {what}, the server's log says why", quoted(name));
                Err(Fault::new(*code, message))
            }
        }
    }

    /// The numbers of the versions of `name` that are ready, lowest first.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<String> {
        let versions = self.models.get(name).into_iter().flatten();
        versions
            .filter(|(_, entry)| matches!(entry, Entry::Ready(_)))
            .map(|(version, _)| version.to_string())
            .collect()
    }

    /// Every model that is ready, by name and version.
    #[must_use]
    pub fn ready(&self) -> Vec<&Arc<ModelDescription>> {
        let mut all: Vec<_> = self
            .models
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|entry| match entry {
                Entry::Ready(model) => Some(model),
                Entry::Broken(_) => None,
            })
            .collect();
        all.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        all
    }

    /// Every version, whether it is ready or not, by name and number.
    #[must_use]
    pub fn entries(&self) -> Vec<(&str, ModelVersion, &Entry)> {
        let mut all = Vec::new();
        for (name, versions) in &self.models {
            all.extend(versions.iter().map(|(version, entry)| (name.as_str(), *version, entry)));
        }
        all.sort_by_key(|(name, version, _)| (*name, *version));
        all
    }

    /// The models whose requests are split, by name.
    #[must_use]
    pub fn splits(&self) -> Vec<(&str, &Arc<Traffic>)> {
        let mut all: Vec<_> = self.traffic.iter().map(|(name, traffic)| (name.as_str(), traffic)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }

    fn default_of(&self, name: &str) -> Option<ModelVersion> {
        self.traffic.get(name)?.default
    }

    fn no_model(&self, name: &str) -> Fault {
        let mut names: Vec<&str> = self.models.keys().map(String::as_str).collect();
        names.sort_unstable();
        let served = match names.as_slice() {
            [] => "the server holds no model".to_owned(),
            names => format!("served here: {}", names.iter().take(8).copied().collect::<Vec<_>>().join(", ")),
        };
        Fault::new(Code::ModelNotFound, format!("there is no model named {}; {served}", quoted(name)))
    }
}

fn asked_version<'a>(versions: &'a BTreeMap<ModelVersion, Entry>, text: &str) -> Option<&'a Entry> {
    versions.get(&ModelVersion(text.parse().ok()?))
}

fn no_version(name: &str, version: &str, versions: &BTreeMap<ModelVersion, Entry>) -> Fault {
    let held: Vec<String> = versions.keys().rev().take(8).map(ToString::to_string).collect();
    let message =
        format!("model {} has no version {}; it has {}", quoted(name), quoted(version), held.join(", "));
    Fault::new(Code::VersionNotFound, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ForecastFacts;

    fn facts(name: &str, version: u32, task: Task) -> ModelFacts {
        ModelFacts {
            name: name.parse().unwrap(),
            version: ModelVersion(version),
            hash: ModelHash([7; 32]),
            family: "linear".into(),
            task,
            channels: vec!["c0".into()],
            window_min: 4,
            window_recommended: 8,
            window_max: 1000,
            time_column: None,
            profile: NumericProfile::CpuF32,
            device: "cpu".to_owned(),
            max_batch_size: 16,
            request_rows_max: 4000,
        }
    }

    /// A model with `channels` input channels that predicts the first of them.
    pub(crate) fn model(name: &str, version: u32, channels: usize) -> ModelDescription {
        let channels = (0..channels).map(|c| format!("c{c}")).collect();
        ModelDescription::new(ModelFacts { channels, ..facts(name, version, Task::Forecast(forecast())) })
    }

    fn forecast() -> ForecastFacts {
        let targets = vec!["c0".into()];
        ForecastFacts { horizon: 3, season: 4, targets, coverage: 0.95, is_spiking: false }
    }

    /// A model that predicts its one channel with spiking neurons.
    pub(crate) fn spiking_model(name: &str) -> ModelDescription {
        let task = Task::Forecast(ForecastFacts { is_spiking: true, ..forecast() });
        ModelDescription::new(facts(name, 1, task))
    }

    /// A model that tells `still` from `shaking, hard`.
    pub(crate) fn classifier(name: &str) -> ModelDescription {
        let labels = vec!["still".into(), "shaking, hard".into()];
        ModelDescription::new(facts(name, 1, Task::Classify { labels }))
    }

    /// A model that watches its one channel.
    pub(crate) fn detector(name: &str) -> ModelDescription {
        let task = Task::Detect { targets: vec!["c0".into()], alpha: 0.001 };
        ModelDescription::new(facts(name, 1, task))
    }

    #[test]
    fn properties_tell_what_a_model_does() {
        let check = |model: &ModelDescription, wanted: &[(&str, &str)]| {
            let properties = model.properties();
            for (key, value) in wanted {
                assert_eq!(properties.get(*key).map(String::as_str), Some(*value), "{key}");
            }
            assert_eq!(properties.contains_key("horizon"), properties["task"] == "forecast");
        };
        check(&model("m", 1, 2), &[("task", "forecast"), ("channels", "c0,c1"), ("targets", "c0")]);
        check(&classifier("c"), &[("task", "classify"), ("labels", "still,\"shaking, hard\"")]);
        check(&detector("d"), &[("task", "anomaly"), ("alpha", "0.001"), ("targets", "c0")]);
    }

    #[test]
    fn the_highest_ready_version_answers_where_none_is_named() {
        let name: ModelName = "taxi".parse().unwrap();
        let mut catalogue = Catalogue::default();
        for version in [2, 10, 9] {
            catalogue.insert(&name, ModelVersion(version), Entry::Ready(Arc::new(model("taxi", version, 1))));
        }
        catalogue.insert(&name, ModelVersion(11), Entry::Broken(Code::FileCorrupt));
        catalogue.insert(&"bad".parse().unwrap(), ModelVersion(1), Entry::Broken(Code::FileTruncated));
        let check = |name: &str, version: Option<&str>, wanted: Result<u32, Code>| {
            let found = catalogue.find(name, version).map(|m| m.version.0).map_err(|fault| fault.code());
            assert_eq!(found, wanted, "{name} {version:?}");
        };
        check("taxi", None, Ok(10));
        check("taxi", Some(""), Ok(10));
        check("taxi", Some("2"), Ok(2));
        check("taxi", Some("3"), Err(Code::VersionNotFound));
        check("taxi", Some("latest"), Err(Code::VersionNotFound));
        check("taxi", Some("11"), Err(Code::FileCorrupt));
        check("bad", None, Err(Code::FileTruncated));
        check("none", None, Err(Code::ModelNotFound));
        assert_eq!(catalogue.versions("taxi"), ["2", "9", "10"]);
        assert_eq!(catalogue.ready().len(), 3);
        catalogue.split(&name, Traffic { default: Some(ModelVersion(9)), ..Traffic::default() });
        let found = |version| catalogue.find("taxi", version).map(|model| model.version.0).ok();
        assert_eq!((found(None), found(Some("10"))), (Some(9), Some(10)));
    }

    #[test]
    fn a_caller_s_text_is_shortened_before_it_is_repeated() {
        let fault = Catalogue::default().find(&"x".repeat(5000), None).unwrap_err();
        assert!(fault.message().len() < 200, "{}", fault.message());
    }
}
