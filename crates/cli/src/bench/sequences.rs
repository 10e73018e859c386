//! Steps of live sequences over streams (`ModelStreamInfer`), some of them under way at the same time.
//!
//! Each stream has sequences of its own and goes round them, so that the number of steps of each sequence depends on
//! nothing but the number of all. Values depend on the sequence and the step only. Two runs of as many steps must
//! therefore give the same answers to the bit, whatever happened to the server in between; the digest says whether they did.

use super::drive::{Dispatcher, Record};
use super::grpc::{self, Client};
use super::tally::{Ended, Failure, says_again};
use super::work::Subject;
use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::{InferParameter, ModelInferRequest, ModelStreamInferResponse};
use spinwell_runtime::clock;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// How long to wait before a lost connection is tried again.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// How long to wait before a step is sent again that a busy server refused.
const REFUSED_AFTER: Duration = Duration::from_millis(20);

/// What one stream does.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// The server.
    pub(crate) authority: String,
    /// The model.
    pub(crate) subject: Subject,
    /// The number of this stream.
    pub(crate) number: usize,
    /// The number of streams.
    pub(crate) lanes: usize,
    /// Sequences of all streams.
    pub(crate) sequences: usize,
    /// Steps under way at most.
    pub(crate) in_flight: usize,
    /// What the ids of this run's sequences begin with.
    pub(crate) prefix: String,
    /// For how long a lost connection is tried again; then steps that are refused for now are sent again as well.
    pub(crate) reconnect: Duration,
}

/// What is left of a stream's run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LaneReport {
    /// A number that depends on all answers and not on their order.
    pub(crate) digest: u64,
    /// Steps that were sent again, after a connection was lost or a refusal that said so.
    pub(crate) sent_again: u64,
}

/// A step that is under way.
#[derive(Debug, Clone, Copy)]
struct Step {
    sequence: usize,
    step: u64,
    intended: Instant,
    sent: Instant,
}

struct Open {
    requests: mpsc::Sender<ModelInferRequest>,
    answers: Streaming<ModelStreamInferResponse>,
}

/// A stream under load.
pub(crate) struct Stream {
    lane: Lane,
    open: Open,
    /// The sequences of this stream, and the newest step of each that was sent.
    steps: Vec<(usize, u64)>,
    next: usize,
    waiting: VecDeque<Step>,
    report: LaneReport,
}

impl Stream {
    /// Opens a stream and begins its sequences, each with a window.
    ///
    /// # Errors
    /// Where the server cannot be reached, or refuses to begin a sequence.
    pub(crate) async fn begin(lane: Lane) -> Result<Self, Fault> {
        let open = open(&lane).await?;
        let steps = (lane.number..lane.sequences).step_by(lane.lanes).map(|sequence| (sequence, 0)).collect();
        let mut stream =
            Self { lane, open, steps, next: 0, waiting: VecDeque::new(), report: LaneReport::default() };
        for _ in 0..stream.steps.len() {
            while stream.waiting.len() >= stream.lane.in_flight {
                stream.begun().await?;
            }
            stream.send_next(clock::now()).await;
        }
        while !stream.waiting.is_empty() {
            stream.begun().await?;
        }
        Ok(stream)
    }

    /// Which of the streams it is.
    pub(crate) fn number(&self) -> usize {
        self.lane.number
    }

    async fn begun(&mut self) -> Result<(), Fault> {
        let answer = self.open.answers.message().await;
        match self.answered(answer) {
            Ok((_, Ended::Answered { .. })) => Ok(()),
            Ok((step, Ended::Failed(failure))) if says_again(&failure.code) => {
                self.send_again(step).await;
                Ok(())
            }
            Ok((_, Ended::Failed(Failure { code, message }))) => {
                match Code::ALL.iter().find(|known| known.as_str() == code) {
                    Some(own) => Err(Fault::new(*own, format!("a sequence could not begin: {message}"))),
                    None => Err(failed(&format!("a sequence could not begin: {code} {message}"))),
                }
            }
            Err(status) => Err(failed(&format!("the stream ended: {}", status.message()))),
        }
    }

    /// Takes steps for as long as there are orders, and waits for the last answers.
    pub(crate) async fn run(mut self, orders: &Dispatcher, record: &Record) -> LaneReport {
        let mut is_over = false;
        while !is_over || !self.waiting.is_empty() {
            let has_room = self.waiting.len() < self.lane.in_flight;
            tokio::select! {
                biased;
                answer = self.open.answers.message(), if !self.waiting.is_empty() => match self.answered(answer) {
                    Ok((step, Ended::Failed(failure)))
                        if !self.lane.reconnect.is_zero() && says_again(&failure.code) =>
                    {
                        self.send_again(step).await;
                    }
                    Ok((step, ended)) => record.end(step.intended, step.sent, &ended),
                    Err(_) => if !self.come_back().await {
                        let lost = Ended::Failed(Failure::of_client("client-connection-lost"));
                        self.waiting.drain(..).for_each(|step| record.end(step.intended, step.sent, &lost));
                        return self.report;
                    },
                },
                order = orders.next(), if has_room && !is_over => match order {
                    Some(order) => self.send_next(order.intended).await,
                    None => is_over = true,
                },
            }
        }
        self.report
    }

    async fn send_next(&mut self, intended: Instant) {
        let (sequence, newest) = &mut self.steps[self.next];
        *newest += 1;
        let step = Step { sequence: *sequence, step: *newest, intended, sent: clock::now() };
        self.next = (self.next + 1) % self.steps.len();
        self.waiting.push_back(step);
        // Where the connection is lost, the answers say so, and the step is sent again.
        let _ = self.open.requests.send(self.message(step)).await;
    }

    /// Sends a step again that was refused for now. Its sequence waits for it: the others are many more than are under way.
    async fn send_again(&mut self, step: Step) {
        tokio::time::sleep(REFUSED_AFTER).await;
        self.report.sent_again += 1;
        self.waiting.push_back(step);
        let _ = self.open.requests.send(self.message(step)).await;
    }

    fn message(&self, step: Step) -> ModelInferRequest {
        let Lane { subject, prefix, .. } = &self.lane;
        // The first step brings a window, so that forecasts are the model's from then on.
        let (first, rows) = match step.step {
            1 => (0, subject.rows),
            later => (subject.rows as u64 + later - 2, 1),
        };
        let phase = step.sequence as f64 * 0.1;
        let values: Vec<f32> = (first..first + rows as u64).flat_map(|row| subject.row(phase, row)).collect();
        let mut request = grpc::request(subject, &values, rows);
        let mut say = |name: &str, choice| {
            request.parameters.insert(name.to_owned(), InferParameter { parameter_choice: Some(choice) });
        };
        say("sequence_id", ParameterChoice::StringParam(format!("{prefix}{}", step.sequence)));
        match step.step {
            // Without a number, so that a run begins anew whatever one before has left. Nothing follows before it is answered.
            1 => say("sequence_start", ParameterChoice::BoolParam(true)),
            later => {
                say("sequence_step", ParameterChoice::Int64Param(i64::try_from(later).unwrap_or(i64::MAX)));
            }
        }
        request
    }

    /// The step that an answer is of, and what became of it.
    fn answered(
        &mut self,
        answer: Result<Option<ModelStreamInferResponse>, Status>,
    ) -> Result<(Step, Ended), Status> {
        let answer = answer?.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
        let step = self.waiting.pop_front().ok_or_else(|| Status::internal("an answer to nothing"))?;
        let response = answer.infer_response.unwrap_or_default();
        let said =
            |name: &str| response.parameters.get(name).and_then(|value| value.parameter_choice.as_ref());
        if !answer.error_message.is_empty() {
            let code = match said("code") {
                Some(ParameterChoice::StringParam(code)) => code.clone(),
                _ => "grpc-error".to_owned(),
            };
            return Ok((step, Ended::Failed(Failure::new(code, answer.error_message))));
        }
        let number = match said("sequence_step") {
            Some(ParameterChoice::Int64Param(number)) => u64::try_from(*number).ok(),
            Some(ParameterChoice::Uint64Param(number)) => Some(*number),
            _ => None,
        };
        if number != Some(step.step) {
            return Ok((step, Ended::Failed(Failure::of_client("client-answer-of-another-step"))));
        }
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(step.sequence as u64);
        hasher.write_u64(step.step);
        response.raw_output_contents.iter().for_each(|bytes| hasher.write(bytes));
        self.report.digest = self.report.digest.wrapping_add(hasher.finish());
        Ok((step, Ended::Answered { predictions: 1, refused: Vec::new() }))
    }

    /// Opens the stream again and sends again what is not answered; false where there is no server for too long.
    async fn come_back(&mut self) -> bool {
        let until = clock::now() + self.lane.reconnect;
        while clock::now() < until {
            if let Ok(open) = open(&self.lane).await {
                self.open = open;
                self.report.sent_again += self.waiting.len() as u64;
                let mut all_sent = true;
                for step in self.waiting.clone() {
                    all_sent &= self.open.requests.send(self.message(step)).await.is_ok();
                }
                if all_sent {
                    return true;
                }
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
        false
    }
}

fn failed(message: &str) -> Fault {
    Fault::new(Code::Unreachable, message)
}

async fn open(lane: &Lane) -> Result<Open, Fault> {
    let mut client: Client = grpc::connect(&lane.authority).await?;
    let (requests, waiting) = mpsc::channel(lane.in_flight);
    let answers = client.model_stream_infer(ReceiverStream::new(waiting)).await;
    let answers = answers.map_err(|status| failed(&format!("no stream: {}", status.message())))?;
    Ok(Open { requests, answers: answers.into_inner() })
}
