//! The way of a step: from its turn to its answer.

use super::{Answer, Inner, lost};
use crate::repository::Loaded;
use crate::sequences::{self, Entering, Held, Step, Turn};
use spinwell_core::{Code, Fault, Millis};
use spinwell_policy::sequence::{Asked, Decision, Refusal as StepRefusal, Trial, Verdict};
use spinwell_protocol::{InferRequest, SequenceCall};
use spinwell_runtime::clock;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Inner {
    /// Takes a step of a sequence when its turn has come.
    pub(super) async fn step(
        self: Arc<Self>,
        entering: Entering,
        request: InferRequest,
        call: SequenceCall,
    ) -> Answer {
        let mut turn = self.sequences.arrive(entering, call.starts, &self.models).await?;
        let digest = sequences::digest(&request.series);
        let asked = Asked { starts: call.starts, step: call.step, digest, sent: call.sent };
        let idle = self.sequences.options.idle_expiry;
        let is_shared = self.sequences.shared().is_some();
        let mut trial = if is_shared { Trial::shared() } else { Trial::alone() };
        loop {
            let now = clock::unix();
            let used = asked.used(turn.known(), now);
            let decision = match trial.verdict(turn.known(), asked, now, idle) {
                Verdict::Take(decision) => decision,
                Verdict::Refresh => {
                    self.sequences.refresh(&mut turn).await?;
                    trial.refreshed();
                    continue;
                }
                Verdict::Refuse(refusal) => {
                    return Err(sequences::refused(&turn.key, call.step, refusal, idle));
                }
            };
            let model = self.model_for(&turn, decision, &request, &call)?;
            let (back, returned) = oneshot::channel();
            let step = Step { turn, decision, ends: call.ends, digest, used, back };
            let (answer, _place) = self.enqueue(request.clone(), model, Some(step))?;
            match (answer.await.unwrap_or_else(|_| Err(lost())), returned.await) {
                (Err(fault), Ok(own)) => {
                    let is_in_doubt = fault.code() == Code::DatabaseFailed;
                    let goes_on = if is_in_doubt { trial.in_doubt(&asked) } else { trial.fenced() };
                    if !goes_on {
                        return Err(fault);
                    }
                    turn = own;
                }
                (answer, _) => return answer,
            }
            self.sequences.refresh(&mut turn).await?;
            trial.refreshed();
        }
    }

    /// The model that a step is taken with: the one that its sequence was begun with, whatever is served by now.
    fn model_for(
        &self,
        turn: &Turn,
        decision: Decision,
        request: &InferRequest,
        call: &SequenceCall,
    ) -> Result<Arc<Loaded>, Fault> {
        let resident = match (decision, turn.held()) {
            (Decision::Begin, _) => return self.models.find(&request.model),
            (_, Held::Here(resident)) => resident,
            _ => return Err(sequences::refused(&turn.key, None, StepRefusal::Unknown, Millis(0))),
        };
        let (model, id) = (&resident.model, turn.key.id.as_str());
        let (own, asked) = (model.description.version, request.model.version);
        if call.names_version && own != asked {
            let message = format!(
                "sequence {id:?} was begun with version {own} of model {}, and the request names version {asked}; name \
                 version {own} or none, or begin it anew with sequence_start and without sequence_step",
                model.description.name
            );
            return Err(Fault::new(Code::SequenceModel, message));
        }
        let fits = model.description.channels == request.model.channels
            && request
                .outputs
                .iter()
                .all(|asked| model.description.outputs().iter().any(|has| has.name == asked.name));
        if !fits {
            let message = format!(
                "sequence {id:?} was begun with version {own} of model {}, which has other channels or outputs than \
                 version {asked}; begin it anew with sequence_start",
                model.description.name
            );
            return Err(Fault::new(Code::SequenceModel, message));
        }
        Ok(model.clone())
    }
}
