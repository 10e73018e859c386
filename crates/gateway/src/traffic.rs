//! Requests that are split between the versions of a model: who answers, and who is asked beside.
//!
//! [`spinwell_policy::traffic`] decides; here the decision is carried out. A shadow is sent what the answered request held,
//! when that answer has been encoded, as work that a node does in time that nobody else wants. Shadows are bounded in number
//! and in bytes, by a budget of their own, so that they take nothing from callers; one that does not fit is dropped and
//! counted. Steps of a sequence have no shadow: it would need a state of its own, fed from the first step on.

use crate::accuracy::Asked;
use crate::budget::{Budget, Share};
use crate::gateway::Gateway;
use crate::record::OutcomeReader;
use spinwell_core::{Blame, Code, Fault, Priority, SequenceId, Series, TenantId};
use spinwell_policy::traffic::{Draw, Route, Split, route};
use spinwell_protocol::{
    Call, Catalogue, InferReply, InferRequest, ModelDescription, OutputName, Outputs, Packing, Predictions,
    Traffic, Values,
};
use spinwell_runtime::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Shadows that may be under way. More would only wait in the node.
const SHADOWS_MAX: usize = 64;
/// The share of the bytes of all bodies that shadows may hold beside them: an eighth.
const BYTES_SHARE: usize = 8;

/// What a version answered, or did not, as a part of a split.
#[derive(Debug, Clone, Copy)]
pub struct SplitAnswer<'a> {
    /// The version.
    pub model: &'a ModelDescription,
    /// Why it was asked.
    pub role: Role,
    /// Whose request it was.
    pub tenant: &'a TenantId,
    /// The request's own id; empty where it has none.
    pub id: &'a str,
    /// The sequence that it is a step of; a shadow's never is.
    pub sequence: Option<&'a SequenceId>,
    /// The answer, or why there is none.
    pub result: Result<&'a InferReply, Missing>,
    /// How far a shadow's answer is from the one that the caller got.
    pub difference: Option<Difference>,
}

/// Why a version is asked that is not the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers instead.
    Canary,
    /// It is asked beside.
    Shadow,
}

/// Why a version has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// There was no room for it, or no time that nobody else wanted.
    Dropped,
    /// It failed.
    Failed,
}

/// How far two answers are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The sum of the absolute differences, in the data's units.
    pub sum: f64,
    /// Over how many values.
    pub values: usize,
}

/// The one place that every answer of a canary and of a shadow comes through, also one that is missing.
fn record(reader: &dyn OutcomeReader, answer: &SplitAnswer<'_>) {
    reader.read_split(answer);
}

/// A model that was asked for, and how its requests are split.
#[derive(Clone)]
pub(crate) struct Found {
    /// The version to check the request against: the one that was named, or the default.
    pub(crate) model: Arc<ModelDescription>,
    /// Whether a version was named.
    pub(crate) is_named: bool,
    /// Where no version was named, and the model's traffic is split.
    traffic: Option<Arc<Traffic>>,
}

impl Found {
    /// The model that a caller asks for.
    pub(crate) fn among(models: &Catalogue, name: &str, version: Option<&str>) -> Result<Self, Fault> {
        let model = models.find(name, version)?.clone();
        let is_named = version.is_some_and(|version| !version.is_empty());
        let traffic = models
            .traffic(name)
            .filter(|traffic| !is_named && (traffic.canary.is_some() || traffic.shadow.is_some()));
        Ok(Self { model, is_named, traffic: traffic.cloned() })
    }
}

/// What splitting needs to remember.
pub(crate) struct Splitter {
    /// Requests without a name.
    unnamed: AtomicU64,
    shadows: Arc<Semaphore>,
    bytes: Arc<Budget>,
}

/// Who answers a request, and who is asked beside.
pub(crate) struct Plan {
    pub(crate) model: Arc<ModelDescription>,
    pub(crate) is_canary: bool,
    pub(crate) shadow: Option<Shadow>,
}

impl Splitter {
    pub(crate) fn new(bodies_bytes_max: usize) -> Self {
        Self {
            unnamed: AtomicU64::new(0),
            shadows: Arc::new(Semaphore::new(SHADOWS_MAX)),
            bytes: Budget::new(bodies_bytes_max / BYTES_SHARE),
        }
    }

    /// Decides about a request.
    pub(crate) fn plan(&self, gateway: &Gateway, tenant: &TenantId, found: Found, call: &Call) -> Plan {
        let Found { model, traffic, .. } = found;
        let Some(traffic) = traffic else { return Plan { model, is_canary: false, shadow: None } };
        let share = |part: &Option<spinwell_protocol::Part>| part.as_ref().map(|part| part.share);
        let split = Split { canary: share(&traffic.canary), shadow: share(&traffic.shadow) };
        let sequence = call.parameters.sequence.as_ref();
        let draw = match sequence {
            Some(step) => Draw::Sequence(step.id.as_str()),
            None if call.id.is_empty() => Draw::Number(self.unnamed.fetch_add(1, Ordering::Relaxed)),
            None => Draw::Request(&call.id),
        };
        let Route { is_canary, is_shadowed } = route(split, model.name.as_str(), draw);
        // A step brings as many rows as it likes; a window must be one for the version as well.
        let takes = |other: &ModelDescription| sequence.is_some() || other.takes_windows(&call.series);
        let canary = traffic.canary.as_ref().filter(|part| is_canary && takes(&part.model));
        let is_canary = canary.is_some();
        let model = canary.map_or(model, |part| part.model.clone());
        let shadow = traffic.shadow.as_ref().filter(|part| {
            is_shadowed && sequence.is_none() && part.model.version != model.version && takes(&part.model)
        });
        let shadow = shadow.and_then(|part| self.shadow(gateway, tenant, part.model.clone(), call));
        Plan { model, is_canary, shadow }
    }

    /// Makes a shadow, where there is room for one.
    fn shadow(
        &self,
        gateway: &Gateway,
        tenant: &TenantId,
        model: Arc<ModelDescription>,
        call: &Call,
    ) -> Option<Shadow> {
        let mut share = self.bytes.share();
        // Each number takes eight bytes at most.
        let bytes = call.series.samples().len().saturating_mul(8);
        let permit = self.shadows.clone().try_acquire_owned().ok();
        match permit.filter(|_| share.take(bytes).is_ok()) {
            Some(permit) => Some(Shadow {
                model,
                id: call.id.clone(),
                series: call.series.clone(),
                gateway: gateway.clone(),
                tenant: tenant.clone(),
                answered: None,
                asked: None,
                _held: (permit, share),
            }),
            None => {
                let answer = SplitAnswer {
                    model: &model,
                    role: Role::Shadow,
                    tenant,
                    id: &call.id,
                    sequence: None,
                    result: Err(Missing::Dropped),
                    difference: None,
                };
                record(gateway.reader(), &answer);
                None
            }
        }
    }
}

/// A request that was sent to a canary.
pub(crate) struct Canary {
    pub(crate) gateway: Gateway,
    pub(crate) model: Arc<ModelDescription>,
    pub(crate) tenant: TenantId,
    pub(crate) sequence: Option<SequenceId>,
    pub(crate) patience: Patience,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as the server finds right, or longer: an answer that does not come by then is the version's failure.
    Enough,
    /// Less, because the caller wants it so: that it passes says nothing about a version.
    Short,
}

impl Canary {
    /// The request has an answer, or none. A step of a sequence that another version has answered is no canary's; of one
    /// that nobody has, the version is not known unless the sequence begins with it, so `fault` comes with `is_its_own`.
    pub(crate) fn record(&self, id: &str, result: Result<&InferReply, &Fault>, is_its_own: bool) {
        let is_its_own = match result {
            Ok(reply) => reply.model.version == self.model.version,
            Err(_) => is_its_own,
        };
        if !is_its_own {
            return;
        }
        let answer = SplitAnswer {
            model: &self.model,
            role: Role::Canary,
            tenant: &self.tenant,
            id,
            sequence: self.sequence.as_ref(),
            result: result.map_err(|fault| match fails(fault, self.patience) {
                true => Missing::Failed,
                false => Missing::Dropped,
            }),
            difference: None,
        };
        record(self.gateway.reader(), &answer);
    }
}

/// Whether a fault is one of the version that was asked: not the caller's, and not one of a server that is full or stops. That
/// somebody waits in vain for a version that he was sent to is one, unless he waits for less than is usual.
pub(crate) fn fails(fault: &Fault, patience: Patience) -> bool {
    match fault.code() {
        Code::QueueFull | Code::Stopping => false,
        Code::DeadlineExceeded => patience == Patience::Enough,
        code => code.blame() != Blame::Client,
    }
}

/// A request that another version hears when it has been answered. Dropped before, it never was.
pub(crate) struct Shadow {
    model: Arc<ModelDescription>,
    id: String,
    series: Series,
    gateway: Gateway,
    /// Whose request it is.
    tenant: TenantId,
    /// What the caller gets.
    answered: Option<Vec<f32>>,
    /// What its own answer is remembered under until the truth is known.
    asked: Option<Asked>,
    _held: (OwnedSemaphorePermit, Share),
}

impl Shadow {
    /// Keeps what the caller gets, to compare it.
    pub(crate) fn compared_with(mut self, reply: &InferReply) -> Self {
        self.answered = compared(&reply.predictions).map(<[f32]>::to_vec);
        self
    }

    /// Remembers what the version answers, beside what the caller gets, until the truth is known.
    pub(crate) fn remembered(self, asked: Option<Asked>) -> Self {
        Self { asked, ..self }
    }

    /// Asks the version, while nobody waits. The answer is on its way to the caller.
    pub(crate) fn start(self) {
        tokio::spawn(self.run());
    }

    async fn run(self) {
        let Self { model, id, series, gateway, tenant, answered, asked, _held } = self;
        let patience: Duration = gateway.limits().deadline.into();
        let deadline = clock::now() + patience;
        let request = InferRequest {
            outputs: Outputs::usual(&model, Packing::Json),
            model: model.clone(),
            series,
            deadline,
            priority: Priority::Low,
            is_spare: true,
            tenant: tenant.clone(),
            sequence: None,
        };
        let reply = timeout_at(Instant::from_std(deadline), gateway.infer(request)).await;
        let reply =
            reply.unwrap_or_else(|_| Err(Fault::new(Code::DeadlineExceeded, "nobody had time for it")));
        if let (Some(asked), Ok(reply)) = (&asked, &reply) {
            asked.answered_beside(reply);
        }
        let missing = |fault: &Fault| match fault.code() {
            // It waited for spare time in vain, or the server or its node stops.
            Code::QueueFull | Code::DeadlineExceeded | Code::Stopping | Code::NodeUnreachable => {
                Missing::Dropped
            }
            _ => Missing::Failed,
        };
        if reply.as_ref().is_err_and(|fault| missing(fault) == Missing::Failed) {
            gateway.count_failed(&model);
        }
        let own = reply.as_ref().ok().and_then(|reply| compared(&reply.predictions));
        let difference = own.zip(answered.as_deref()).and_then(|(own, other)| difference(own, other));
        let answer = SplitAnswer {
            model: &model,
            role: Role::Shadow,
            tenant: &tenant,
            id: &id,
            sequence: None,
            result: reply.as_ref().map_err(missing),
            difference,
        };
        record(gateway.reader(), &answer);
    }
}

/// The numbers by which answers are compared: the forecast, the probabilities or the score.
fn compared(predictions: &Predictions) -> Option<&[f32]> {
    let names = [OutputName::Forecast, OutputName::Probabilities, OutputName::Score];
    names.into_iter().find_map(|name| match predictions.get(name)? {
        Values::Fp32(values) => Some(values.as_slice()),
        _ => None,
    })
}

fn difference(own: &[f32], other: &[f32]) -> Option<Difference> {
    let pairs = own.iter().zip(other);
    let sum: f64 = pairs.map(|(own, other)| (f64::from(*own) - f64::from(*other)).abs()).sum();
    (own.len() == other.len() && !own.is_empty()).then_some(Difference { sum, values: own.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Mood, gateway_with};
    use spinwell_core::{ModelVersion, Ratio, Samples, SequenceId};
    use spinwell_protocol::{Entry, ModelFacts, Part, RequestParameters, SequenceCall};

    fn versions(canary: f64, shadow: f64) -> Found {
        let first = crate::example::catalogue().find("taxi", None).unwrap().clone();
        let version = |version, window_max| {
            let facts: &ModelFacts = &first;
            let facts = ModelFacts { version: ModelVersion(version), window_max, ..facts.clone() };
            Arc::new(ModelDescription::new(facts))
        };
        let part = |version, share| Ratio::new(share).map(|share| Part { model: version, share });
        let (canary, shadow) = (part(version(2, 10), canary), part(version(3, 100), shadow));
        let mut catalogue = crate::example::catalogue();
        catalogue.insert(&first.name, ModelVersion(9), Entry::Ready(version(9, 100)));
        catalogue.split(&first.name, Traffic { default: Some(ModelVersion(1)), canary, shadow });
        let named = Found::among(&catalogue, "taxi", Some("9")).unwrap();
        assert!(named.is_named && named.traffic.is_none() && named.model.version == ModelVersion(9));
        let found = Found::among(&catalogue, "taxi", Some("")).unwrap();
        assert!(!found.is_named);
        found
    }

    fn call(id: &str, rows: usize, sequence: Option<&str>) -> Call {
        let model = crate::example::catalogue().find("taxi", None).unwrap().clone();
        let sequence = sequence.and_then(SequenceId::of_text);
        let step = sequence.map(|id| SequenceCall {
            id,
            starts: true,
            ends: false,
            step: None,
            sent: None,
            names_version: false,
        });
        Call {
            id: id.to_owned(),
            series: Series::new(1, rows, 1, Samples::F32(vec![1.0; rows])).unwrap(),
            outputs: Outputs::usual(&model, Packing::Json),
            parameters: RequestParameters { sequence: step, ..RequestParameters::default() },
        }
    }

    #[test]
    fn a_plan_names_versions_that_take_the_request() {
        let (gateway, _) = gateway_with(Mood::Answers, |_| {});
        let splitter = Splitter::new(1 << 20);
        let check = |found: Found, call: Call, wanted: (u32, bool)| {
            let plan = splitter.plan(&gateway, &TenantId("t".into()), found, &call);
            assert_eq!((plan.model.version.0, plan.shadow.is_some()), wanted, "{call:?}");
            assert_eq!(plan.is_canary, wanted.0 == 2);
        };
        check(versions(0.0, 0.0), call("a", 4, None), (1, false));
        check(versions(1.0, 1.0), call("a", 4, None), (2, true));
        check(versions(1.0, 1.0), call("", 4, None), (2, true));
        check(versions(1.0, 1.0), call("a", 11, None), (1, true));
        check(versions(1.0, 1.0), call("a", 101, None), (1, false));
        check(versions(1.0, 1.0), call("a", 1, Some("s")), (2, false));
        check(versions(0.0, 1.0), call("a", 1, Some("s")), (1, false));
    }

    /// What the reader is told of a request to the canary, and how many requests version 2 is said to have failed.
    async fn asked(mood: Mood, call: Call) -> (Vec<Option<Missing>>, u64) {
        let (gateway, outcomes) = gateway_with(mood, |limits| limits.deadline = spinwell_core::Millis(1));
        let mut ticket = gateway.open_ticket(spinwell_core::Protocol::Grpc, None);
        let begun = gateway.begin(&mut ticket, versions(1.0, 0.0), call, None);
        let _ = begun.end(&mut ticket).await;
        let figures = gateway.accuracy(&"taxi".parse().unwrap()).unwrap().versions;
        let failed =
            figures.iter().find(|(version, _)| version.0 == 2).map_or(0, |(_, one)| one.failed_total);
        (outcomes.canaries(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_canary_that_fails_is_not_idle() {
        let (failed, dropped) = (Some(Missing::Failed), Some(Missing::Dropped));
        let step = |starts: bool| {
            let mut call = call("a", 1, Some("s"));
            call.parameters.sequence.as_mut().unwrap().starts = starts;
            call
        };
        assert_eq!(asked(Mood::Answers, call("a", 4, None)).await, (vec![None], 0));
        assert_eq!(asked(Mood::Fails, call("a", 4, None)).await, (vec![failed], 1));
        assert_eq!(asked(Mood::NeverAnswers, call("", 4, None)).await, (vec![failed], 1));
        // A caller's own haste is no failure; his patience does not make one good.
        let within = |timeout| {
            let mut call = call("a", 4, None);
            call.parameters.timeout = Some(spinwell_core::Micros(timeout));
            call
        };
        assert_eq!(asked(Mood::NeverAnswers, within(500)).await, (vec![dropped], 0));
        assert_eq!(asked(Mood::NeverAnswers, within(1_000)).await, (vec![failed], 1));
        assert_eq!(asked(Mood::NeverAnswers, within(5_000)).await, (vec![failed], 1));
        assert_eq!(asked(Mood::Fails, within(500)).await, (vec![failed], 1));
        assert_eq!(asked(Mood::IsFull, call("a", 4, None)).await, (vec![dropped], 0));
        assert_eq!(asked(Mood::Fails, step(true)).await, (vec![failed], 1));
        // Nobody knows which version a later step went to.
        assert_eq!(asked(Mood::Fails, step(false)).await, (vec![], 0));
    }

    #[test]
    fn a_step_that_another_version_answers_is_no_canary_s() {
        let (gateway, outcomes) = gateway_with(Mood::Answers, |_| {});
        let call = call("", 1, Some("s"));
        let model = splitter_model(&gateway, &call);
        let default = crate::example::catalogue().find("taxi", None).unwrap().clone();
        let sequence = SequenceId::of_text("s");
        let canary = Canary {
            gateway,
            model: model.clone(),
            tenant: TenantId("t".into()),
            sequence,
            patience: Patience::Enough,
        };
        canary.record("", Ok(&crate::example::reply(&default, &call)), true);
        assert_eq!(outcomes.canaries(), []);
        canary.record("", Ok(&crate::example::reply(&model, &call)), true);
        assert_eq!(outcomes.canaries(), [None]);
    }

    /// The version that the canary is.
    fn splitter_model(gateway: &Gateway, call: &Call) -> Arc<ModelDescription> {
        Splitter::new(1 << 20).plan(gateway, &TenantId("t".into()), versions(1.0, 0.0), call).model
    }

    #[test]
    fn shadows_are_bounded_in_number_and_in_bytes() {
        let (gateway, _) = gateway_with(Mood::Answers, |_| {});
        let count = |bytes: usize, rows: usize| {
            let splitter = Splitter::new(bytes);
            let plans: Vec<_> = (0..200)
                .map_while(|_| {
                    splitter
                        .plan(&gateway, &TenantId("t".into()), versions(0.0, 1.0), &call("", rows, None))
                        .shadow
                })
                .collect();
            plans.len()
        };
        assert_eq!(count(1 << 20, 4), SHADOWS_MAX);
        assert_eq!(count(8 * 8 * 10 * 3, 10), 3);
        let splitter = Splitter::new(1 << 20);
        for _ in 0..200 {
            // What is over gives its place back.
            assert!(
                splitter
                    .plan(&gateway, &TenantId("t".into()), versions(0.0, 1.0), &call("", 4, None))
                    .shadow
                    .is_some()
            );
        }
    }

    #[test]
    fn answers_differ_by_their_values() {
        let check = |own: &[f32], other: &[f32], wanted: Option<(f64, usize)>| {
            let found = difference(own, other).map(|difference| (difference.sum, difference.values));
            assert_eq!(found, wanted, "{own:?} {other:?}");
        };
        check(&[1.0, 2.0], &[1.5, 0.0], Some((2.5, 2)));
        check(&[1.0], &[1.0], Some((0.0, 1)));
        check(&[1.0], &[1.0, 2.0], None);
        check(&[], &[], None);
    }
}
