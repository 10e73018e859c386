//! One request for predictions, and the nodes that are asked for it.

use super::peer::{Asked, Failure};
use super::router::{Leave, Router, Wanted};
use super::{Inner, Node, nobody, senseless, step, told};
use spinwell_core::{Code, Fault, ModelName};
use spinwell_policy::attempts::{Course, CourseOptions, End, Next};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{InferFuture, InferReply, InferRequest, ModelDescription};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Sends the request to a node, before this returns, and to others as long as that is of use.
pub(super) fn infer(inner: &Arc<Inner>, request: InferRequest) -> InferFuture {
    if request.sequence.is_some() {
        return step::infer(inner, request);
    }
    Stateless::begin(inner, request).answer(None)
}

/// A request that any node may answer that holds its model.
pub(super) struct Stateless {
    inner: Arc<Inner>,
    model: Arc<ModelDescription>,
    rows: usize,
    request: Request,
    /// Whether nobody waits for the answer.
    is_spare: bool,
    /// Whether it is tried again, so that an attempt takes a share of the budget.
    is_retry: bool,
    course: Course,
}

impl Stateless {
    pub(super) fn begin(inner: &Arc<Inner>, request: InferRequest) -> Self {
        inner.router.begin();
        let mut options = CourseOptions::default();
        if request.is_spare {
            // Nobody waits for it.
            options.attempts_max = 1;
        }
        Self {
            inner: inner.clone(),
            model: request.model.clone(),
            rows: request.series.batch() * request.series.rows(),
            is_spare: request.is_spare,
            is_retry: false,
            course: Course::new(options, request.deadline),
            request: Request::Infer(request),
        }
    }

    /// What it takes a node for, where it is one of several that are sent together.
    pub(super) fn wanted(&mut self) -> Wanted<'_> {
        Wanted { course: &mut self.course, rows: self.rows }
    }

    /// Asks the node that there is leave for, or else whichever is chosen for this request alone, before this returns.
    pub(super) fn answer(mut self, leave: Option<Leave>) -> InferFuture {
        let first = leave.and_then(|leave| self.ask(leave)).or_else(|| self.attempt());
        Box::pin(async move {
            let first = first.ok_or_else(nobody)?;
            self.run(first).await
        })
    }

    /// Asks a node that was not asked before.
    fn attempt(&mut self) -> Option<Attempt> {
        loop {
            let able = self.inner.able(&self.model);
            let wanted = Wanted { course: &mut self.course, rows: self.rows };
            let leave = self.inner.router.leave(&able, wanted, &self.model.name)?;
            if let Some(attempt) = self.ask(leave) {
                return Some(attempt);
            }
        }
    }

    /// Asks the node that there is leave for, unless it has left the list in this moment. The attempt gives its share of the budget
    /// back when it ends, if it is a retry.
    fn ask(&self, leave: Leave) -> Option<Attempt> {
        let Some(node) = self.inner.node(leave.node()) else {
            self.inner.router.dropped(leave);
            return None;
        };
        let asked = node.peer.ask(&self.request);
        let (inner, model) = (self.inner.clone(), self.model.name.clone());
        let (is_retry, is_spare) = (self.is_retry, self.is_spare);
        let under_way = UnderWay { inner, model, leave: Some(leave), is_retry, is_spare };
        Some(Attempt { node, asked, under_way })
    }

    async fn run(mut self, mut attempt: Attempt) -> Result<InferReply, Fault> {
        loop {
            let Attempt { node, asked, under_way } = attempt;
            let limit = under_way.limit();
            let answer = timeout(limit, asked.answer()).await;
            let (end, failure) = match answer {
                Ok(Ok(Answer::Predicted(reply))) => {
                    under_way.end(End::Answered);
                    return Ok(reply);
                }
                Ok(Ok(_)) => (End::Failed, Failure::Refused(senseless(&node.member.id))),
                Ok(Err(failure)) => (end_of(&failure), failure),
                Err(_) => (End::TimedOut, Failure::Silent(limit)),
            };
            under_way.end(end);
            attempt = loop {
                match self.inner.router.next(&mut self.course, end, &self.model.name) {
                    Next::Wait(wait) => sleep(wait).await,
                    Next::Done | Next::GiveUp(_) => return Err(told(&node.member.id, failure, "try again")),
                    Next::Retry => {
                        self.is_retry = true;
                        match self.attempt() {
                            Some(next) => break next,
                            None => {
                                self.inner.router.end_retry();
                                return Err(told(&node.member.id, failure, "try again"));
                            }
                        }
                    }
                }
            };
        }
    }
}

impl Drop for Stateless {
    fn drop(&mut self) {
        self.inner.router.end();
    }
}

/// A node that was asked.
struct Attempt {
    node: Arc<Node>,
    asked: Asked,
    under_way: UnderWay,
}

/// An attempt, which ends one way or the other: where nobody says how, its caller has gone.
struct UnderWay {
    inner: Arc<Inner>,
    model: ModelName,
    leave: Option<Leave>,
    is_retry: bool,
    /// What waits for time that nobody else wants says nothing about the node if it waits in vain.
    is_spare: bool,
}

impl UnderWay {
    fn router(&self) -> &Router {
        &self.inner.router
    }

    fn limit(&self) -> std::time::Duration {
        self.leave.as_ref().map(|leave| leave.limit).unwrap_or_default()
    }

    fn end(mut self, end: End) {
        let Some(leave) = self.leave.take() else { return };
        match self.is_spare {
            true => self.router().dropped(leave),
            false => self.router().ended(leave, end, &self.model),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            self.router().dropped(leave);
        }
        if self.is_retry {
            self.router().end_retry();
        }
    }
}

/// What a failure says about the node, and about another attempt.
fn end_of(failure: &Failure) -> End {
    let fault = match failure {
        Failure::Lost | Failure::Silent(_) => return End::Failed,
        Failure::NotSent(fault) if fault.code() == Code::NodeUnreachable => return End::Refused,
        Failure::NotSent(fault) | Failure::Refused(fault) => fault,
    };
    match fault.code() {
        // A node that holds the model no more is as good as one that has no room for it.
        // So is one that thinks itself too slow for the request, as one does that has just stood still.
        Code::QueueFull | Code::Stopping | Code::ModelNotFound | Code::DeadlineExceeded => End::BackPressure,
        Code::Internal => End::Failed,
        _ => End::ClientError,
    }
}
