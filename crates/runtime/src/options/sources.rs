//! The sources of options, merged key by key, each value remembering where it came from.

use super::encryption::{ROOT_KEY_VARIABLE, RootKeyText};
use super::store::hidden;
use super::{Effective, Error, KEYS, UnknownVariable};
use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};
use spinwell_core::Millis;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What every variable of ours starts with.
const PREFIX: &str = "SPINWELL_";

/// Variables that are none of a server's keys, and that commands read which call one.
const NO_KEYS: [&str; 4] =
    ["SPINWELL_CA", "SPINWELL_TOKEN", "SPINWELL_CERTIFICATE", "SPINWELL_CERTIFICATE_KEY"];

/// Keys that a file may also give as a table of names and values, which elsewhere are NAME=VALUE with commas between them.
const TABLES: [&str; 1] = ["cluster.routes"];

/// Keys that a file may also give as a list of values, which elsewhere have commas between them.
const LISTS: [&str; 2] = ["ledger.witnesses", "control.gateways"];

/// A value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key that it sets.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// The flag that brought it, for messages.
    pub flag: &'static str,
}

/// Where options come from beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file: its path and its text.
    pub file: Option<(PathBuf, String)>,
    /// Variables of the environment, ours among them, but for the root key.
    pub environment: Vec<(String, String)>,
    /// What the environment says the root key is.
    pub root_key: Option<RootKeyText>,
    /// Values from the command line.
    pub overrides: Vec<Override>,
}

/// Variables of this process's environment that every client of S3 goes by: where it is, and what it is asked with.
#[must_use]
pub fn storage_environment() -> Vec<(String, String)> {
    let ours =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(ours).filter(|(name, _)| name.starts_with("AWS_")).collect()
}

impl Sources {
    /// The file at `path`, where one is given, this process's environment, and these overrides.
    ///
    /// # Errors
    /// Where the file cannot be read.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_this_process(path: Option<&Path>, overrides: Vec<Override>) -> Result<Self, Error> {
        let file = match path {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some((path.to_owned(), text)),
                Err(source) => return Err(Error::Unreadable { path: path.to_owned(), source }),
            },
        };
        let mut environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let secret = environment.iter().position(|(name, _)| name == ROOT_KEY_VARIABLE);
        let root_key = secret.map(|place| RootKeyText::of(environment.swap_remove(place).1));
        Ok(Self { file, environment, root_key, overrides })
    }

    pub(super) fn merge(&self) -> Result<Layered, Error> {
        let mut layers: Vec<KeyValues> = vec![KeyValues::defaults()];
        layers.extend(self.file.as_ref().map(|(path, text)| from_file(path, text)).transpose()?);
        let (environment, unknown_variables) = self.variables();
        layers.push(environment);
        layers.push(KeyValues(
            self.overrides
                .iter()
                .map(|o| (o.key.to_owned(), value(&format!("command line {}", o.flag), o.value.clone())))
                .collect(),
        ));
        let mut builder = Config::builder();
        for layer in layers {
            builder = builder.add_source(layer);
        }
        let merged = builder
            .build()
            .map_err(|source| Error::Malformed { path: "options".into(), source: source.into() })?;
        let entries = KEYS
            .iter()
            .map(|(key, _)| {
                let found = at(&merged.cache, key);
                let origin = found.and_then(Value::origin).unwrap_or("default").to_owned();
                Entry {
                    key,
                    value: found.map(ToString::to_string).unwrap_or_default(),
                    origin,
                    is_set: found.is_some(),
                }
            })
            .collect();
        Ok(Layered { entries, unknown_variables })
    }

    fn variables(&self) -> (KeyValues, Vec<UnknownVariable>) {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for (name, text) in self.environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match KEYS.iter().find(|(key, _)| variable_of(key) == *name) {
                Some((key, _)) => {
                    known.push(((*key).to_owned(), value(&format!("environment {name}"), text.clone())));
                }
                None if NO_KEYS.contains(&name.as_str()) => {}
                None => unknown.push(UnknownVariable { name: name.clone(), nearest: nearest(name) }),
            }
        }
        (KeyValues(known), unknown)
    }
}

/// The merged value of a key. `Config::get` would give the value without its origin.
fn at<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(root, |value, part| match &value.kind {
        ValueKind::Table(table) => table.get(part),
        _ => None,
    })
}

/// The variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The variable of ours that a misspelt one is likely to mean: the nearest, where at most a quarter of it is to be changed.
fn nearest(name: &str) -> Option<String> {
    let most = |ours: &str| (ours.len() - PREFIX.len()) / 4;
    let all = KEYS.iter().map(|(key, _)| variable_of(key));
    // Before any is measured: that takes as long as both are, and a variable may have any length.
    let as_long = all.filter(|ours| ours.len().abs_diff(name.len()) <= most(ours));
    let measured = as_long.map(|ours| (strsim::damerau_levenshtein(&ours, &name.to_ascii_uppercase()), ours));
    measured.min().and_then(|(distance, ours)| (distance <= most(&ours)).then_some(ours))
}

fn value(origin: &str, text: String) -> Value {
    Value::new(Some(&origin.to_owned()), ValueKind::String(text))
}

/// Reads the file and refuses keys that do not exist.
fn from_file(path: &Path, text: &str) -> Result<KeyValues, Error> {
    let origin = path.display().to_string();
    let table = File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|source| Error::Malformed { path: path.to_owned(), source: source.into() })?;
    let mut found = Vec::new();
    for (name, entry) in table {
        let is_section = KEYS.iter().any(|(key, _)| key.starts_with(&format!("{name}.")));
        match entry.kind {
            ValueKind::Table(section) if is_section => {
                found.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            kind => found.push((name, Value::new(None, kind))),
        }
    }
    let mut known = Vec::new();
    for (key, entry) in found {
        if !KEYS.iter().any(|(name, _)| *name == key) {
            return Err(Error::Unknown { hint: hint_for(&key), key, origin });
        }
        let is_table = TABLES.contains(&key.as_str());
        let (text, wanted) = match &entry.kind {
            ValueKind::Table(table) if is_table => {
                (listed(table), "a table of NAME = VALUE; a name with a dot stands in quotation marks")
            }
            ValueKind::Array(values) if LISTS.contains(&key.as_str()) => {
                let plain =
                    |value: &Value| value.clone().into_string().ok().filter(|text| !text.contains(','));
                let texts = values.iter().map(plain).collect::<Option<Vec<_>>>();
                (texts.map(|texts| texts.join(",")), "a list of values without commas")
            }
            _ => (entry.clone().into_string().ok(), "a single value"),
        };
        let text = text.ok_or_else(|| Error::Invalid {
            key: key.clone(),
            value: entry.to_string(),
            origin: origin.clone(),
            wanted: wanted.to_owned(),
        })?;
        known.push((key, value(&origin, text)));
    }
    Ok(KeyValues(known))
}

/// A table as other sources would give it, in the order of its names; nothing where one of its values is no single one, or a
/// name could be read as something else.
fn listed(table: &Map<String, Value>) -> Option<String> {
    let entry = |(name, value): (&String, &Value)| {
        let is_plain = |text: &str| !text.contains(['=', ',']);
        let value = value.clone().into_string().ok()?;
        (is_plain(name) && is_plain(&value)).then(|| format!("{name}={value}"))
    };
    let mut entries = table.iter().map(entry).collect::<Option<Vec<String>>>()?;
    entries.sort_unstable();
    Some(entries.join(","))
}

/// The keys of the same section, or all sections.
fn hint_for(key: &str) -> String {
    let section = key.split('.').next().unwrap_or_default();
    let same: Vec<&str> =
        KEYS.iter().map(|(name, _)| *name).filter(|name| name.starts_with(&format!("{section}."))).collect();
    match same.as_slice() {
        [] => format!("the keys are {}", KEYS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
        same => format!("section {section} has {}", same.join(", ")),
    }
}

/// Keys and values of one source, for the `config` crate to lay over each other.
#[derive(Debug, Clone)]
struct KeyValues(Vec<(String, Value)>);

impl KeyValues {
    fn defaults() -> Self {
        let with_default = KEYS.iter().filter(|(_, default)| !default.is_empty());
        Self(with_default.map(|(k, v)| ((*k).to_owned(), value("default", (*v).to_owned()))).collect())
    }
}

impl Source for KeyValues {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}

#[derive(Debug, Clone)]
struct Entry {
    key: &'static str,
    value: String,
    origin: String,
    /// Whether any source, the defaults included, has a value.
    is_set: bool,
}

/// The effective values as text, each with its source.
#[derive(Debug, Clone)]
pub(super) struct Layered {
    entries: Vec<Entry>,
    unknown_variables: Vec<UnknownVariable>,
}

impl Layered {
    fn entry(&self, key: &str) -> &Entry {
        let found = self.entries.iter().find(|entry| entry.key == key);
        found.unwrap_or_else(|| unreachable!("{key} is read and does not stand in KEYS"))
    }

    /// The value of a key.
    pub(super) fn text(&self, key: &str) -> &str {
        &self.entry(key).value
    }

    /// Fills in a key that no source has set.
    pub(super) fn default_to(&mut self, key: &str, work_out: impl FnOnce() -> String) {
        let unset = |entry: &&mut Entry| entry.key == key && !entry.is_set;
        if let Some(entry) = self.entries.iter_mut().find(unset) {
            entry.value = work_out();
        }
    }

    /// The error for a value that `key` cannot have.
    pub(super) fn invalid(&self, key: &str, wanted: &str) -> Error {
        let entry = self.entry(key);
        Error::Invalid {
            key: key.to_owned(),
            value: if key == "store.url" { hidden(&entry.value) } else { entry.value.clone() },
            origin: entry.origin.clone(),
            wanted: wanted.to_owned(),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        self.text(key).parse().map_err(|_| self.invalid(key, "true or false"))
    }

    pub(super) fn address(&self, key: &str) -> Result<SocketAddr, Error> {
        self.text(key)
            .parse()
            .map_err(|_| self.invalid(key, "an IP address and a port, such as 127.0.0.1:8000"))
    }

    pub(super) fn number(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, Error> {
        let number = self.text(key).parse().ok().filter(|number| range.contains(number));
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        number.ok_or_else(|| self.invalid(key, &wanted()))
    }

    /// A span of time, at most a day: longer ones are mistakes in the unit.
    pub(super) fn millis(&self, key: &str) -> Result<Millis, Error> {
        self.number(key, 1..=86_400_000).map(|number| Millis(number as u64))
    }

    pub(super) fn unknown_variables(&self) -> &[UnknownVariable] {
        &self.unknown_variables
    }

    /// Every value, in the order of the keys.
    pub(super) fn effective(&self) -> impl Iterator<Item = Effective<'_>> {
        self.entries.iter().map(|Entry { key, value, origin, .. }| {
            let is_bare = value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok();
            let value =
                if *key == "store.url" { Cow::Owned(hidden(value)) } else { Cow::Borrowed(value.as_str()) };
            Effective { key, value, is_bare, source: origin }
        })
    }

    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        let mut open_section = "";
        for Effective { key, value, is_bare, source } in self.effective() {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            if section != open_section {
                open_section = section;
                // Writing to a string cannot fail, here and below.
                let _ = write!(text, "\n[{section}]\n");
            }
            let shown = if is_bare { value.into_owned() } else { format!("{value:?}") };
            let _ = writeln!(text, "{name} = {shown}  # {source}");
        }
        text
    }
}
