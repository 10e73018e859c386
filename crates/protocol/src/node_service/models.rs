//! Models on a connection: described once, then called by number.

use super::wire::describe::Task as WireTask;
use super::wire::from_node::Message;
use super::{senseless, whole, wire};
use crate::{Catalogue, Entry, ForecastFacts, ModelDescription, ModelFacts, Part, Task, Traffic};
use spinwell_core::{Code, Fault, ModelHash, ModelName, ModelVersion, NumericProfile, Ratio};
use std::collections::HashMap;
use std::sync::Arc;

/// What makes two descriptions speak of the same thing to predict with.
type Key = (ModelName, ModelVersion, ModelHash);

fn key(model: &ModelDescription) -> Key {
    (model.name.clone(), model.version, model.hash)
}

/// The node's end: what it has described on a connection.
#[derive(Debug, Default)]
pub struct Describer {
    /// By number.
    models: Vec<Arc<ModelDescription>>,
    /// Of each version's bytes, once for each device that it was seen on.
    numbers: HashMap<Key, Vec<u32>>,
}

impl Describer {
    /// How many models have been described.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether none has been.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The model that a gateway calls by that number.
    ///
    /// # Errors
    /// Where it was never described here.
    pub fn model(&self, number: u32) -> Result<&Arc<ModelDescription>, Fault> {
        let place = usize::try_from(number).ok();
        place.and_then(|place| self.models.get(place)).ok_or_else(|| senseless(format!("no model {number}")))
    }

    /// The number of a model, and the message that must be sent before it is used, where it is new. The same file on another
    /// device is another one.
    pub fn number(&mut self, model: &Arc<ModelDescription>) -> (u32, Option<Message>) {
        let known = self.numbers.entry(key(model)).or_default();
        let is_it = |number: &&u32| self.models[**number as usize] == *model;
        if let Some(number) = known.iter().find(is_it) {
            return (*number, None);
        }
        let number = u32::try_from(self.models.len()).unwrap_or(u32::MAX);
        known.push(number);
        self.models.push(model.clone());
        (number, Some(Message::Describe(describe(number, model))))
    }

    /// The messages that tell what is served.
    pub fn catalogue(&mut self, catalogue: &Catalogue) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut told = wire::Catalogue::default();
        let mut number = |model: &Arc<ModelDescription>, messages: &mut Vec<Message>| {
            let (number, message) = self.number(model);
            messages.extend(message);
            number
        };
        for (name, version, entry) in catalogue.entries() {
            match entry {
                Entry::Ready(model) => told.ready.push(number(model, &mut messages)),
                Entry::Broken(code) => told.broken.push(wire::Broken {
                    name: name.to_owned(),
                    version: version.0,
                    code: code.as_str().to_owned(),
                }),
            }
        }
        for (name, traffic) in catalogue.splits() {
            let mut part = |part: &Option<Part>| {
                let part = part.as_ref()?;
                Some(wire::Part { model: number(&part.model, &mut messages), share: part.share.get() })
            };
            let (canary, shadow) = (part(&traffic.canary), part(&traffic.shadow));
            let default = traffic.default.map(|version| version.0);
            told.traffic.push(wire::Traffic { name: name.to_owned(), default, canary, shadow });
        }
        messages.push(Message::Catalogue(told));
        messages
    }
}

/// The gateway's end: what it was told on a connection.
#[derive(Debug, Default)]
pub struct Described {
    models: HashMap<u32, Arc<ModelDescription>>,
    numbers: HashMap<Key, u32>,
}

impl Described {
    /// Takes a description.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn take(&mut self, told: wire::Describe) -> Result<(), Fault> {
        let number = told.number;
        let model = Arc::new(described(told)?);
        self.numbers.insert(key(&model), number);
        self.models.insert(number, model);
        Ok(())
    }

    /// The model of that number.
    ///
    /// # Errors
    /// Where it was never described.
    pub fn model(&self, number: u32) -> Result<&Arc<ModelDescription>, Fault> {
        self.models.get(&number).ok_or_else(|| senseless(format!("no model {number}")))
    }

    /// What the node calls a model: of the same name, version and bytes, wherever the description comes from.
    #[must_use]
    pub fn number(&self, model: &ModelDescription) -> Option<u32> {
        self.numbers.get(&key(model)).copied()
    }

    /// What the node serves.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn catalogue(&self, told: &wire::Catalogue) -> Result<Catalogue, Fault> {
        let mut catalogue = Catalogue::default();
        for number in &told.ready {
            let model = self.model(*number)?;
            catalogue.insert(&model.name, model.version, Entry::Ready(model.clone()));
        }
        for broken in &told.broken {
            let code = Code::named(&broken.code).unwrap_or(Code::Internal);
            catalogue.insert(&name(&broken.name)?, ModelVersion(broken.version), Entry::Broken(code));
        }
        for traffic in &told.traffic {
            let part = |part: &Option<wire::Part>| -> Result<Option<Part>, Fault> {
                let Some(part) = part else { return Ok(None) };
                let share = Ratio::new(part.share).ok_or_else(|| senseless("a share that is none"))?;
                Ok(Some(Part { model: self.model(part.model)?.clone(), share }))
            };
            let (canary, shadow) = (part(&traffic.canary)?, part(&traffic.shadow)?);
            let default = traffic.default.map(ModelVersion);
            catalogue.split(&name(&traffic.name)?, Traffic { default, canary, shadow });
        }
        Ok(catalogue)
    }
}

pub(super) fn name(text: &str) -> Result<ModelName, Fault> {
    text.parse().map_err(senseless)
}

pub(super) fn profile(text: &str) -> Result<NumericProfile, Fault> {
    let all = [NumericProfile::CpuF32, NumericProfile::CpuF64, NumericProfile::GpuF32];
    let found = all.into_iter().find(|profile| profile.as_str() == text);
    found.ok_or_else(|| senseless(format!("no numeric profile {text:?}")))
}

fn describe(number: u32, model: &ModelDescription) -> wire::Describe {
    let count = |count: usize| count as u64;
    let task = match &model.task {
        Task::Forecast(facts) => WireTask::Forecast(wire::Forecast {
            horizon: count(facts.horizon),
            season: count(facts.season),
            targets: facts.targets.clone(),
            coverage: facts.coverage,
            is_spiking: facts.is_spiking,
        }),
        Task::Classify { labels } => WireTask::Classify(wire::Classify { labels: labels.clone() }),
        Task::Detect { targets, alpha } => {
            WireTask::Detect(wire::Detect { targets: targets.clone(), alpha: *alpha })
        }
    };
    wire::Describe {
        number,
        name: model.name.as_str().to_owned(),
        version: model.version.0,
        hash: model.hash.0.to_vec().into(),
        family: model.family.clone(),
        task: Some(task),
        channels: model.channels.clone(),
        window_min: count(model.window_min),
        window_recommended: count(model.window_recommended),
        window_max: count(model.window_max),
        time_column: model.time_column.clone(),
        profile: model.profile.as_str().to_owned(),
        device: model.device.clone(),
        max_batch_size: count(model.max_batch_size),
        request_rows_max: count(model.request_rows_max),
    }
}

fn described(told: wire::Describe) -> Result<ModelDescription, Fault> {
    let task = match told.task.ok_or_else(|| senseless("a model without a task"))? {
        WireTask::Forecast(facts) => Task::Forecast(ForecastFacts {
            horizon: whole(facts.horizon)?,
            season: whole(facts.season)?,
            targets: facts.targets,
            coverage: facts.coverage,
            is_spiking: facts.is_spiking,
        }),
        WireTask::Classify(facts) => Task::Classify { labels: facts.labels },
        WireTask::Detect(facts) => Task::Detect { targets: facts.targets, alpha: facts.alpha },
    };
    let hash = told.hash.as_ref().try_into().map_err(|_| senseless("a hash that is none"))?;
    Ok(ModelDescription::new(ModelFacts {
        name: name(&told.name)?,
        version: ModelVersion(told.version),
        hash: ModelHash(hash),
        family: told.family,
        task,
        channels: told.channels,
        window_min: whole(told.window_min)?,
        window_recommended: whole(told.window_recommended)?,
        window_max: whole(told.window_max)?,
        time_column: told.time_column,
        profile: profile(&told.profile)?,
        device: told.device,
        max_batch_size: whole(told.max_batch_size)?,
        request_rows_max: whole(told.request_rows_max)?,
    }))
}
