//! The node as gateways reach it over a network.
//!
//! A connection is an [exchange](spinwell_protocol::node_service) of messages. One place has all of it: it hands requests over in
//! the order in which they come, so that steps of a sequence take their turns in that order, and sends what is ready. A request
//! whose gateway has given up, or is gone, leaves the node's queue. When the node stops, the exchange ends with the last answer.

use crate::{Callers, Fence};
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::{self, FuturesUnordered};
use futures::{Stream, StreamExt};
use spinwell_core::{Code, Fault, Millis, NodeId};
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::node_service_server::{NodeService, NodeServiceServer};
use spinwell_protocol::node_service::wire::{FromNode, Greeting, Hello, ToNode, to_node};
use spinwell_protocol::node_service::{
    Answer, Describer, MESSAGE_BYTES_MAX, Request, encode_answer, encode_beat, request_of,
};
use spinwell_protocol::{Caller, Catalogue, NodeLink};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::is_id;
use spinwell_runtime::tls::{Peer, Role};
use spinwell_runtime::{clock, entropy};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Response, Status, Streaming};

/// Requests that one gateway may have under way. The queue refuses long before, but for steps that wait for their turns.
const UNDER_WAY_MAX: usize = 65_536;
/// What a connection waits for.
const SOURCES: usize = 4;
/// Versions of models described on one connection. A gateway connects anew where a node has had so many.
const DESCRIBED_MAX: usize = 16_384;

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
    /// What is done where a gateway asks the node to stop in good order.
    pub drain: Arc<dyn Fn() + Send + Sync>,
    /// A number of this process's life.
    pub life: u64,
    /// The gateways that are connected.
    pub callers: Arc<Callers>,
    /// What keeps orders out that come too late.
    pub fence: Arc<Fence>,
    /// The processing cluster that it is part of.
    pub processing_cluster: String,
    /// Predictions a second that it can carry, where it says so.
    pub capacity_per_second: Option<f64>,
}

impl Exchange {
    /// The service.
    #[must_use]
    pub fn service(self) -> NodeServiceServer<impl NodeService> {
        NodeServiceServer::new(Service(self)).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Answers what comes in, until it ends, or the node stops and all is answered. Works only while it is asked for the next
    /// message: without a task of its own, an answer wakes the one that writes it. `peer` is who is at the other end by its
    /// certificate, where it has shown one.
    pub fn answers<S>(
        self,
        peer: Option<Peer>,
        requests: S,
    ) -> impl Stream<Item = Result<FromNode, Status>> + Send + 'static
    where
        S: Stream<Item = Result<ToNode, Status>> + Unpin + Send + 'static,
    {
        stream::unfold(Connection::new(self, peer, requests), |mut connection| async move {
            let message = connection.next().await?;
            Some((message.map(|message| FromNode { message: Some(message) }), connection))
        })
    }
}

struct Service(Exchange);

/// Who is at the other end of a connection, by its certificate, where it has shown one.
#[derive(Clone)]
pub(crate) struct Shown(pub(crate) Option<Peer>);

#[tonic::async_trait]
impl NodeService for Service {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>;

    async fn exchange(
        &self,
        request: tonic::Request<Streaming<ToNode>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let peer = request.extensions().get::<Shown>().and_then(|Shown(peer)| peer.clone());
        Ok(Response::new(Box::pin(self.0.clone().answers(peer, request.into_inner()))))
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Connection<S> {
    node: Exchange,
    /// Who is at the other end, by its certificate.
    peer: Option<Peer>,
    requests: S,
    described: Describer,
    /// The catalogue that the gateway knows.
    told: Option<Arc<Catalogue>>,
    under_way: FuturesUnordered<BoxFuture<(u64, Ended)>>,
    /// Of the requests that are under way.
    handles: HashMap<u64, AbortHandle>,
    beats: Interval,
    /// The node's phase, as the gateway knows it.
    phase: Phase,
    is_quiet: Quiet,
    /// Messages that are to be written, in order.
    unwritten: VecDeque<Message>,
    is_over: bool,
    /// Which of the things that it waits for it looks at first.
    first: usize,
    /// What the other end calls itself, once it has said so.
    name: String,
    /// The gateway at the other end, if it is one; when the connection goes, it has gone.
    gateway: Option<Gateway>,
}

/// The gateway at the other end.
struct Gateway {
    /// What it calls itself, and its life.
    caller: Caller,
    /// Its name with a number: a gateway that connects anew has not gone when the connection before ends.
    connection: String,
    link: Arc<dyn NodeLink>,
    callers: Arc<Callers>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.link.seen(&self.connection, None);
        self.callers.gone(&self.caller);
    }
}

/// Something that a connection waits for.
enum Event {
    Asked(Option<Result<ToNode, Status>>),
    Answered(u64, Ended),
    Beat,
    Phase(Phase),
}

impl<S> Connection<S>
where
    S: Stream<Item = Result<ToNode, Status>> + Unpin,
{
    fn new(node: Exchange, peer: Option<Peer>, requests: S) -> Self {
        let mut beats = interval(node.beat.into());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let greeting = Greeting {
            node: node.id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shares_sequences: node.link.shares_sequences(),
            life: node.life,
            processing_cluster: node.processing_cluster.clone(),
            capacity_per_second: node.capacity_per_second,
            exchanges_files: node.link.exchanges_files(),
        };
        Self {
            phase: node.health.phase(),
            node,
            peer,
            requests,
            described: Describer::default(),
            told: None,
            under_way: FuturesUnordered::new(),
            handles: HashMap::new(),
            // The first one at once.
            beats,
            is_quiet: Quiet::default(),
            unwritten: VecDeque::from([Message::Greeting(greeting)]),
            is_over: false,
            first: 0,
            name: String::new(),
            gateway: None,
        }
    }

    /// The next message, when there is one; nothing where the exchange is over.
    async fn next(&mut self) -> Option<Result<Message, Status>> {
        loop {
            if let Some(message) = self.unwritten.pop_front() {
                return Some(Ok(message));
            }
            if self.is_over {
                return None;
            }
            match self.event().await {
                Event::Asked(Some(Ok(ToNode { message: Some(to_node::Message::Hello(hello)) }))) => {
                    if let Err(refusal) = self.greet(hello) {
                        self.is_over = true;
                        return Some(Err(refusal));
                    }
                }
                Event::Asked(Some(Ok(ToNode { message }))) => {
                    let begun = message.and_then(|message| self.begin(message));
                    self.under_way.extend(begun);
                }
                Event::Asked(Some(Err(_)) | None) => self.is_over = true,
                Event::Answered(number, answer) => self.end(number, answer),
                Event::Beat => {
                    // What is on its way when the node stops is refused, not cut off.
                    self.is_quiet.push(self.phase == Phase::Stopping && self.handles.is_empty());
                    self.beat();
                }
                Event::Phase(phase) => {
                    self.phase = phase;
                    self.beat();
                }
            }
            self.is_over |= self.is_quiet.is_over() || self.described.len() > DESCRIBED_MAX;
        }
    }

    /// The next thing that happens. They take turns in being looked at first, where `tokio::select!` would draw lots: that is as
    /// fair, and in a simulation the same seed gives the same run.
    async fn event(&mut self) -> Event {
        self.first = (self.first + 1) % SOURCES;
        let Self { requests, under_way, beats, node, phase, first, .. } = self;
        let mut later = pin!(node.health.after(Some(*phase)));
        poll_fn(|context| {
            for source in *first..*first + SOURCES {
                let event = match source % SOURCES {
                    0 => requests.poll_next_unpin(context).map(|message| Some(Event::Asked(message))),
                    1 => under_way
                        .poll_next_unpin(context)
                        .map(|ended| ended.map(|(number, answer)| Event::Answered(number, answer))),
                    2 => beats.poll_tick(context).map(|_| Some(Event::Beat)),
                    _ => later.as_mut().poll(context).map(|phase| Some(Event::Phase(phase))),
                };
                // Of one that has ended nothing more comes.
                if let Poll::Ready(Some(event)) = event {
                    return Poll::Ready(event);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Says what is served, where that has changed, and that the node is alive.
    fn beat(&mut self) {
        self.tell_catalogue();
        let is_leaving = self.node.health.phase() != Phase::Ready;
        let beat = encode_beat(self.node.link.load(), is_leaving, self.node.callers.all());
        self.unwritten.push_back(Message::Beat(beat));
    }

    fn tell_catalogue(&mut self) {
        let catalogue = self.node.link.models();
        if !self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &catalogue)) {
            self.unwritten.extend(self.described.catalogue(&catalogue));
            self.told = Some(catalogue);
        }
    }

    /// Hands a request over.
    fn begin(&mut self, message: to_node::Message) -> Option<BoxFuture<(u64, Ended)>> {
        let message = match message {
            to_node::Message::Cancel(number) => {
                self.handles.remove(&number).inspect(AbortHandle::abort);
                return None;
            }
            to_node::Message::View(view) => {
                let gateway = self.gateway.as_ref()?;
                let nodes = view.nodes.into_iter().map(|seen| (NodeId(seen.node.into()), seen.weight));
                self.node.link.seen(&gateway.connection, Some(nodes.collect()));
                return None;
            }
            message => message,
        };
        let (number, request) = request_of(message, &self.described, clock::now())?;
        let answer: BoxFuture<Result<Answer, Fault>> = match request {
            Err(fault) => Box::pin(async { Err(fault) }),
            Ok(_) if self.node.health.phase() == Phase::Stopping => Box::pin(async { Err(stopping()) }),
            Ok(_) if self.handles.len() >= UNDER_WAY_MAX => Box::pin(async { Err(too_many()) }),
            Ok(request) => self.hand_over(request),
        };
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(number, handle);
        let answering = Abortable::new(answer, registration);
        Some(Box::pin(async move { (number, answering.await) }))
    }

    /// Takes note of who is at the other end. Who only watches is no gateway.
    ///
    /// # Errors
    /// Where that is no name, or its certificate is of somebody else.
    fn greet(&mut self, hello: Hello) -> Result<(), Status> {
        let Hello { gateway: name, watches, life } = hello;
        known_as(&name, if watches { Role::Control } else { Role::Gateway }, self.peer.as_ref())?;
        self.name.clone_from(&name);
        if watches {
            return Ok(());
        }
        let (link, callers) = (self.node.link.clone(), self.node.callers.clone());
        let connection = format!("{name} {}", entropy::seed());
        let caller = Caller { name, life: Some(life) };
        callers.came(caller.clone());
        self.gateway = Some(Gateway { caller, connection, link, callers });
        Ok(())
    }

    fn hand_over(&self, request: Request) -> BoxFuture<Result<Answer, Fault>> {
        let link = &self.node.link;
        match request {
            Request::Infer(request) => {
                let answer = link.infer(request);
                Box::pin(async move { answer.await.map(Answer::Predicted) })
            }
            Request::State(key, call) => {
                let answer = link.sequence_state(key, call);
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
            Request::Files(request) => {
                let answer = link.files(request);
                Box::pin(async move { answer.await.map(Answer::Files) })
            }
            Request::Drain(order) => {
                let admitted = order.map_or(Ok(()), |order| self.node.fence.admit(order, self.node.life));
                if admitted.is_ok() {
                    tracing::info!(by = self.name, "this node was asked to stop in good order");
                    (self.node.drain)();
                }
                Box::pin(async { admitted.map(|()| Answer::Done) })
            }
            Request::Unload(name) => {
                let answer = link.unload_model(name);
                Box::pin(async move { answer.await.map(|()| Answer::Done) })
            }
        }
    }

    /// Sends an answer, where somebody waits for it.
    fn end(&mut self, number: u64, answer: Ended) {
        let Ok(answer) = answer else { return };
        self.handles.remove(&number);
        let mut model = 0;
        match &answer {
            Ok(Answer::Predicted(reply)) => {
                let (number, description) = self.described.number(&reply.model);
                model = number;
                self.unwritten.extend(description);
            }
            // Whoever changes what is served asks for it next.
            Ok(Answer::Loaded(_) | Answer::Done) => self.tell_catalogue(),
            _ => {}
        }
        self.unwritten.push_back(encode_answer(number, answer, model));
    }
}

/// Whether somebody may call itself so. Its name goes into beats, logs and the view of the region; by which it is certified, control
/// tells who has found a node.
fn known_as(name: &str, role: Role, peer: Option<&Peer>) -> Result<(), Status> {
    if !is_id(name) {
        return Err(Status::invalid_argument(
            "who calls a node has a name of 1 to 128 letters, digits, '.', '_' or '-'",
        ));
    }
    let other = peer.filter(|peer| peer.role != role || peer.id.as_str() != name);
    other.map_or(Ok(()), |peer| {
        let message = format!("it calls itself {role} {name}, and its certificate is of {peer}");
        Err(Status::permission_denied(message))
    })
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
