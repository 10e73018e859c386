//! How right forecasts turned out to be, once the truth is known.
//!
//! A forecast is judged when its truth arrives, which may be in an hour or never, step by step, in any order and more than
//! once. So forecasts are remembered under the key that their caller can name again: the id of his request, or a step of his
//! sequence. Three rules keep the figures honest:
//! * *Each truth counts once.* The same truth again changes nothing; another truth for the same step is refused, because one of
//!   the two is wrong and nobody knows which.
//! * *Memory is bounded,* in bytes and in age. The oldest is forgotten first, and it is counted: figures of those who happened
//!   to be remembered are only fair where that number is small. What figures are made of is in the bound and takes at most half
//!   of it; where it would take more, the figures of the model that has waited longest for a truth begin anew.
//! * *Versions are compared on the same truths* (`paired`): two averages over different requests say little, the difference
//!   over the same requests a lot.
//!
//! In a sequence the rows of a later step are the truth for earlier ones; they are matched as they come. A sequence that is
//! begun anew uses its numbers again: what stands under them is then of an earlier run, and no rows are matched with it,
//! whether or not each step of the new one is answered.
//!
//! ```
//! use spinwell_core::{Millis, ModelVersion, TenantId};
//! use spinwell_policy::accuracy::{Forecast, Key, Limits, Memory, Place, Shape};
//! let mut memory = Memory::new(Limits { memory_bytes: 1 << 20, age_max: Millis(60_000) });
//! let place = Place::Request { id: "a".into(), window: 0 };
//! let key = Key { tenant: TenantId("default".into()), model: "taxi".parse().unwrap(), place };
//! let shape = Shape { horizon: 2, targets: 1 };
//! let forecast = Forecast::new(shape, vec![10.0, 11.0]).unwrap();
//! memory.remember(&key, ModelVersion(1), forecast, Millis(0));
//! memory.observe(&key, 1, &[12.0, 11.0], 1, Millis(5)).unwrap();
//! assert_eq!(memory.figures(&key.model)[0].1.mean_absolute_error, Some(1.0));
//! ```

mod entry;
mod figures;
mod paired;
#[cfg(test)]
mod tests;

pub use entry::{Fed, Forecast, Interval, Shape};
pub use figures::Figures;
pub use paired::{Comparison, Verdict};

use entry::{Entry, Relation};
use figures::ModelFigures;
use spinwell_core::{Millis, ModelName, ModelVersion, SequenceId, TenantId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Matured values that the figures of a version are made of, and requests that a comparison is made of: the newest so many.
pub const WINDOW: usize = 5_000;

/// What is remembered at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all that is remembered.
    pub memory_bytes: usize,
    /// For how long.
    pub age_max: Millis,
}

/// Under what a forecast is remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Whose it is.
    pub tenant: TenantId,
    /// The model, in whatever version.
    pub model: ModelName,
    /// What its caller calls it.
    pub place: Place,
}

/// What a caller calls a forecast.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A window of a request.
    Request {
        /// The caller's id.
        id: Arc<str>,
        /// Which window, from 0.
        window: usize,
    },
    /// A step of a sequence.
    Step {
        /// The sequence.
        sequence: SequenceId,
        /// The step's number, from 1.
        step: u64,
    },
}

impl Key {
    /// The key of another step of the same sequence.
    fn step(&self, other: u64) -> Option<Self> {
        match &self.place {
            Place::Request { .. } => None,
            Place::Step { sequence, .. } => {
                Some(Self { place: Place::Step { sequence: sequence.clone(), step: other }, ..self.clone() })
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.place {
            Place::Request { id, .. } => id.len(),
            Place::Step { sequence, .. } => sequence.as_str().len(),
        }
    }
}

/// What became of a truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matched {
    /// Steps whose truth this was.
    pub matched: usize,
    /// Steps whose truth had been the same already.
    pub repeated: usize,
}

/// Why a truth counts for nothing. None of its rows do then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No forecast is remembered there: there was none, or it has been forgotten.
    Unknown,
    /// The rows have another number of targets than the forecast.
    Targets {
        /// What it has.
        wanted: usize,
    },
    /// The forecast has no such step.
    Horizon {
        /// The steps that it has.
        horizon: usize,
    },
    /// Another truth was given before.
    Contradicts {
        /// For this step ahead, from 1.
        step: usize,
    },
}

/// The figures of a model.
#[derive(Debug, Default)]
struct Counted {
    figures: ModelFigures,
    /// What they hold.
    bytes: usize,
    /// When they were last counted, by the memory's own count.
    at: u64,
}

/// Forecasts that await their truth, and what is known of those that have got it.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    /// By age: a forecast's number is higher than that of all older ones.
    entries: BTreeMap<u64, Entry>,
    /// Where they are. In order, so that the steps of a sequence stand together.
    ordinals: BTreeMap<Key, u64>,
    /// The number of the next.
    next: u64,
    /// What `entries` and `ordinals` hold.
    bytes: usize,
    models: HashMap<ModelName, Counted>,
    /// What the figures of all models hold.
    figures_bytes: usize,
    /// How often figures were counted.
    counted: u64,
}

impl Memory {
    /// A memory of nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            ordinals: BTreeMap::new(),
            next: 0,
            bytes: 0,
            models: HashMap::new(),
            figures_bytes: 0,
            counted: 0,
        }
    }

    /// Remembers what a version forecast, whoever had asked it. Several versions may forecast the same key; the same forecast
    /// again changes nothing, and another one of the same version, or one from other rows, takes the place of what was there.
    /// The rows of a sequence's step are the truth for the steps before it.
    pub fn remember(&mut self, key: &Key, version: ModelVersion, forecast: Forecast, now: Millis) {
        self.forget_old(now);
        let known = self.ordinals.get(key).copied();
        let relation = known
            .and_then(|ordinal| self.entries.get(&ordinal))
            .map(|entry| entry.relation(version, &forecast));
        if relation == Some(Relation::Same) {
            self.confirm(key, &forecast);
            self.bound(&key.model);
            return;
        }
        let model = self.models.entry(key.model.clone()).or_default();
        if relation == Some(Relation::OtherTargets) {
            model.figures.count_forgotten(version);
            return;
        }
        let ordinal = match (known, relation) {
            (Some(ordinal), Some(Relation::Joins)) => ordinal,
            (known, _) => {
                if let Some(ordinal) = known {
                    self.forget(ordinal);
                }
                self.begin(key, &forecast, now)
            }
        };
        let Self { entries, models, bytes, .. } = self;
        if let (Some(entry), Some(model)) = (entries.get_mut(&ordinal), models.get_mut(&key.model)) {
            let before = entry.bytes();
            entry.join(version, forecast, &mut model.figures);
            *bytes += entry.bytes() - before;
        }
        self.bound(&key.model);
    }

    /// Keeps to the limit, after the figures of a model have changed.
    fn bound(&mut self, model: &ModelName) {
        self.counted += 1;
        if let Some(model) = self.models.get_mut(model) {
            let bytes = model.figures.bytes();
            self.figures_bytes = self.figures_bytes + bytes - model.bytes;
            (model.bytes, model.at) = (bytes, self.counted);
        }
        while self.figures_bytes > self.limits.memory_bytes / 2 {
            let some = self.models.values_mut().filter(|model| model.bytes > 0);
            let Some(oldest) = some.min_by_key(|model| model.at) else { break };
            oldest.figures.begin_anew();
            self.figures_bytes -= std::mem::take(&mut oldest.bytes);
        }
        while self.bytes() > self.limits.memory_bytes && self.forget_oldest() {}
    }

    /// The same of a version that answered beside, late perhaps: it stands with what was forecast from the same rows, and never
    /// begins an entry or takes the place of one, which may be of another request by then.
    pub fn remember_beside(&mut self, key: &Key, version: ModelVersion, forecast: Forecast, now: Millis) {
        let known = self.ordinals.get(key).and_then(|ordinal| self.entries.get(ordinal));
        if known.is_some_and(|entry| entry.relation(version, &forecast) == Relation::Joins) {
            self.remember(key, version, forecast, now);
        }
    }

    /// The same forecast again. Where an earlier run of its sequence made it, it stands in the chain of this one from now on.
    fn confirm(&mut self, key: &Key, forecast: &Forecast) {
        let Some(ordinal) = self.ordinals.get(key).copied() else { return };
        if !self.entries.get(&ordinal).is_some_and(Entry::is_of_earlier_run) {
            return;
        }
        let rows_end = forecast.fed().map_or(0, |fed| self.follow(key, fed));
        if let Some(entry) = self.entries.get_mut(&ordinal) {
            entry.join_run(rows_end);
        }
    }

    /// A new entry, behind the step of its sequence that comes before it.
    fn begin(&mut self, key: &Key, forecast: &Forecast, now: Millis) -> u64 {
        let rows_end = forecast.fed().map_or(0, |fed| self.follow(key, fed));
        let ordinal = self.next;
        self.next += 1;
        let entry = Entry::new(key.clone(), ordinal, forecast.shape(), rows_end, now);
        self.bytes += entry.bytes();
        self.entries.insert(ordinal, entry);
        self.ordinals.insert(key.clone(), ordinal);
        ordinal
    }

    /// Matches the rows of a step with the forecasts of earlier ones. Returns the rows of the sequence up to this step's last,
    /// counted from wherever the unbroken chain of remembered steps begins.
    fn follow(&mut self, key: &Key, fed: &Fed) -> u64 {
        let Place::Step { step, .. } = key.place else { return 0 };
        let Self { entries, ordinals, models, .. } = self;
        let Some(Counted { figures, .. }) = models.get_mut(&key.model) else { return fed.rows };
        let mut rows_before = None;
        for step in (1..step).rev() {
            let ordinal = key.step(step).and_then(|key| ordinals.get(&key).copied());
            let entry = ordinal.and_then(|ordinal| entries.get_mut(&ordinal));
            let Some(entry) = entry.filter(|entry| !entry.is_of_earlier_run()) else { break };
            let before = *rows_before.get_or_insert(entry.rows_end());
            // What lies between this forecast's last row and the rows that are new.
            let passed = usize::try_from(before.saturating_sub(entry.rows_end())).unwrap_or(usize::MAX);
            if passed >= entry.horizon() || fed.targets() != entry.targets() {
                break;
            }
            let rows = fed.first((entry.horizon() - passed).min(fed.known()));
            // A caller who has told another truth before keeps his own: there is nobody to refuse here.
            let _ = entry.observe(passed, rows, figures);
        }
        rows_before.unwrap_or(0).saturating_add(fed.rows)
    }

    /// Takes the truth for the steps ahead from `first` (1 is the next row) on: rows of `targets` values, the forecast's.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub fn observe(
        &mut self,
        key: &Key,
        first: usize,
        values: &[f32],
        targets: usize,
        now: Millis,
    ) -> Result<Matched, Refusal> {
        self.forget_old(now);
        let Self { entries, ordinals, models, .. } = self;
        let entry = ordinals.get(key).and_then(|ordinal| entries.get_mut(ordinal)).ok_or(Refusal::Unknown)?;
        let model = models.get_mut(&key.model).ok_or(Refusal::Unknown)?;
        if targets != entry.targets() {
            return Err(Refusal::Targets { wanted: entry.targets() });
        }
        let passed = first.checked_sub(1).ok_or(Refusal::Horizon { horizon: entry.horizon() })?;
        let matched = entry.observe(passed, values, &mut model.figures)?;
        self.bound(&key.model);
        Ok(matched)
    }

    /// The sequence of this step goes on from another state, or may: what it forecast until now keeps waiting for truths that are
    /// told by its steps' numbers, and no rows that come from now on are matched with it.
    pub fn begin_run(&mut self, key: &Key) {
        let (Some(first), Some(last)) = (key.step(0), key.step(u64::MAX)) else { return };
        for ordinal in self.ordinals.range(first..=last).map(|(_, ordinal)| ordinal) {
            if let Some(entry) = self.entries.get_mut(ordinal) {
                entry.leave_run();
            }
        }
    }

    /// Forgets what was forecast there, because what comes next does not follow from it.
    pub fn break_at(&mut self, key: &Key) {
        if let Some(ordinal) = self.ordinals.get(key).copied() {
            self.forget(ordinal);
        }
    }

    /// Counts a request that a version failed.
    pub fn count_failed(&mut self, model: &ModelName, version: ModelVersion) {
        self.models.entry(model.clone()).or_default().figures.count_failed(version);
        self.bound(model);
    }

    /// The figures of a model's versions, by version.
    #[must_use]
    pub fn figures(&self, model: &ModelName) -> Vec<(ModelVersion, Figures)> {
        self.models.get(model).map(|model| model.figures.all()).unwrap_or_default()
    }

    /// The comparisons of a model's versions that forecast the same, each with every older one.
    #[must_use]
    pub fn comparisons(&self, model: &ModelName) -> Vec<Comparison> {
        self.models.get(model).map(|model| model.figures.comparisons()).unwrap_or_default()
    }

    /// The models that there are figures of, in order.
    #[must_use]
    pub fn models(&self) -> Vec<ModelName> {
        let mut models: Vec<ModelName> = self.models.keys().cloned().collect();
        models.sort();
        models
    }

    /// Bytes of all that is remembered, and of what the figures are made of.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.figures_bytes
    }

    fn forget_old(&mut self, now: Millis) {
        let born_before = now.0.saturating_sub(self.limits.age_max.0);
        while self.entries.first_key_value().is_some_and(|(_, entry)| entry.born().0 < born_before) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.entries.first_key_value().map(|(ordinal, _)| *ordinal);
        oldest.is_some_and(|ordinal| {
            self.forget(ordinal);
            true
        })
    }

    fn forget(&mut self, ordinal: u64) {
        let Some(entry) = self.entries.remove(&ordinal) else { return };
        self.ordinals.remove(entry.key());
        self.bytes -= entry.bytes();
        if let Some(model) = self.models.get_mut(&entry.key().model) {
            entry.count_forgotten(&mut model.figures);
        }
    }
}
