//! One step of a sequence, and the nodes that are asked to take it.
//!
//! Where each node keeps its own sequences, a step goes to its node and nowhere else. Where they share a log, it goes to the owner of
//! its shard; where that is lost before it has answered, a step with a number goes to the next owner, which takes it or repeats its
//! answer, and one without a number to nobody.

use super::catalogue::stand_in;
use super::homes::Stay;
use super::peer::{Asked, Failure};
use super::{Inner, Node, RETRY_AFTER, keepers, nobody, senseless, told};
use spinwell_core::{Code, Fault, NodeId, SequenceKey};
use spinwell_policy::{sequence, shards};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{InferFuture, InferReply, InferRequest, ModelDescription};
use spinwell_runtime::clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout_at};

/// Pauses before a step is sent again: the first one, in which the gateway learns who is there, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Sends a step, before this returns, so that steps arrive in the order of these calls.
pub(super) fn infer(inner: &Arc<Inner>, mut request: InferRequest) -> InferFuture {
    let Some(call) = &mut request.sequence else { return Box::pin(async { Err(nobody()) }) };
    let number = call.step;
    let key = SequenceKey {
        tenant: request.tenant.clone(),
        model: request.model.name.clone(),
        id: call.id.clone(),
    };
    if inner.homes.keeping().is_none() {
        return alone(inner, &key, request, number.is_some());
    }
    let shard = shards::shard([&key.tenant.0, key.model.as_str(), key.id.as_str()]);
    call.sent = Some(inner.homes.stamp(shard, call.starts));
    let course = Course {
        inner: inner.clone(),
        shard,
        deadline: request.deadline,
        is_numbered: number.is_some(),
        model: request.model.clone(),
        request: Request::Infer(request),
    };
    let first = course.begin();
    Box::pin(course.run(first))
}

/// What is said of a step that nobody knows the fate of.
fn unknown_fate(is_numbered: bool) -> &'static str {
    match is_numbered {
        true => "send the step again with the same sequence_step, it is taken once",
        false => "the step may have been taken: look at the sequence's state before you send it again",
    }
}

/// Sends a step to the one node that keeps its sequence.
fn alone(inner: &Inner, key: &SequenceKey, request: InferRequest, is_numbered: bool) -> InferFuture {
    let asked = inner.keeper(key).map(|node| (node.peer.ask(&Request::Infer(request)), node));
    Box::pin(async move {
        let (mut asked, node) = asked?;
        let id = &node.member.id;
        match asked.answer().await {
            Ok(Answer::Predicted(reply)) => Ok(reply),
            Ok(_) => Err(senseless(id)),
            Err(failure) => Err(told(id, failure, unknown_fate(is_numbered))),
        }
    })
}

/// A step that any node of the region could take.
struct Course {
    inner: Arc<Inner>,
    shard: u16,
    deadline: Instant,
    is_numbered: bool,
    /// The model that its caller was given.
    model: Arc<ModelDescription>,
    request: Request,
}

/// How far an attempt has come.
enum Begun {
    /// A node is asked.
    Asked(UnderWay, Asked),
    /// Steps before it are under way elsewhere, or there is no node.
    Waits(InLine),
}

impl Course {
    fn begin(&self) -> Begun {
        match self.inner.homes.begin(self.shard) {
            Ok(stay) => self.ask(stay),
            Err(place) => Begun::Waits(InLine { inner: self.inner.clone(), place: Some(place) }),
        }
    }

    fn ask(&self, stay: Stay) -> Begun {
        let other = self.stood_in_for(&stay.node);
        let asked = stay.node.peer.ask(other.as_ref().unwrap_or(&self.request));
        let node = stay.node.clone();
        Begun::Asked(UnderWay { inner: self.inner.clone(), stay: Some(stay), node }, asked)
    }

    /// The request with another version, where this node has that one and not the request's.
    fn stood_in_for(&self, node: &Node) -> Option<Request> {
        let Request::Infer(step) = &self.request else { return None };
        if step.sequence.as_ref().is_none_or(|call| call.names_version) {
            return None;
        }
        let model = stand_in(&*node.peer.catalogue()?, step)?;
        Some(Request::Infer(InferRequest { model, ..step.clone() }))
    }

    async fn run(self, mut begun: Begun) -> Result<InferReply, Fault> {
        let mut pause = PAUSE.0;
        let mut last = None;
        loop {
            let (under_way, mut asked) = match begun {
                Begun::Asked(under_way, asked) => (under_way, asked),
                Begun::Waits(mut line) => {
                    let stay = timeout_at(self.deadline.into(), line.go_on(self.shard)).await;
                    begun = self.ask(stay.map_err(|_| last.take().unwrap_or_else(|| self.unsent()))?);
                    continue;
                }
            };
            let id = under_way.node().member.id.clone();
            let answer = tokio::select! {
                biased;
                answer = asked.answer() => answer,
                () = self.inner.homes.gives_up(&id) => Err(Failure::Silent(keepers::SILENT.into())),
            };
            let failure = match answer {
                Ok(Answer::Predicted(reply)) => return Ok(reply),
                Ok(_) => return Err(senseless(&id)),
                Err(failure) => failure,
            };
            // Before it stands in line again: so the node learns of it before it is asked once more.
            drop(asked);
            let goes_on = self.goes_on(&failure) && clock::now() + pause < self.deadline;
            let fault = self.told(&id, failure);
            if !goes_on {
                return Err(fault);
            }
            let Some(line) = under_way.again() else { return Err(fault) };
            last = Some(fault);
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
            begun = Begun::Waits(line);
        }
    }

    /// What is said of a step that waited until its deadline, and was never sent.
    fn unsent(&self) -> Fault {
        match self.inner.homes.keeping() {
            Some(keeping) if !keeping.nodes.is_empty() => {
                let message = "steps before this one were under way until its deadline; it was not taken";
                Fault::new(Code::DeadlineExceeded, message)
            }
            _ => nobody(),
        }
    }

    /// Whether another attempt may be made: where nothing was taken, or what was taken is not taken twice, and where the answer may
    /// be another one then. Who is overtaken stays so.
    fn goes_on(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Lost | Failure::Silent(_) => self.is_numbered,
            Failure::NotSent(fault) => fault.code() == Code::NodeUnreachable || self.is_lacking(fault),
            Failure::Refused(fault) => {
                matches!(fault.code(), Code::Stopping | Code::SequenceMoved) || self.is_lacking(fault)
            }
        }
    }

    /// Whether the node lacks the model, which others serve: it loads it soon, or another one keeps the shard.
    fn is_lacking(&self, fault: &Fault) -> bool {
        matches!(fault.code(), Code::ModelNotFound | Code::VersionNotFound) && self.inner.serves(&self.model)
    }

    /// A failure as the caller learns of it.
    fn told(&self, id: &NodeId, failure: Failure) -> Fault {
        match failure {
            Failure::NotSent(fault) | Failure::Refused(fault) if self.is_lacking(&fault) => {
                let (name, version) = (&self.model.name, self.model.version);
                let message = format!(
                    "node {id}, which keeps the sequence, does not have version {version} of model {name} yet; try again"
                );
                Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
            }
            failure => told(id, failure, unknown_fate(self.is_numbered)),
        }
    }
}

/// A step that a node was asked to take.
struct UnderWay {
    inner: Arc<Inner>,
    /// Until it is sent again.
    stay: Option<Stay>,
    node: Arc<Node>,
}

impl UnderWay {
    fn node(&self) -> &Node {
        &self.node
    }

    /// The place from which it is sent again, in front of those that came after it.
    fn again(mut self) -> Option<InLine> {
        let place = self.inner.homes.again(&self.stay.take()?);
        Some(InLine { inner: self.inner.clone(), place: Some(place) })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(stay) = &self.stay {
            self.inner.homes.end(stay);
        }
    }
}

/// A step that waits for the one before it.
struct InLine {
    inner: Arc<Inner>,
    place: Option<sequence::Place>,
}

impl InLine {
    async fn go_on(&mut self, shard: u16) -> Stay {
        let Some(place) = &self.place else { std::future::pending().await };
        let stay = self.inner.homes.go_on(shard, place).await;
        self.place = None;
        stay
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.inner.homes.leave(place);
        }
    }
}
