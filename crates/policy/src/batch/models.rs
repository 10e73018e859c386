//! What each model has in the queue, all its versions together, and what it may have.
//!
//! A model that may take fewer executors than there are lives *apart*: its backlog and the age of its requests say nothing
//! about how soon the requests of others run, so that they are judged by their own alone. Otherwise the queue of a slow
//! model that is held to one executor would have the requests of all others refused.

use super::shedding::Shedding;
use spinwell_core::{ModelName, Priority};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a model may have, all its versions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelLimits {
    /// Batches of it that executors run at the same time; as many as there are executors, where it is not said.
    pub concurrency_max: Option<usize>,
    /// Requests of it that may wait; as many as may wait in all, where it is not said.
    pub queue_len_max: Option<usize>,
}

/// A model, by the lanes of its versions.
#[derive(Debug)]
pub(super) struct Model {
    name: ModelName,
    /// How many lanes are open; a model of none is gone.
    lanes: usize,
    pub(super) limits: ModelLimits,
    /// The requests that wait, by arrival.
    pub(super) waiting: BTreeSet<u64>,
    /// What they are expected to take, by class.
    pub(super) backlog: [Duration; Priority::COUNT],
    /// For a model that lives apart.
    pub(super) shedding: Shedding,
}

impl Model {
    /// What waits of a class and of more urgent ones.
    pub(super) fn backlog_to(&self, priority: Priority) -> Duration {
        self.backlog[..=priority as usize].iter().sum()
    }

    /// How many batches of it may run at the same time.
    pub(super) fn concurrency(&self) -> usize {
        self.limits.concurrency_max.map_or(usize::MAX, |most| most.max(1))
    }

    /// Whether it is judged by its own requests alone.
    pub(super) fn is_apart(&self, executors: usize) -> bool {
        self.concurrency() < executors
    }
}

/// A batch that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) lane: usize,
    pub(super) model: usize,
    /// When it is expected to end.
    pub(super) end: Instant,
    /// Whether it runs in time that nobody else wants.
    pub(super) is_spare: bool,
}

/// All models that have lanes.
#[derive(Debug)]
pub(super) struct Models {
    all: Vec<Model>,
    /// The model of each lane.
    of_lane: Vec<usize>,
    shedding: Shedding,
}

impl Models {
    pub(super) fn new(shedding: Shedding) -> Self {
        Self { all: Vec::new(), of_lane: Vec::new(), shedding }
    }

    /// Makes a lane one of a model's.
    pub(super) fn open(&mut self, lane: usize, name: &ModelName) {
        let known = self.all.iter().position(|model| model.lanes > 0 && model.name == *name);
        let place = known.or_else(|| self.all.iter().position(|model| model.lanes == 0));
        let place = place.unwrap_or(self.all.len());
        if known.is_none() {
            let fresh = Model {
                name: name.clone(),
                lanes: 0,
                limits: ModelLimits::default(),
                waiting: BTreeSet::new(),
                backlog: [Duration::ZERO; Priority::COUNT],
                shedding: self.shedding,
            };
            match self.all.get_mut(place) {
                Some(gone) => *gone = fresh,
                None => self.all.push(fresh),
            }
        }
        self.all[place].lanes += 1;
        if self.of_lane.len() <= lane {
            self.of_lane.resize(lane + 1, place);
        }
        self.of_lane[lane] = place;
    }

    /// A lane is of no model any more.
    pub(super) fn close(&mut self, lane: usize) {
        let model = &mut self.all[self.of_lane[lane]];
        model.lanes = model.lanes.saturating_sub(1);
    }

    pub(super) fn set_limits(&mut self, name: &ModelName, limits: ModelLimits) {
        if let Some(model) = self.all.iter_mut().find(|model| model.lanes > 0 && model.name == *name) {
            model.limits = limits;
        }
    }

    /// The model of a lane, by its number.
    pub(super) fn of_lane(&self, lane: usize) -> usize {
        self.of_lane[lane]
    }

    pub(super) fn get(&self, model: usize) -> &Model {
        &self.all[model]
    }

    pub(super) fn get_mut(&mut self, model: usize) -> &mut Model {
        &mut self.all[model]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Model> {
        self.all.iter()
    }

    /// The models that live apart, by number.
    pub(super) fn apart(&self, executors: usize) -> Vec<usize> {
        (0..self.all.len()).filter(|&model| self.all[model].is_apart(executors)).collect()
    }
}
