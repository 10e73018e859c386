//! Steps of live sequences over streams (`ModelStreamInfer`), some of them under way at the same time.
//!
//! Each stream has sequences of its own and goes round them, so that the number of steps of each sequence depends on
//! nothing but the number of all. Values depend on the sequence and the step only. Two runs of as many steps must
//! therefore give the same answers to the bit, whatever happened to the server in between; the digest says whether they did.
//!
//! Where steps are sent again (`reconnect`), a sequence has one step under way and later ones wait for it, as those of a real
//! caller do: a step that overtook a refused one would leave a gap. Sequences that are answered are not held up by others.

use super::drive::{Dispatcher, Record};
use super::grpc::{self, Client};
use super::tally::{Ended, Failure, says_again};
use super::trace::StepEnd;
use super::work::Subject;
use crate::connection::Server;
use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::{InferParameter, ModelInferRequest, ModelStreamInferResponse};
use spinwell_runtime::clock;
use std::collections::{BTreeMap, VecDeque};
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
    pub(crate) server: Server,
    /// The model.
    pub(crate) subject: Subject,
    /// The number of this stream.
    pub(crate) number: usize,
    /// The number of streams.
    pub(crate) lanes: usize,
    /// Sequences of all streams.
    pub(crate) sequences: usize,
    /// Steps under way at most, those that wait for others of their sequence among them.
    pub(crate) in_flight: usize,
    /// What the ids of this run's sequences begin with.
    pub(crate) prefix: String,
    /// For how long a lost connection is tried again; then steps that are refused for now are sent again as well.
    pub(crate) reconnect: Duration,
}

/// What is left of a stream's run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LaneReport {
    /// A number that depends on all answers and not on their order.
    pub(crate) digest: u64,
    /// Steps that were sent again, after a connection was lost or a refusal that said so.
    pub(crate) sent_again: u64,
    /// The same by the refusal's code.
    pub(crate) after: BTreeMap<String, u64>,
}

impl LaneReport {
    /// Adds what another stream did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.digest = self.digest.wrapping_add(other.digest);
        other.after.iter().for_each(|(code, count)| self.again(code, *count));
    }

    fn again(&mut self, code: &str, count: u64) {
        self.sent_again += count;
        *self.after.entry(code.to_owned()).or_default() += count;
    }
}

/// A sequence of a stream.
#[derive(Debug, Default)]
struct Sequence {
    number: usize,
    /// The newest step that was sent.
    newest: u64,
    /// Whether that one is not answered yet.
    is_busy: bool,
    /// When the steps were due that wait for it.
    held: VecDeque<Instant>,
}

/// A step that is under way.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The place of its sequence in the stream.
    place: usize,
    sequence: usize,
    step: u64,
    intended: Instant,
    sent: Instant,
}

impl Step {
    fn end(&self) -> StepEnd {
        StepEnd { sequence: self.sequence as u64, step: self.step, answer: None, expected: None }
    }
}

struct Open {
    requests: mpsc::Sender<ModelInferRequest>,
    answers: Streaming<ModelStreamInferResponse>,
}

/// A stream under load.
pub(crate) struct Stream {
    lane: Lane,
    open: Open,
    sequences: Vec<Sequence>,
    next: usize,
    /// Sent and not answered, in that order: so they are answered.
    waiting: VecDeque<Step>,
    /// Refused for now, with the moment from which they may be sent again.
    refused: VecDeque<(Instant, Step)>,
    /// Steps of all sequences that wait for others.
    held: usize,
    report: LaneReport,
}

impl Stream {
    /// Opens a stream and begins its sequences, each with a window.
    ///
    /// # Errors
    /// Where the server cannot be reached, or refuses to begin a sequence.
    pub(crate) async fn begin(lane: Lane) -> Result<Self, Fault> {
        let open = open(&lane).await?;
        let numbers = (lane.number..lane.sequences).step_by(lane.lanes);
        let sequences = numbers.map(|number| Sequence { number, ..Sequence::default() }).collect();
        let (waiting, refused) = (VecDeque::new(), VecDeque::new());
        let report = LaneReport::default();
        let mut stream = Self { lane, open, sequences, next: 0, waiting, refused, held: 0, report };
        for place in 0..stream.sequences.len() {
            while stream.waiting.len() >= stream.lane.in_flight {
                stream.begun().await?;
            }
            stream.send(place, clock::now()).await;
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
            Ok((step, Ended::Answered { .. }, _)) => {
                self.sequences[step.place].is_busy = false;
                Ok(())
            }
            Ok((step, Ended::Failed(failure), _)) if says_again(&failure.code) => {
                tokio::time::sleep(REFUSED_AFTER).await;
                self.report.again(&failure.code, 1);
                self.post(step).await;
                Ok(())
            }
            Ok((_, Ended::Failed(Failure { code, message }), _)) => {
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
        while !is_over || self.under_way() > 0 {
            let has_room = self.under_way() < self.lane.in_flight;
            let again = self.refused.front().map(|(from, _)| tokio::time::Instant::from_std(*from));
            tokio::select! {
                biased;
                answer = self.open.answers.message(), if !self.waiting.is_empty() => match self.answered(answer) {
                    Ok((step, Ended::Failed(failure), _)) if self.sends_again() && says_again(&failure.code) => {
                        self.report.again(&failure.code, 1);
                        self.refused.push_back((clock::now() + REFUSED_AFTER, step));
                    }
                    Ok((step, ended, end)) => {
                        record.end_step(step.intended, step.sent, &ended, end);
                        self.go_on(step.place).await;
                    }
                    Err(_) => if !self.come_back().await {
                        self.give_up(record);
                        return self.report;
                    },
                },
                () = until(again), if again.is_some() => if let Some((_, step)) = self.refused.pop_front() {
                    self.post(step).await;
                },
                order = orders.next(), if has_room && !is_over => match order {
                    Some(order) => self.take(order.intended).await,
                    None => is_over = true,
                },
            }
        }
        self.report
    }

    fn sends_again(&self) -> bool {
        !self.lane.reconnect.is_zero()
    }

    fn under_way(&self) -> usize {
        self.waiting.len() + self.refused.len() + self.held
    }

    /// A step of the sequence whose turn it is has become due.
    async fn take(&mut self, intended: Instant) {
        let place = self.next;
        self.next = (place + 1) % self.sequences.len();
        if self.sends_again() && self.sequences[place].is_busy {
            self.sequences[place].held.push_back(intended);
            self.held += 1;
        } else {
            self.send(place, intended).await;
        }
    }

    /// Sends the step that waited for one that has ended.
    async fn go_on(&mut self, place: usize) {
        self.sequences[place].is_busy = false;
        if let Some(intended) = self.sequences[place].held.pop_front() {
            self.held -= 1;
            self.send(place, intended).await;
        }
    }

    async fn send(&mut self, place: usize, intended: Instant) {
        let sequence = &mut self.sequences[place];
        sequence.newest += 1;
        sequence.is_busy = true;
        let (number, step) = (sequence.number, sequence.newest);
        self.post(Step { place, sequence: number, step, intended, sent: clock::now() }).await;
    }

    async fn post(&mut self, step: Step) {
        self.waiting.push_back(step);
        // Where the connection is lost, the answers say so, and the step is sent again.
        let _ = self.open.requests.send(self.message(step)).await;
    }

    /// There is no server any more: what is under way has failed.
    fn give_up(&mut self, record: &Record) {
        let lost = Ended::Failed(Failure::of_client("client-connection-lost"));
        let refused = self.refused.drain(..).map(|(_, step)| step);
        for step in self.waiting.drain(..).chain(refused) {
            record.end_step(step.intended, step.sent, &lost, step.end());
        }
        for sequence in &mut self.sequences {
            for (number, intended) in (sequence.newest + 1..).zip(sequence.held.drain(..)) {
                let end =
                    StepEnd { sequence: sequence.number as u64, step: number, answer: None, expected: None };
                record.end_step(intended, intended, &lost, end);
            }
        }
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
    ) -> Result<(Step, Ended, StepEnd), Status> {
        let answer = answer?.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
        let step = self.waiting.pop_front().ok_or_else(|| Status::internal("an answer to nothing"))?;
        let response = answer.infer_response.unwrap_or_default();
        let said =
            |name: &str| response.parameters.get(name).and_then(|value| value.parameter_choice.as_ref());
        let number = |name: &str| match said(name) {
            Some(ParameterChoice::Int64Param(number)) => u64::try_from(*number).ok(),
            Some(ParameterChoice::Uint64Param(number)) => Some(*number),
            _ => None,
        };
        let end = step.end();
        if !answer.error_message.is_empty() {
            let code = match said("code") {
                Some(ParameterChoice::StringParam(code)) => code.clone(),
                _ => "grpc-error".to_owned(),
            };
            let end = StepEnd { expected: number("expected_step"), ..end };
            return Ok((step, Ended::Failed(Failure::new(code, answer.error_message)), end));
        }
        if number("sequence_step") != Some(step.step) {
            let another = Ended::Failed(Failure::of_client("client-answer-of-another-step"));
            return Ok((step, another, end));
        }
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(step.sequence as u64);
        hasher.write_u64(step.step);
        response.raw_output_contents.iter().for_each(|bytes| hasher.write(bytes));
        let answer = hasher.finish();
        self.report.digest = self.report.digest.wrapping_add(answer);
        let ended = Ended::Answered { predictions: 1, refused: Vec::new() };
        Ok((step, ended, StepEnd { answer: Some(answer), ..end }))
    }

    /// Opens the stream again and sends again what is not answered; false where there is no server for too long.
    async fn come_back(&mut self) -> bool {
        let until = clock::now() + self.lane.reconnect;
        while clock::now() < until {
            if let Ok(open) = open(&self.lane).await {
                self.open = open;
                self.report.again("client-connection-lost", self.waiting.len() as u64);
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

async fn until(moment: Option<tokio::time::Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

fn failed(message: &str) -> Fault {
    Fault::new(Code::Unreachable, message)
}

async fn open(lane: &Lane) -> Result<Open, Fault> {
    let mut client: Client = grpc::connect(&lane.server).await?;
    let (requests, waiting) = mpsc::channel(lane.in_flight);
    let answers = client.model_stream_infer(ReceiverStream::new(waiting)).await;
    let answers = answers.map_err(|status| failed(&format!("no stream: {}", status.message())))?;
    Ok(Open { requests, answers: answers.into_inner() })
}
