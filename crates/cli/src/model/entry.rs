//! A model file and its card as they stand on the disk, whole or not.

use crate::models::{CARD, FILE};
use crate::{failure, output};
use serde_json::{Map, Value, json};
use spinwell_core::{Fault, ModelName, ModelVersion};
use spinwell_engine::AnyModel;
use spinwell_node::read_model;
use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a hash that tell models apart in a table.
const SHORT: usize = 12;

/// What stands beside a model.
pub(super) enum Card {
    /// A document.
    Read(Map<String, Value>),
    /// Nothing.
    None,
    /// Something that is no card, and why.
    Unreadable(String),
}

impl Card {
    fn beside(path: &Path) -> Self {
        let path = path.with_file_name(CARD);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Value::Object(document)) => Card::Read(document),
                Ok(_) => Card::Unreadable(format!("{} is no JSON object", path.display())),
                Err(error) => Card::Unreadable(format!("{} is no JSON: {error}", path.display())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Card::None,
            Err(error) => Card::Unreadable(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// A value of the card, null where it has none.
    pub(super) fn get(&self, key: &str) -> &Value {
        match self {
            Card::Read(document) => document.get(key).unwrap_or(&Value::Null),
            Card::None | Card::Unreadable(_) => &Value::Null,
        }
    }
}

/// An error on rows or cases that were kept back, in the measure of the task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HeldOut {
    pub(super) measure: &'static str,
    pub(super) value: f64,
}

/// A version of a model on the disk.
pub(super) struct Entry {
    /// The file.
    pub(super) path: PathBuf,
    /// Its length in bytes, where it is there.
    pub(super) size: Option<u64>,
    /// What it holds, where that is a model.
    pub(super) bytes: Option<Vec<u8>>,
    /// The model in it, or why there is none.
    pub(super) model: Result<AnyModel, Fault>,
    /// Its card.
    pub(super) card: Card,
}

impl Entry {
    /// Reads a model file and the card beside it. Never fails: what is wrong stands in the entry.
    pub(super) fn read(path: &Path) -> Self {
        let card = Card::beside(path);
        let path = path.to_owned();
        let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        match read_model(&path) {
            Ok((model, bytes)) => Self { path, size, bytes: Some(bytes), model: Ok(model), card },
            Err(error) => {
                let fault = failure::model_fault(&path, &error);
                Self { path, size, bytes: None, model: Err(fault), card }
            }
        }
    }

    /// The hash of the model's bytes, where they are a model.
    pub(super) fn hash(&self) -> Option<String> {
        self.model.as_ref().ok().map(|model| model.hash().to_string())
    }

    /// Whether the card is of this very model; unknown where the file or the card's hash cannot be read.
    pub(super) fn card_is_of_it(&self) -> Option<bool> {
        Some(self.card.get("model_hash").as_str()? == self.hash()?)
    }

    /// How wrong the model was on what was kept back, where the card says it.
    pub(super) fn held_out(&self) -> Option<HeldOut> {
        let figure = |key: &str, place: &str, measure| {
            let value = self.card.get(key).pointer(place)?.as_f64()?;
            Some(HeldOut { measure, value })
        };
        match self.card.get("task").as_str()? {
            "classify" => {
                let found = figure("test", "/accuracy", "error_rate")?;
                Some(HeldOut { value: 1.0 - found.value, ..found })
            }
            "anomaly" => figure("holdout", "/anomaly_share", "anomaly_share"),
            // An adapted model was scored on the newest rows before it learned them too.
            _ => figure("holdout", "/stream/nrmse", "nrmse").or_else(|| figure("nrmse_after", "", "nrmse")),
        }
    }

    /// What a list says of it.
    pub(super) fn summary(&self, name: &ModelName, version: ModelVersion) -> Map<String, Value> {
        let model = self.model.as_ref().ok();
        let of_card = |key: &str| self.card.get(key).clone();
        let held_out = self.held_out().map(|held| json!({"measure": held.measure, "value": held.value}));
        let pairs = [
            ("name", json!(name.as_str())),
            ("version", json!(version.0)),
            ("path", json!(self.path.display().to_string())),
            ("task", model.map_or_else(|| of_card("task"), |model| json!(model.task()))),
            ("family", model.map_or_else(|| of_card("family"), |model| json!(model.family()))),
            ("horizon", model.map_or_else(|| of_card("horizon"), horizon)),
            ("window_min", json!(model.map(AnyModel::window_min))),
            ("window_recommended", json!(model.map(AnyModel::window_recommended))),
            ("held_out", json!(held_out)),
            ("size_bytes", json!(self.size)),
            ("model_hash", json!(self.hash())),
            ("loadable", json!(self.model.is_ok())),
            ("trouble", json!(self.model.as_ref().err().map(trouble))),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Rows ahead, null where the model looks at none.
pub(super) fn horizon(model: &AnyModel) -> Value {
    match model {
        AnyModel::Forecaster(model) => json!(model.horizon()),
        AnyModel::Detector(_) => json!(1),
        AnyModel::Classifier(_) => Value::Null,
    }
}

/// A fault as a document shows it.
pub(super) fn trouble(fault: &Fault) -> Value {
    json!({"code": fault.code().as_str(), "error": fault.message()})
}

/// An error on what was kept back, for a table.
pub(super) fn held_out_text(held: &Value) -> String {
    let Some(value) = held["value"].as_f64() else { return "-".to_owned() };
    match held["measure"].as_str() {
        Some("nrmse") => format!("NRMSE {}", output::figure(value)),
        Some("error_rate") => format!("{} wrong", output::percent(value)),
        _ => format!("{} called", output::percent(value)),
    }
}

/// The beginning of a hash, for a table.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..SHORT).unwrap_or(hash)
}

/// A file's size in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The name and version that a path of a models folder stands for: `<models>/<name>/<version>[/model.spinwell]`.
pub(super) fn placed(path: &Path) -> Option<(PathBuf, ModelName, ModelVersion)> {
    let folder = if path.file_name().is_some_and(|name| name == FILE) { path.parent()? } else { path };
    let version = ModelVersion::of_folder(folder.file_name()?.to_str()?)?;
    let home = folder.parent()?;
    let name = home.file_name()?.to_str()?.parse().ok()?;
    Some((home.parent()?.to_owned(), name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_models_folder_says_name_and_version() {
        let found = |path: &str| {
            placed(Path::new(path)).map(|(_, name, version)| (name.as_str().to_owned(), version.0))
        };
        for path in ["m/taxi/2/model.spinwell", "m/taxi/2", "taxi/2/"] {
            assert_eq!(found(path), Some(("taxi".to_owned(), 2)), "{path}");
        }
        for path in ["taxi.spinwell", "2/model.spinwell", "m/taxi/02/model.spinwell", "m/-x/2", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn the_error_on_what_was_kept_back_is_found_in_every_kind_of_card() {
        let check = |card: Value, wanted: Option<(&str, f64)>| {
            let Value::Object(card) = card else { unreachable!("cards are objects") };
            let model = Err(Fault::new(spinwell_core::Code::Io, "none"));
            let entry =
                Entry { path: PathBuf::new(), size: None, bytes: None, model, card: Card::Read(card) };
            assert_eq!(entry.held_out().map(|held| (held.measure, held.value)), wanted);
        };
        check(json!({"task": "forecast", "holdout": {"stream": {"nrmse": 0.5}}}), Some(("nrmse", 0.5)));
        check(json!({"task": "forecast", "holdout": null}), None);
        check(json!({"task": "forecast", "nrmse_after": 0.25}), Some(("nrmse", 0.25)));
        check(json!({"task": "classify", "test": {"accuracy": 0.75}}), Some(("error_rate", 0.25)));
        check(json!({"task": "classify", "test": null}), None);
        check(
            json!({"task": "anomaly", "holdout": {"anomaly_share": 0.125}}),
            Some(("anomaly_share", 0.125)),
        );
        check(json!({"holdout": 3}), None);
    }
}
