//! Forecasts that await their truth.
//!
//! What is remembered, and how right it turned out to be, `policy::accuracy` decides; here stand the clock, the lock, and
//! what has to be copied from a request before a node takes it. Only what a caller can name again is remembered: requests
//! with an id of his, and steps of sequences. A request costs two small copies, and one lock when it is answered.

use spinwell_core::{Code, Fault, Millis, ModelName, ModelVersion, SequenceId, TenantId};
use spinwell_policy::accuracy::{
    Comparison, Fed, Figures, Forecast, Interval, Key, Limits, Memory, Place, Refusal, Shape,
};
use spinwell_protocol::rest::{Observation, Observed, ObservedPlace};
use spinwell_protocol::{
    Call, ForecastFacts, InferReply, ModelDescription, OutputName, Task, Values, quoted,
};
use spinwell_runtime::clock;
use spinwell_runtime::options;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Live figures of everything that this gateway has answered and learnt the truth of.
#[derive(Debug)]
pub struct LiveAccuracy {
    /// Nothing where nothing is remembered.
    memory: Option<Mutex<Memory>>,
    /// What ages are counted from.
    started: Instant,
}

/// The figures of one version.
pub(crate) type OfVersion = (ModelName, ModelVersion, Figures);

/// The figures of one model.
pub(crate) struct OfModel {
    /// Those of its versions, by version.
    pub(crate) versions: Vec<(ModelVersion, Figures)>,
    /// How those compare that forecast the same.
    pub(crate) comparisons: Vec<Comparison>,
}

impl LiveAccuracy {
    /// A memory of nothing yet.
    #[must_use]
    pub fn new(options: options::Accuracy) -> Self {
        let options::Accuracy { memory_bytes, age_max } = options;
        let memory = (memory_bytes > 0).then(|| Mutex::new(Memory::new(Limits { memory_bytes, age_max })));
        Self { memory, started: clock::now() }
    }

    /// What has to be known of a request when it is answered; nothing where its answer will not be remembered.
    pub(crate) fn asked(
        self: &Arc<Self>,
        tenant: &TenantId,
        model: &ModelDescription,
        call: &Call,
    ) -> Option<Asked> {
        let Task::Forecast(facts) = &model.task else { return None };
        self.memory.as_ref()?;
        let named = match &call.parameters.sequence {
            Some(step) => Named::Step(step.id.clone()),
            None if call.id.is_empty() => return None,
            None => Named::Request(call.id.as_str().into()),
        };
        let series = &call.series;
        // A model that hears its targets has them as its first channels.
        let hears_targets = model.channels.starts_with(&facts.targets);
        let row = |window, row| {
            (0..facts.targets.len()).map(move |target| series.value(window, row, target) as f32)
        };
        let rows = series.rows();
        let last: Vec<f32> = match rows.checked_sub(1).filter(|_| hears_targets) {
            Some(newest) => (0..series.batch()).flat_map(|window| row(window, newest)).collect(),
            None => Vec::new(),
        };
        let fed = match named {
            Named::Step(_) if hears_targets => {
                let first = (0..rows.min(facts.horizon)).flat_map(|index| row(0, index)).collect();
                Fed::new(rows as u64, facts.targets.len(), first)
            }
            _ => None,
        };
        if let (Named::Step(sequence), Some(true)) =
            (&named, call.parameters.sequence.as_ref().map(|step| step.starts))
        {
            // Before it is known whether there will be an answer: a node may take a step whose answer comes too late.
            self.begin_run(tenant, &model.name, sequence.clone());
        }
        Some(Asked { accuracy: self.clone(), tenant: tenant.clone(), named, last, fed })
    }

    /// What a sequence has forecast until now is of an earlier run.
    fn begin_run(&self, tenant: &TenantId, model: &ModelName, sequence: SequenceId) {
        if let Ok(mut memory) = self.memory() {
            let place = Place::Step { sequence, step: 1 };
            memory.begin_run(&Key { tenant: tenant.clone(), model: model.clone(), place });
        }
    }

    /// Counts a request that a version failed.
    pub(crate) fn failed(&self, model: &ModelDescription) {
        if let (Task::Forecast(_), Ok(mut memory)) = (&model.task, self.memory()) {
            memory.count_failed(&model.name, model.version);
        }
    }

    /// Takes the truth for a forecast of a model.
    pub(crate) fn observe(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        observation: Observation,
    ) -> Result<Observed, Fault> {
        let Observation { place, from_step, targets, values } = observation;
        let place = match place {
            ObservedPlace::Request { id, window } => Place::Request { id: id.into(), window },
            ObservedPlace::Step { sequence, step } => Place::Step { sequence, step },
        };
        let key = Key { tenant: tenant.clone(), model: model.clone(), place };
        let matched = self.memory()?.observe(&key, from_step, &values, targets, self.now());
        let found = matched.map_err(|refusal| fault(&key, refusal))?;
        Ok(Observed { matched: found.matched, repeated: found.repeated })
    }

    /// Forgets what was forecast at a step, because the state there is another one now.
    pub(crate) fn break_at(&self, tenant: &TenantId, model: &ModelName, sequence: SequenceId, step: u64) {
        if let Ok(mut memory) = self.memory() {
            let place = Place::Step { sequence, step };
            let key = Key { tenant: tenant.clone(), model: model.clone(), place };
            memory.break_at(&key);
            memory.begin_run(&key);
        }
    }

    /// The figures of a model's versions, and how those compare that forecast the same.
    pub(crate) fn of(&self, model: &ModelName) -> Result<OfModel, Fault> {
        let memory = self.memory()?;
        Ok(OfModel { versions: memory.figures(model), comparisons: memory.comparisons(model) })
    }

    /// The figures of every version.
    pub(crate) fn all(&self) -> Vec<OfVersion> {
        let models = self.memory().map(|memory| memory.models()).unwrap_or_default();
        // Answers wait for the lock: it is held for one model at a time.
        let of = |model: ModelName| {
            let figures = self.memory().map(|memory| memory.figures(&model)).unwrap_or_default();
            figures.into_iter().map(move |(version, figures)| (model.clone(), version, figures))
        };
        models.into_iter().flat_map(of).collect()
    }

    /// Whether anything is remembered.
    ///
    /// # Errors
    /// Where it is switched off.
    pub(crate) fn is_on(&self) -> Result<(), Fault> {
        self.memory.as_ref().map(|_| ()).ok_or_else(switched_off)
    }

    fn memory(&self) -> Result<MutexGuard<'_, Memory>, Fault> {
        let memory = self.memory.as_ref().ok_or_else(switched_off)?;
        Ok(memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Millis {
        Millis(clock::since(self.started).0 / 1000)
    }
}

fn switched_off() -> Fault {
    Fault::new(Code::NotOffered, "no forecasts are remembered here: accuracy.memory_bytes is 0")
}

/// What a caller calls what he asked for.
#[derive(Debug, Clone)]
enum Named {
    Request(Arc<str>),
    Step(SequenceId),
}

/// A request whose answers are remembered, **whichever version gives them**: each answer may be handed over here, the one that
/// the caller got as well as one that was made in its shadow.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    accuracy: Arc<LiveAccuracy>,
    tenant: TenantId,
    named: Named,
    /// The targets in the last row of each window, one window after the other; empty where the model does not hear them.
    last: Vec<f32>,
    fed: Option<Fed>,
}

impl Asked {
    /// Remembers what a version answered its caller.
    pub(crate) fn answered(&self, reply: &InferReply) {
        self.remember(reply, Memory::remember);
    }

    /// Remembers what a version answered beside, where what the caller got is still remembered.
    pub(crate) fn answered_beside(&self, reply: &InferReply) {
        self.remember(reply, Memory::remember_beside);
    }

    fn remember(&self, reply: &InferReply, remember: fn(&mut Memory, &Key, ModelVersion, Forecast, Millis)) {
        let Task::Forecast(facts) = &reply.model.task else { return };
        let is_warming_up = reply.sequence.is_some_and(|sequence| sequence.warming_up);
        let forecasts = if is_warming_up { Vec::new() } else { self.forecasts(facts, reply) };
        let Ok(mut memory) = self.accuracy.memory() else { return };
        let now = self.accuracy.now();
        let key = |place| Key { tenant: self.tenant.clone(), model: reply.model.name.clone(), place };
        match (&self.named, reply.sequence) {
            (Named::Step(sequence), Some(answered)) => {
                let key = key(Place::Step { sequence: sequence.clone(), step: answered.step });
                if answered.step == 1 {
                    // Also what a step of the earlier run was answered since this one was asked.
                    memory.begin_run(&key);
                }
                match forecasts.into_iter().next() {
                    Some(forecast) => remember(&mut memory, &key, reply.model.version, forecast, now),
                    // Whatever stands there is of a sequence that was begun anew since.
                    None => memory.break_at(&key),
                }
            }
            (Named::Step(_), None) => {}
            (Named::Request(id), _) => {
                for (window, forecast) in forecasts.into_iter().enumerate() {
                    let key = key(Place::Request { id: id.clone(), window });
                    remember(&mut memory, &key, reply.model.version, forecast, now);
                }
            }
        }
    }

    /// What was forecast for each window; nothing where it was not asked for.
    fn forecasts(&self, facts: &ForecastFacts, reply: &InferReply) -> Vec<Forecast> {
        let shape = Shape { horizon: facts.horizon, targets: facts.targets.len() };
        let each = shape.horizon * shape.targets;
        let of = |name, window: usize| match reply.predictions.get(name) {
            Some(Values::Fp32(values)) => values.get(window * each..(window + 1) * each),
            _ => None,
        };
        let one = |window: usize| {
            let mut forecast = Forecast::new(shape, of(OutputName::Forecast, window)?.to_vec())?;
            if let (Some(lower), Some(upper)) = (of(OutputName::Lower, window), of(OutputName::Upper, window))
            {
                let interval =
                    Interval { lower: lower.into(), upper: upper.into(), coverage: facts.coverage };
                forecast = forecast.within(interval);
            }
            if let Some(last) = self.last.get(window * shape.targets..(window + 1) * shape.targets) {
                forecast = forecast.after(last.to_vec());
            }
            Some(match &self.fed {
                Some(fed) => forecast.fed_with(fed.clone()),
                None => forecast,
            })
        };
        (0..reply.predictions.batch).filter_map(one).collect()
    }
}

/// What a caller is told of a truth that counts for nothing.
fn fault(key: &Key, refusal: Refusal) -> Fault {
    let forecast = match &key.place {
        Place::Request { id, window } => format!("request {}, window {window}", quoted(id)),
        Place::Step { sequence, step } => format!("sequence {}, step {step}", quoted(sequence.as_str())),
    };
    match refusal {
        Refusal::Unknown => {
            let message = format!(
                "no forecast of model {} is remembered for {forecast}: give requests an id of their own, and the truth \
                 within accuracy.age_max_ms",
                key.model
            );
            Fault::new(Code::ForecastUnknown, message)
        }
        Refusal::Targets { wanted } => {
            let message =
                format!("the forecast of {forecast} has {wanted} targets; send rows of {wanted} values");
            Fault::new(Code::TensorShape, message)
        }
        Refusal::Horizon { horizon } => {
            let message = format!("the forecast of {forecast} has the steps 1 to {horizon} only");
            Fault::new(Code::TensorShape, message)
        }
        Refusal::Contradicts { step } => {
            let message = format!(
                "another truth is known for step {step} of the forecast of {forecast}; nothing of this observation was \
                 counted"
            );
            Fault::new(Code::ObservationContradicts, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{catalogue, reply};
    use spinwell_core::{Samples, Series};
    use spinwell_protocol::{ModelFacts, Outputs, Packing, RequestParameters};

    #[test]
    fn what_a_shadow_answers_is_compared_with_what_the_caller_got() {
        let options = options::Accuracy { memory_bytes: 1 << 20, age_max: Millis(1000) };
        let accuracy = Arc::new(LiveAccuracy::new(options));
        let models = catalogue();
        let model = models.find("taxi", None).unwrap();
        let tenant = TenantId("default".into());
        let series = Series::new(2, 2, 1, Samples::F32(vec![0.0, 1.0, 2.0, 3.0])).unwrap();
        let outputs = Outputs::usual(model, Packing::Json);
        let call = Call { id: "a".into(), series, outputs, parameters: RequestParameters::default() };
        let asked = accuracy.asked(&tenant, model, &call).unwrap();
        let mut answer = reply(model, &call);
        asked.answered(&answer);
        let Task::Forecast(facts) = &model.task else { panic!("taxi forecasts") };
        let other = ModelFacts { version: ModelVersion(2), ..(**model.as_ref()).clone() };
        assert_eq!(facts.horizon, 3);
        answer.model = Arc::new(ModelDescription::new(other));
        for tensor in &mut answer.predictions.tensors {
            let Values::Fp32(values) = &mut tensor.values else { continue };
            values.iter_mut().for_each(|value| *value += 10.0);
        }
        asked.answered(&answer);
        for (window, truth) in [(0, 2.0), (1, 4.0)] {
            let place = ObservedPlace::Request { id: "a".into(), window };
            let truth = Observation { place, from_step: 1, targets: 1, values: vec![truth] };
            assert_eq!(accuracy.observe(&tenant, &model.name, truth).map(|found| found.matched), Ok(1));
        }
        let OfModel { versions, comparisons } = accuracy.of(&model.name).unwrap();
        let errors: Vec<_> = versions.iter().map(|(_, figures)| figures.mean_absolute_error).collect();
        assert_eq!(errors, [Some(0.0), Some(10.0)]);
        assert_eq!((comparisons[0].requests, comparisons[0].mean_difference), (2, Some(10.0)));
    }

    #[test]
    fn switched_off_nothing_is_copied_and_callers_are_told() {
        let options = options::Accuracy { memory_bytes: 0, age_max: Millis(1000) };
        let accuracy = Arc::new(LiveAccuracy::new(options));
        let models = catalogue();
        let model = models.find("taxi", None).unwrap();
        let series = Series::new(1, 2, 1, Samples::F32(vec![0.0, 1.0])).unwrap();
        let outputs = Outputs::usual(model, Packing::Json);
        let call = Call { id: "a".into(), series, outputs, parameters: RequestParameters::default() };
        assert!(accuracy.asked(&TenantId("default".into()), model, &call).is_none());
        assert_eq!(accuracy.of(&model.name).map(|_| ()).map_err(|fault| fault.code()), Err(Code::NotOffered));
        assert!(accuracy.all().is_empty());
    }
}
