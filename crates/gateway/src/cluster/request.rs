//! One request for predictions, and the nodes that are asked for it.

use super::peer::{Asked, Failure};
use super::router::{Leave, Router, Wanted};
use super::{Inner, Node, RETRY_AFTER, nobody, senseless, step, told};
use spinwell_core::{Code, Fault, ModelName, NodeId};
use spinwell_policy::attempts::{Course, CourseOptions, End, GiveUp, Next};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{InferFuture, InferReply, InferRequest, ModelDescription};
use spinwell_runtime::clock;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{sleep_until, timeout_at};

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

    /// Waits for an answer, and asks other nodes where that is of use: after one has failed, and beside one that takes long.
    async fn run(mut self, first: Attempt) -> Result<InferReply, Fault> {
        let mut due = first.under_way.hedge().map(|at| (at, End::TimedOut));
        let mut under_way = vec![first];
        let mut told = None;
        loop {
            let end = match heard(&mut under_way, due).await {
                Heard::Answer(reply) => {
                    under_way.into_iter().for_each(|other| other.under_way.overtaken());
                    return Ok(reply);
                }
                Heard::Failure(end, fault) => {
                    told = Some(fault);
                    end
                }
                Heard::Due(end) => end,
            };
            due = match self.inner.router.next(&mut self.course, end, &self.model.name) {
                Next::Wait(wait) => Some((clock::now() + wait, end)),
                // What is wrong everywhere need not be heard from another node as well.
                Next::GiveUp(GiveUp::ClientError) => {
                    under_way.clear();
                    None
                }
                Next::Done | Next::GiveUp(_) => None,
                Next::Retry => {
                    under_way.extend(self.retry());
                    None
                }
            };
            if under_way.is_empty() && due.is_none() {
                return Err(told.unwrap_or_else(nobody));
            }
        }
    }

    /// Asks another node, which the budget has been charged for.
    fn retry(&mut self) -> Option<Attempt> {
        self.is_retry = true;
        let attempt = self.attempt();
        if attempt.is_none() {
            self.inner.router.end_retry();
        }
        attempt
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

/// What was heard first.
enum Heard {
    Answer(InferReply),
    /// An attempt has ended without an answer.
    Failure(End, Fault),
    /// It is time to ask another node: that is how what it is asked for has ended, or seems to end.
    Due(End),
}

/// Waits for those that were asked, which are two at most, and until another one is due.
async fn heard(under_way: &mut Vec<Attempt>, due: Option<(Instant, End)>) -> Heard {
    let is_due = async {
        match due {
            Some((at, end)) => {
                sleep_until(at.into()).await;
                end
            }
            None => std::future::pending().await,
        }
    };
    let first = async {
        match under_way.as_mut_slice() {
            [] => std::future::pending().await,
            [one] => (0, one.heard().await),
            [one, another, ..] => tokio::select! {
                biased;
                heard = one.heard() => (0, heard),
                heard = another.heard() => (1, heard),
            },
        }
    };
    let (place, (end, heard)) = tokio::select! {
        biased;
        heard = first => heard,
        end = is_due => return Heard::Due(end),
    };
    under_way.swap_remove(place).under_way.end(end);
    heard
}

impl Attempt {
    /// How it ended, and what that means to its request. It ends once; until then this may be dropped and called again.
    async fn heard(&mut self) -> (End, Heard) {
        let (at, silent) = self.under_way.ends();
        let id = &self.node.member.id;
        let (end, fault) = match timeout_at(at.into(), self.asked.answer()).await {
            Ok(Ok(Answer::Predicted(reply))) => return (End::Answered, Heard::Answer(reply)),
            Ok(Ok(_)) => (End::Failed, senseless(id)),
            Ok(Err(failure)) => (end_of(&failure, silent), told(id, failure, "try again")),
            Err(_) => (silent, unheard(id, silent)),
        };
        (end, Heard::Failure(end, fault))
    }
}

/// What is said of a node that has not answered when its attempt ended.
fn unheard(id: &NodeId, silent: End) -> Fault {
    match silent {
        End::TimedOut => {
            let message = format!("node {id} took longer than its answers do and may be gone; try again");
            Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
        }
        _ => {
            let message = format!("node {id} had not answered at the request's deadline; allow it more time");
            Fault::new(Code::DeadlineExceeded, message)
        }
    }
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

    /// When it is given up, and what that means.
    fn ends(&self) -> (Instant, End) {
        self.leave
            .as_ref()
            .map_or_else(|| (clock::now(), End::ClientError), |leave| (leave.ends(), leave.silent()))
    }

    fn hedge(&self) -> Option<Instant> {
        self.leave.as_ref().and_then(Leave::hedge)
    }

    /// Another node has answered the request. That it was asked because this one took long says that this one is slow.
    fn overtaken(self) {
        if self.hedge().is_some_and(|at| at <= clock::now()) {
            self.end(End::TimedOut);
        }
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

/// What a failure says about the node, and about another attempt. `silent` is what silence would have said.
fn end_of(failure: &Failure, silent: End) -> End {
    let fault = match failure {
        Failure::Lost | Failure::Silent(_) => return End::Failed,
        Failure::NotSent(fault) if fault.code() == Code::NodeUnreachable => return End::Refused,
        Failure::NotSent(fault) | Failure::Refused(fault) => fault,
    };
    match fault.code() {
        Code::QueueFull => End::BackPressure,
        // A node that has just stood still thinks itself too slow also for a request that has time enough, and for the next one.
        Code::DeadlineExceeded if silent == End::TimedOut => End::BackPressure,
        Code::Stopping | Code::ModelNotFound | Code::DeadlineExceeded => End::Declined,
        Code::Internal => End::Failed,
        _ => End::ClientError,
    }
}
