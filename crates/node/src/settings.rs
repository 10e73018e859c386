//! How one model is served: `<models>/<name>/serving.toml`, where there is one.
//!
//! Everything in it is optional, and nothing is guessed: an unknown key or a value out of range refuses the whole file, because
//! a limit that is misspelt would be no limit. Only a canary or a shadow that cannot be served is told apart from the rest: the
//! default version can do without it.

use spinwell_core::{Code, Fault, ModelName, ModelVersion, Ratio};
use spinwell_policy::batch::ModelLimits;
use spinwell_protocol::{ModelDescription, Part, Traffic};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};
use toml::{Table, Value};

/// The name of the file that says how a model is served.
pub const FILE_NAME: &str = "serving.toml";

/// Executors and requests beyond these are no limits but slips of the pen.
const CONCURRENCY: RangeInclusive<i64> = 1..=1024;
const QUEUE_LEN: RangeInclusive<i64> = 1..=1_000_000;
const VERSIONS: RangeInclusive<i64> = 1..=u32::MAX as i64;

/// How one model is served.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    /// What it may have in the queue and the executors.
    pub(crate) limits: ModelLimits,
    /// What its weights and the states of its batches may take, in bytes.
    pub(crate) memory_bytes_max: Option<u64>,
    /// The version that answers where none is named; the highest, where it is not said.
    pub default: Option<ModelVersion>,
    /// The version that answers a share of those requests instead.
    pub canary: Option<(ModelVersion, Ratio)>,
    /// The version that hears a share of them beside.
    pub shadow: Option<(ModelVersion, Ratio)>,
}

impl Settings {
    /// Reads a model's file; what is usual where it has none.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] where it cannot be understood, [`Code::Io`] where it cannot be read.
    pub fn read(folder: &Path, name: &ModelName) -> Result<Self, Fault> {
        match fs::read_to_string(folder.join(FILE_NAME)) {
            Ok(text) => Self::parse(&text, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Fault::new(Code::Io, format!("{name}/{FILE_NAME} cannot be read: {error}"))),
        }
    }

    /// Reads the text of a model's file.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] where it cannot be understood.
    pub(crate) fn parse(text: &str, name: &ModelName) -> Result<Self, Fault> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| invalid(name, format!("is not TOML: {}", error.message())))?;
        let file = Section { model: name, name: String::new(), table: &table };
        file.allow(&["limits", "traffic"])?;
        let mut settings = Self::default();
        if let Some(limits) = file.section("limits")? {
            limits.allow(&["concurrency_max", "queue_len_max", "memory_bytes_max"])?;
            settings.limits.concurrency_max =
                limits.whole("concurrency_max", CONCURRENCY)?.map(|most| most as usize);
            settings.limits.queue_len_max =
                limits.whole("queue_len_max", QUEUE_LEN)?.map(|most| most as usize);
            settings.memory_bytes_max = limits.whole("memory_bytes_max", 1..=i64::MAX)?;
        }
        if let Some(traffic) = file.section("traffic")? {
            traffic.allow(&["default", "canary", "shadow"])?;
            settings.default = traffic.version("default")?;
            settings.canary = traffic.part("canary")?;
            settings.shadow = traffic.part("shadow")?;
        }
        Ok(settings)
    }

    /// The split between the versions that can be served, and why a canary or a shadow is left out of it: its version is not
    /// there, cannot be served for the reason that `cause` gives, or cannot take the place of the default one.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] where the default version cannot be served.
    pub(crate) fn traffic(
        &self,
        name: &ModelName,
        versions: &[Arc<ModelDescription>],
        cause: impl Fn(ModelVersion) -> Option<String>,
    ) -> Result<(Traffic, Vec<Fault>), Fault> {
        let find = |key: &str, version: ModelVersion| {
            versions.iter().find(|model| model.version == version).cloned().ok_or_else(|| {
                let all: Vec<String> = versions.iter().map(|model| model.version.to_string()).collect();
                let all = all.join(", ");
                let why = cause(version).map_or_else(String::new, |why| format!(" ({why})"));
                invalid(
                    name,
                    format!("has traffic.{key} = {version}, which cannot be served{why}; use one of {all}"),
                )
            })
        };
        let default = match self.default {
            Some(version) => Some(find("default", version)?),
            None => versions.iter().max_by_key(|model| model.version).cloned(),
        };
        let part = |key: &str, part: Option<(ModelVersion, Ratio)>| {
            let (Some((version, share)), Some(default)) = (part, &default) else { return Ok(None) };
            let model = find(&format!("{key}.version"), version)?;
            if version == default.version {
                let message = format!(
                    "has traffic.{key}.version = {version}, which is the version that answers anyway; \
                     name another one, or set traffic.default"
                );
                return Err(invalid(name, message));
            }
            model.stands_in_for(default).map_err(|why| {
                let default = default.version;
                invalid(
                    name,
                    format!(
                        "has traffic.{key}.version = {version}, which {why} than version {default}; \
                         requests are split only between versions that take and answer the same"
                    ),
                )
            })?;
            Ok(Some(Part { model, share }))
        };
        let mut off = Vec::new();
        let mut part = |key, named| {
            part(key, named).unwrap_or_else(|fault| {
                off.push(fault);
                None
            })
        };
        let (canary, shadow) = (part("canary", self.canary), part("shadow", self.shadow));
        Ok((Traffic { default: self.default, canary, shadow }, off))
    }

    /// How many windows may step side by side in one batch, where the versions of a model take `weights` bytes and a
    /// stream of theirs takes up to `stream`, with so many executors at work.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] where there is no room for the weights, or for one window beside them.
    pub(crate) fn windows_max(
        &self,
        name: &ModelName,
        weights: u64,
        stream: u64,
        executors: usize,
    ) -> Result<usize, Fault> {
        let Some(most) = self.memory_bytes_max else { return Ok(usize::MAX) };
        let batches = self.limits.concurrency_max.map_or(executors, |most| most.min(executors)).max(1) as u64;
        let least = weights.saturating_add(stream.saturating_mul(batches));
        if most < least {
            let message = format!(
                "has limits.memory_bytes_max = {most}, but the weights of its versions take {weights} bytes and one window \
                 in each of {batches} batches {stream} more; allow at least {least}, or remove versions"
            );
            return Err(invalid(name, message));
        }
        let each = stream.saturating_mul(batches);
        let windows = most.saturating_sub(weights).checked_div(each);
        Ok(windows.map_or(usize::MAX, |windows| usize::try_from(windows).unwrap_or(usize::MAX)))
    }
}

/// A fault in the file of a model.
fn invalid(name: &ModelName, what: impl Display) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("{name}/{FILE_NAME} {what}"))
}

/// A table of the file.
struct Section<'t> {
    model: &'t ModelName,
    /// Its key with a dot behind it; empty for the file itself.
    name: String,
    table: &'t Table,
}

impl<'t> Section<'t> {
    fn wrong(&self, key: &str, value: &Value, right: impl Display) -> Fault {
        let mut value = value.to_string();
        if let Some((end, _)) = value.char_indices().nth(60) {
            value.replace_range(end.., "...");
        }
        invalid(self.model, format!("has {}{key} = {value}; it must be {right}", self.name))
    }

    fn allow(&self, keys: &[&str]) -> Result<(), Fault> {
        let Some(key) = self.table.keys().find(|key| !keys.contains(&key.as_str())) else { return Ok(()) };
        let keys = keys.iter().map(|key| format!("{}{key}", self.name)).collect::<Vec<_>>().join(", ");
        let key: String = key.chars().take(60).collect();
        Err(invalid(self.model, format!("has the unknown key {}{key}; the keys here are {keys}", self.name)))
    }

    fn section(&self, key: &str) -> Result<Option<Section<'t>>, Fault> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => {
                Ok(Some(Section { model: self.model, name: format!("{}{key}.", self.name), table }))
            }
            Some(other) => Err(self.wrong(key, other, "a table")),
        }
    }

    fn whole(&self, key: &str, range: RangeInclusive<i64>) -> Result<Option<u64>, Fault> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let whole = value.as_integer().filter(|whole| range.contains(whole));
        let whole = whole.and_then(|whole| u64::try_from(whole).ok());
        whole.map(Some).ok_or_else(|| {
            let right = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(key, value, right)
        })
    }

    fn version(&self, key: &str) -> Result<Option<ModelVersion>, Fault> {
        let version = self.whole(key, VERSIONS)?;
        Ok(version.and_then(|version| u32::try_from(version).ok()).map(ModelVersion))
    }

    fn part(&self, key: &str) -> Result<Option<(ModelVersion, Ratio)>, Fault> {
        let Some(part) = self.section(key)? else { return Ok(None) };
        part.allow(&["version", "share"])?;
        let missing = |what: &str| {
            invalid(
                self.model,
                format!("has {}{key} without {what}; write {key} = {{version = 2, share = 0.05}}", self.name),
            )
        };
        let version = part.version("version")?.ok_or_else(|| missing("version"))?;
        let value = part.table.get("share").ok_or_else(|| missing("share"))?;
        let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        let share = number.and_then(Ratio::new);
        Ok(Some((version, share.ok_or_else(|| part.wrong("share", value, "a number from 0 to 1"))?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use spinwell_protocol::ModelFacts;

    fn name() -> ModelName {
        "taxi".parse().unwrap()
    }

    fn version(version: u32, horizon: usize) -> Arc<ModelDescription> {
        let facts: &ModelFacts = &example::forecaster(horizon);
        Arc::new(ModelDescription::new(ModelFacts { version: ModelVersion(version), ..facts.clone() }))
    }

    #[test]
    fn all_keys_are_read() {
        let text = "[limits]\nconcurrency_max = 2\nqueue_len_max = 50\nmemory_bytes_max = 1_000_000\n\
                    [traffic]\ndefault = 1\ncanary = {version = 2, share = 0.05}\n[traffic.shadow]\nversion = 3\nshare = 1";
        let settings = Settings::parse(text, &name()).unwrap();
        let limits = ModelLimits { concurrency_max: Some(2), queue_len_max: Some(50) };
        assert_eq!((settings.limits, settings.memory_bytes_max), (limits, Some(1_000_000)));
        assert_eq!(settings.default, Some(ModelVersion(1)));
        assert_eq!(settings.canary, Ratio::new(0.05).map(|share| (ModelVersion(2), share)));
        assert_eq!(settings.shadow, Ratio::new(1.0).map(|share| (ModelVersion(3), share)));
        assert_eq!(Settings::parse("", &name()).unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_its_value_and_what_would_be_right() {
        let check = |text: &str, parts: &[&str]| {
            let fault = Settings::parse(text, &name()).unwrap_err();
            assert_eq!(fault.code(), Code::ConfigInvalid);
            for part in parts.iter().chain(&["taxi/serving.toml"]) {
                assert!(fault.message().contains(part), "{text}: {fault}");
            }
        };
        check("[limits", &["is not TOML"]);
        check("[limit]", &["unknown key limit;", "limits, traffic"]);
        check("limits = 3", &["limits = 3", "a table"]);
        check("[limits]\nconcurency_max = 1", &["limits.concurency_max", "limits.concurrency_max"]);
        check("[limits]\nconcurrency_max = 0", &["limits.concurrency_max = 0", "from 1 to 1024"]);
        check("[limits]\nqueue_len_max = \"7\"", &["limits.queue_len_max = \"7\"", "a whole number"]);
        check("[limits]\nmemory_bytes_max = -1", &["memory_bytes_max = -1"]);
        check("[traffic]\ndefault = 1.5", &["traffic.default = 1.5"]);
        check("[traffic]\ncanary = {share = 0.1}", &["traffic.canary without version"]);
        check("[traffic]\nshadow = {version = 2}", &["traffic.shadow without share"]);
        check("[traffic]\ncanary = {version = 2, share = 1.5}", &["traffic.canary.share = 1.5", "0 to 1"]);
        check("[traffic]\ncanary = {version = 2, share = nan}", &["share = nan"]);
        check("[traffic]\ncanary = {version = 2, shar = 1}", &["traffic.canary.shar"]);
        check(&format!("[limits]\nqueue_len_max = \"{}\"", "x".repeat(5000)), &["xxx..."]);
    }

    #[test]
    fn traffic_is_split_between_versions_that_are_there_and_alike() {
        let versions = [version(1, 3), version(2, 3), version(5, 1)];
        let check = |text: &str, wanted: Result<(Option<u32>, Option<u32>), &str>| {
            let settings = Settings::parse(&format!("[traffic]\n{text}"), &name()).unwrap();
            let cause = |version| (version == ModelVersion(7)).then(|| "SPW-FILE-CORRUPT: torn".to_owned());
            let found = settings.traffic(&name(), &versions, cause);
            let version = |part: &Option<Part>| part.as_ref().map(|part| part.model.version.0);
            match (found, wanted) {
                (Ok((traffic, off)), Ok(wanted)) => {
                    assert_eq!((version(&traffic.canary), version(&traffic.shadow)), wanted, "{text}");
                    assert_eq!(off, [], "{text}");
                }
                (Ok((traffic, off)), Err(wanted)) => {
                    assert!(off.len() == 1 && off[0].message().contains(wanted), "{off:?}");
                    assert!(traffic.canary.is_none() && traffic.default == settings.default, "{text}");
                }
                (Err(fault), Err(wanted)) => assert!(fault.message().contains(wanted), "{fault}"),
                (traffic, _) => panic!("{text}: {traffic:?}"),
            }
        };
        check("default = 2", Ok((None, None)));
        check("default = 2\ncanary = {version = 1, share = 0.1}", Ok((Some(1), None)));
        check("default = 2\nshadow = {version = 1, share = 0.1}", Ok((None, Some(1))));
        check("default = 3", Err("traffic.default = 3, which cannot be served; use one of 1, 2, 5"));
        check("canary = {version = 5, share = 1.0}", Err("traffic.canary.version = 5, which is the version"));
        check("canary = {version = 2, share = 1.0}", Err("which has another task"));
        check("default = 1\nshadow = {version = 4, share = 1.0}", Err("traffic.shadow.version = 4"));
        let torn = "which cannot be served (SPW-FILE-CORRUPT: torn); use one of 1, 2, 5";
        check("default = 1\ncanary = {version = 7, share = 1.0}", Err(torn));
        check("default = 7\ncanary = {version = 2, share = 1.0}", Err(torn));
    }

    #[test]
    fn memory_bounds_how_many_windows_step_side_by_side() {
        let check =
            |most: Option<u64>, concurrency_max: Option<usize>, stream: u64, wanted: Option<usize>| {
                let limits = ModelLimits { concurrency_max, queue_len_max: None };
                let settings = Settings { limits, memory_bytes_max: most, ..Settings::default() };
                assert_eq!(settings.windows_max(&name(), 1000, stream, 4).ok(), wanted, "{most:?}");
            };
        check(None, None, 100, Some(usize::MAX));
        check(Some(999), None, 0, None);
        check(Some(1000), None, 0, Some(usize::MAX));
        check(Some(1399), None, 100, None);
        check(Some(1400), None, 100, Some(1));
        check(Some(1850), None, 100, Some(2));
        check(Some(1850), Some(1), 100, Some(8));
        check(Some(1850), Some(9), 100, Some(2));
    }
}
