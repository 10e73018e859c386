//! The node as gateways reach it over a network.
//!
//! A connection is an [exchange](spinwell_protocol::node_service) of messages. One task has all of it: it hands requests over in
//! the order in which they come, so that steps of a sequence take their turns in that order, and sends what is ready. A request
//! whose gateway has given up, or is gone, leaves the node's queue. When the node stops, the exchange ends with the last answer.

use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use spinwell_core::{Code, Fault, Millis, NodeId};
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::node_service_server::{NodeService, NodeServiceServer};
use spinwell_protocol::node_service::wire::{FromNode, Greeting, ToNode, to_node};
use spinwell_protocol::node_service::{
    Answer, Describer, MESSAGE_BYTES_MAX, Request, encode_answer, encode_beat, request_of,
};
use spinwell_protocol::{Catalogue, NodeLink};
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Phase};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

/// Messages that may wait to be written.
const UNWRITTEN_MAX: usize = 256;
/// Requests that one gateway may have under way. The queue refuses long before, but for steps that wait for their turns.
const UNDER_WAY_MAX: usize = 65_536;
/// Versions of models described on one connection. A gateway connects anew where a node has had so many.
const DESCRIBED_MAX: usize = 16_384;
/// How long a gateway may take no answers before it is given up.
const UNTAKEN: Duration = Duration::from_secs(10);

/// What a node tells gateways about itself.
#[derive(Clone)]
pub struct Exchange {
    /// The node itself.
    pub link: Arc<dyn NodeLink>,
    /// Its name.
    pub id: NodeId,
    /// Whether it should be sent requests.
    pub health: Health,
    /// How often it says that it is alive.
    pub beat: Millis,
}

impl Exchange {
    /// The service.
    #[must_use]
    pub fn service(self) -> NodeServiceServer<impl NodeService> {
        NodeServiceServer::new(Service(self)).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Answers what comes in, until it ends, nobody takes the answers, or the node stops and all is answered.
    pub async fn run<S>(self, requests: S, answers: Sender<Result<FromNode, Status>>)
    where
        S: Stream<Item = Result<ToNode, Status>> + Unpin,
    {
        let connection = Connection {
            node: self,
            described: Describer::default(),
            told: None,
            handles: HashMap::new(),
            answers,
        };
        connection.run(requests).await;
    }
}

struct Service(Exchange);

#[tonic::async_trait]
impl NodeService for Service {
    type ExchangeStream = ReceiverStream<Result<FromNode, Status>>;

    async fn exchange(
        &self,
        request: tonic::Request<Streaming<ToNode>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (sender, receiver) = mpsc::channel(UNWRITTEN_MAX);
        tokio::spawn(self.0.clone().run(request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// The gateway is gone.
struct Gone;

type Answering = Abortable<Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>>;

struct Connection {
    node: Exchange,
    described: Describer,
    /// The catalogue that the gateway knows.
    told: Option<Arc<Catalogue>>,
    /// Of the requests that are under way.
    handles: HashMap<u64, AbortHandle>,
    answers: Sender<Result<FromNode, Status>>,
}

impl Connection {
    async fn run<S>(mut self, mut requests: S)
    where
        S: Stream<Item = Result<ToNode, Status>> + Unpin,
    {
        if self.greet().await.is_err() {
            return;
        }
        let mut under_way = FuturesUnordered::new();
        let mut beats = interval(self.node.beat.into());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = self.node.health.phase();
        // Whether all was answered at each of the newest beats: what is on its way when the node stops is refused, not cut off.
        let mut is_quiet = Quiet::default();
        loop {
            let next = tokio::select! {
                message = requests.next() => match message {
                    Some(Ok(ToNode { message: Some(message) })) => {
                        under_way.extend(self.begin(message));
                        Ok(())
                    }
                    Some(Ok(ToNode { message: None })) => Ok(()),
                    Some(Err(_)) | None => Err(Gone),
                },
                Some((number, answer)) = under_way.next() => self.end(number, answer).await,
                _ = beats.tick() => {
                    is_quiet.push(phase == Phase::Stopping && self.handles.is_empty());
                    self.beat().await
                }
                Some(later) = { let health = self.node.health.clone(); async move { health.after(Some(phase)).await } } => {
                    phase = later;
                    self.beat().await
                }
            };
            if next.is_err() || is_quiet.is_over() || self.described.len() > DESCRIBED_MAX {
                return;
            }
        }
    }

    async fn send(&self, message: Message) -> Result<(), Gone> {
        let sent = self.answers.send(Ok(FromNode { message: Some(message) }));
        timeout(UNTAKEN, sent).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    async fn greet(&mut self) -> Result<(), Gone> {
        let (node, version) = (self.node.id.to_string(), env!("CARGO_PKG_VERSION").to_owned());
        self.send(Message::Greeting(Greeting { node, version })).await?;
        self.beat().await
    }

    /// Says what is served, where that has changed, and that the node is alive.
    async fn beat(&mut self) -> Result<(), Gone> {
        self.tell_catalogue().await?;
        let is_leaving = self.node.health.phase() != Phase::Ready;
        self.send(Message::Beat(encode_beat(self.node.link.load(), is_leaving))).await
    }

    async fn tell_catalogue(&mut self) -> Result<(), Gone> {
        let catalogue = self.node.link.models();
        if self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &catalogue)) {
            return Ok(());
        }
        for message in self.described.catalogue(&catalogue) {
            self.send(message).await?;
        }
        self.told = Some(catalogue);
        Ok(())
    }

    /// Hands a request over.
    fn begin(&mut self, message: to_node::Message) -> Option<impl Future<Output = (u64, Ended)> + use<>> {
        if let to_node::Message::Cancel(number) = message {
            self.handles.remove(&number).inspect(AbortHandle::abort);
            return None;
        }
        let (number, request) = request_of(message, &self.described, clock::now())?;
        let answer: Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>> = match request {
            Err(fault) => Box::pin(async { Err(fault) }),
            Ok(_) if self.node.health.phase() == Phase::Stopping => Box::pin(async { Err(stopping()) }),
            Ok(_) if self.handles.len() >= UNDER_WAY_MAX => Box::pin(async { Err(too_many()) }),
            Ok(request) => self.hand_over(request),
        };
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(number, handle);
        let answering: Answering = Abortable::new(answer, registration);
        Some(async move { (number, answering.await) })
    }

    fn hand_over(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>> {
        let link = &self.node.link;
        match request {
            Request::Infer(request) => {
                let answer = link.infer(request);
                Box::pin(async move { answer.await.map(Answer::Predicted) })
            }
            Request::State(key, request) => {
                let answer = link.sequence_state(key, request);
                Box::pin(async move { answer.await.map(Answer::State) })
            }
            Request::Index => {
                let answer = link.index();
                Box::pin(async move { answer.await.map(Answer::Index) })
            }
            Request::Load(name) => {
                let answer = link.load_model(name);
                Box::pin(async move { answer.await.map(Answer::Loaded) })
            }
            Request::Unload(name) => {
                let answer = link.unload_model(name);
                Box::pin(async move { answer.await.map(|()| Answer::Done) })
            }
        }
    }

    /// Sends an answer, where somebody waits for it.
    async fn end(&mut self, number: u64, answer: Ended) -> Result<(), Gone> {
        let Ok(answer) = answer else { return Ok(()) };
        self.handles.remove(&number);
        let mut model = 0;
        match &answer {
            Ok(Answer::Predicted(reply)) => {
                let (number, description) = self.described.number(&reply.model);
                model = number;
                if let Some(description) = description {
                    self.send(description).await?;
                }
            }
            // Whoever loads a model asks for it next.
            Ok(Answer::Loaded(_) | Answer::Done) => self.tell_catalogue().await?,
            _ => {}
        }
        self.send(encode_answer(number, answer, model)).await
    }
}

/// Whether nothing was under way at two beats in a row.
#[derive(Default)]
struct Quiet(u8);

impl Quiet {
    fn push(&mut self, is_quiet: bool) {
        self.0 = if is_quiet { self.0.saturating_add(1) } else { 0 };
    }

    fn is_over(&self) -> bool {
        self.0 >= 2
    }
}

type Ended = Result<Result<Answer, Fault>, Aborted>;

fn stopping() -> Fault {
    let message = "the node is stopping and takes no new requests; try again";
    Fault::new(Code::Stopping, message).retry_after(Millis(1000))
}

fn too_many() -> Fault {
    let message = format!("{UNDER_WAY_MAX} requests of this gateway are under way on the node; try again");
    Fault::new(Code::QueueFull, message).retry_after(Millis(100))
}
