//! A node, as this gateway reaches it.
//!
//! A peer holds one connection and makes another when it breaks. While it is there the node says at short intervals that it is
//! alive and how busy it is; a node that is silent for longer than it may be is given up with all that was asked of it, since a
//! machine that stands still closes no connection. Everything that waits for an answer learns whether the node answered or was
//! lost: only then may it be asked of another.

use super::absence::{Absence, Remark};
use super::dial::{Connector, broken, unanswered, words};
use super::keepers::StoreAt;
use super::router::Router;
use super::{Member, Purpose, RETRY_AFTER};
use prost::Message as _;
use spinwell_core::{Code, Fault, Millis, NodeId};
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::node_service_client::NodeServiceClient;
use spinwell_protocol::node_service::wire::{self, FromNode, Hello, Seen, ToNode, to_node};
use spinwell_protocol::node_service::{
    Answer, Described, MESSAGE_BYTES_MAX, Request, answer_of, beat_of, callers_of, encode_request,
};
use spinwell_protocol::{Caller, Catalogue, NodeLoad};
use spinwell_registry::ClusterName;
use spinwell_runtime::clock;
use spinwell_runtime::transport::Dial;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// Requests that may wait to be written to one node. More wait only where the network takes nothing.
const UNWRITTEN_MAX: usize = 4096;
/// The first pause before another attempt to connect, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(1);
/// What may be under way of one stream, and of all, before the other side has read it.
const WINDOWS: (u32, u32) = (4 * 1024 * 1024, 16 * 1024 * 1024);

/// How a peer is reached and when it is given up.
#[derive(Clone)]
pub(crate) struct Terms {
    /// The name that this gateway gives itself.
    pub(crate) gateway: String,
    /// A number of this process's life.
    pub(crate) life: u64,
    /// What connections are for.
    pub(crate) purpose: Purpose,
    /// How connections come about.
    pub(crate) dial: Dial,
    /// How long a node may be silent.
    pub(crate) silence: Duration,
    /// Learns of every sign of life.
    pub(crate) router: Arc<Router>,
    /// Told of everything that others should look at: that a node comes or goes, or serves something else.
    pub(crate) changed: Arc<Notify>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The node said so.
    Refused(Fault),
    /// The request never reached the node.
    NotSent(Fault),
    /// The node was lost before it had answered: the request may have been carried out.
    Lost,
    /// The node did not answer in the time that it was given, and was told to leave it.
    Silent(Duration),
}

/// What is known of a node just now.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// What it serves.
    pub(crate) catalogue: Arc<Catalogue>,
    /// How busy it is.
    pub(crate) load: NodeLoad,
    /// How the store is to it.
    pub(crate) store: StoreAt,
    /// Since when it answers again, where it was silent before.
    pub(crate) store_back: Option<Instant>,
    /// Whether it is about to stop and wants no new requests.
    pub(crate) is_leaving: bool,
    /// Whether another node can go on with its sequences.
    pub(crate) shares_sequences: bool,
    /// Whether it can be asked for files of models, and be brought some.
    pub(crate) exchanges_files: bool,
    /// A number of its process's life.
    pub(crate) life: u64,
    /// The gateways that are connected to it, where it tells.
    pub(crate) gateways: Option<Vec<Caller>>,
}

/// What a node says of its place in the region. It stays known while the node is away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// The processing cluster that it is part of.
    pub(crate) cluster: Option<ClusterName>,
    /// Predictions a second that it can carry.
    pub(crate) capacity_per_second: Option<f64>,
    /// Whether others can go on with its sequences; nothing before it has said so.
    pub(crate) shares_sequences: Option<bool>,
}

/// Nodes that can keep sequences, with their weights.
pub(crate) type View = Vec<(NodeId, f64)>;

/// A node and the connection to it. It is given up when the last handle on it goes.
pub(crate) struct Peer {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    member: Member,
    terms: Terms,
    live: Mutex<Option<Live>>,
    /// What it said last of what it serves.
    last: Mutex<Option<Arc<Catalogue>>>,
    /// What it said last of its place in the region.
    said: Mutex<Said>,
    /// Why it cannot be reached, while that is so.
    why: Mutex<Option<String>>,
    next: AtomicU64,
}

/// A connection that is there.
struct Live {
    described: Described,
    state: State,
    /// Whether the node has said what it serves.
    is_known: bool,
    messages: Sender<ToNode>,
    /// The nodes that it was told of.
    told: Option<View>,
    waiting: HashMap<u64, oneshot::Sender<Result<Answer, Failure>>>,
}

impl Peer {
    /// Connects to a node, and goes on trying. `before` is what was known of what it serves.
    pub(crate) fn start(member: Member, terms: Terms, before: Option<Arc<Catalogue>>) -> Self {
        let shared = Arc::new(Shared {
            member,
            terms,
            live: Mutex::default(),
            last: Mutex::new(before),
            said: Mutex::default(),
            why: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let task = tokio::spawn(shared.clone().run()).abort_handle();
        Self { shared, task }
    }

    /// What is known of it; nothing where it is not connected.
    pub(crate) fn state(&self) -> Option<State> {
        let live = self.shared.live();
        live.as_ref().filter(|live| live.is_known).map(|live| live.state.clone())
    }

    /// What it serves, or did when it was lost; nothing where it was never there.
    pub(crate) fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it says, or said when it was there, of its place in the region.
    pub(crate) fn said(&self) -> Said {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why it cannot be reached, while that is so and known.
    pub(crate) fn why_not(&self) -> Option<String> {
        self.shared.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells a node that shares its sequences which nodes there are, unless it knows.
    pub(crate) fn tell(&self, view: &View) {
        // By it nodes know where steps come from; no step comes from who only watches.
        if self.shared.terms.purpose == Purpose::Orders {
            return;
        }
        let mut live = self.shared.live();
        let Some(live) = live.as_mut().filter(|live| live.is_known && live.state.shares_sequences) else {
            return;
        };
        if live.told.as_ref() == Some(view) {
            return;
        }
        let nodes = view.iter().map(|(id, weight)| Seen { node: id.to_string(), weight: *weight }).collect();
        let message = ToNode { message: Some(to_node::Message::View(wire::View { nodes })) };
        // Where there is no room for it now, there is with the next change.
        if live.messages.try_send(message).is_ok() {
            live.told = Some(view.clone());
        }
    }

    /// Sends a request, before this returns, so that requests arrive in the order of these calls.
    pub(crate) fn ask(&self, request: &Request) -> Asked {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let sent = self.shared.send(number, request, sender);
        if let Err(fault) = sent {
            let (sender, receiver) = oneshot::channel();
            let _ = sender.send(Err(Failure::NotSent(fault)));
            return Asked { shared: self.shared.clone(), number: None, receiver };
        }
        Asked { shared: self.shared.clone(), number: Some(number), receiver }
    }
}

impl Peer {
    /// Gives the node up, also where somebody still holds this.
    pub(crate) fn end(&self) {
        self.task.abort();
        self.shared.lose();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A request that was sent to a node. Dropping it tells the node that nobody waits any more.
pub(crate) struct Asked {
    shared: Arc<Shared>,
    number: Option<u64>,
    receiver: oneshot::Receiver<Result<Answer, Failure>>,
}

impl Asked {
    /// The answer, when it comes. It comes once; until then this may be dropped and called again.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        let answer = (&mut self.receiver).await.unwrap_or(Err(Failure::Lost));
        self.number = None;
        answer
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut live = self.shared.live();
        let Some(live) = live.as_mut() else { return };
        if live.waiting.remove(&number).is_some() {
            let cancel = ToNode { message: Some(to_node::Message::Cancel(number)) };
            // Where there is no room for it, the node answers and nobody takes it.
            let _ = live.messages.try_send(cancel);
        }
    }
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        number: u64,
        request: &Request,
        sender: oneshot::Sender<Result<Answer, Failure>>,
    ) -> Result<(), Fault> {
        let mut live = self.live();
        let live = live.as_mut().filter(|live| live.is_known).ok_or_else(|| self.unreachable())?;
        let message = encode_request(number, request, &live.described, clock::now())?;
        let message = ToNode { message: Some(message) };
        if message.encoded_len() > MESSAGE_BYTES_MAX {
            let message =
                format!("the request takes more than {MESSAGE_BYTES_MAX} bytes on its way to a node");
            return Err(Fault::new(Code::BodyTooLarge, message));
        }
        live.messages.try_send(message).map_err(|error| match error {
            TrySendError::Closed(_) => self.unreachable(),
            TrySendError::Full(_) => {
                let message = format!("node {} takes no requests just now; try again", self.member.id);
                Fault::new(Code::QueueFull, message).retry_after(Millis(100))
            }
        })?;
        live.waiting.insert(number, sender);
        Ok(())
    }

    fn unreachable(&self) -> Fault {
        let message = format!("node {} cannot be reached just now; try again", self.member.id);
        Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
    }

    /// Gives the connection up. Everybody who waits learns of it. Comes with whether the node was about to stop, where it had said
    /// what it serves.
    fn lose(&self) -> Option<bool> {
        let lost = self.live().take();
        let was_leaving = lost.as_ref().filter(|live| live.is_known).map(|live| live.state.is_leaving);
        if let Some(live) = lost {
            // In the order in which they were asked: so they are asked of others.
            let mut waiting: Vec<_> = live.waiting.into_iter().collect();
            waiting.sort_unstable_by_key(|(number, _)| *number);
            waiting.into_iter().for_each(|(_, sender)| {
                let _ = sender.send(Err(Failure::Lost));
            });
            self.terms.changed.notify_one();
        }
        was_leaving
    }

    /// Connects, listens, and begins again.
    async fn run(self: Arc<Self>) {
        let mut pause = PAUSE.0;
        let mut absence = Absence::default();
        loop {
            let why = match timeout(CONNECT, self.connect()).await {
                Ok(Ok(answers)) => {
                    let why = self.listen(answers).await;
                    // Who only says what cannot be used was not there.
                    if let Some(was_leaving) = self.lose() {
                        (pause, absence) = (PAUSE.0, Absence::after(was_leaving, clock::now()));
                    }
                    why
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no connection came about within {} ms", CONNECT.as_millis()),
            };
            self.say(absence.remark(&why, clock::now()), &why);
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn say(&self, remark: Option<Remark>, why: &str) {
        let Member { id: node, address, .. } = &self.member;
        match remark {
            Some(Remark::Missed) => tracing::warn!(%node, %address, why, "a node cannot be reached"),
            Some(Remark::Left) => tracing::info!(%node, %address, "a node has stopped, as it had said"),
            None => tracing::debug!(%node, %address, why, "a node still cannot be reached"),
        }
    }

    async fn connect(&self) -> Result<Streaming<FromNode>, String> {
        let endpoint =
            Endpoint::from_shared(format!("http://{}", self.member.address)).map_err(|e| words(&e))?;
        let endpoint = endpoint
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .tcp_nodelay(true);
        let (node, address) = (self.member.id.clone(), self.member.address.clone());
        let connector = Connector { dial: self.terms.dial.clone(), node, address };
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| words(&error))?;
        let mut client = NodeServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (messages, receiver) = mpsc::channel(UNWRITTEN_MAX);
        let watches = self.terms.purpose == Purpose::Orders;
        let (gateway, life) = (self.terms.gateway.clone(), self.terms.life);
        let hello = to_node::Message::Hello(Hello { gateway, watches, life });
        let _ = messages.try_send(ToNode { message: Some(hello) });
        let answers = client.exchange(ReceiverStream::new(receiver)).await;
        let answers = answers.map_err(|status| unanswered(&status, &self.terms.dial))?;
        let state = State {
            catalogue: Arc::default(),
            load: NodeLoad::default(),
            store: StoreAt::Answers,
            store_back: None,
            is_leaving: false,
            shares_sequences: false,
            exchanges_files: false,
            life: 0,
            gateways: None,
        };
        let (described, waiting) = (Described::default(), HashMap::new());
        *self.live() = Some(Live { described, state, is_known: false, messages, told: None, waiting });
        Ok(answers.into_inner())
    }

    /// Takes what the node says, until it says nothing more; comes with the reason.
    async fn listen(&self, mut answers: Streaming<FromNode>) -> String {
        loop {
            let message = match timeout(self.terms.silence, answers.message()).await {
                Err(_) => return format!("it was silent for {} ms", self.terms.silence.as_millis()),
                Ok(Err(status)) => return broken(&status),
                Ok(Ok(None)) => return "it closed the connection".to_owned(),
                Ok(Ok(Some(message))) => message,
            };
            let Some(message) = message.message else { continue };
            if let Err(fault) = self.take(message) {
                return fault.message().to_owned();
            }
        }
    }

    fn take(&self, message: Message) -> Result<(), Fault> {
        let mut live = self.live();
        let Some(live) = live.as_mut() else { return Ok(()) };
        match message {
            Message::Greeting(greeting) if *greeting.node != *self.member.id.0 => {
                let message = format!("it calls itself {} and not {}", greeting.node, self.member.id);
                return Err(Fault::new(Code::NodeUnreachable, message));
            }
            Message::Greeting(greeting) => {
                live.state.shares_sequences = greeting.shares_sequences;
                live.state.exchanges_files = greeting.exchanges_files;
                live.state.life = greeting.life;
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Said {
                    // A release before this one says nothing of it.
                    cluster: greeting.processing_cluster.parse().ok(),
                    capacity_per_second: greeting.capacity_per_second,
                    shares_sequences: Some(greeting.shares_sequences),
                };
            }
            Message::Describe(described) => live.described.take(described)?,
            Message::Catalogue(catalogue) => {
                live.state.catalogue = Arc::new(live.described.catalogue(&catalogue)?);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(live.state.catalogue.clone());
                if !std::mem::replace(&mut live.is_known, true) {
                    tracing::info!(node = %self.member.id, address = %self.member.address, "connected to a node");
                    *self.why.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.terms.router.came(&self.member, live.state.life);
                }
                self.terms.changed.notify_one();
            }
            Message::Beat(mut beat) => {
                live.state.gateways = beat.callers.take().map(callers_of);
                let (is_leaving, load) = (beat.is_leaving, beat_of(beat));
                let (before, silent) = (live.state.store, load.sequences.store_silent);
                if before == StoreAt::IsSilent && StoreAt::of(silent, None) != StoreAt::IsSilent {
                    live.state.store_back = Some(clock::now());
                }
                let again = live.state.store_back.map(|back| clock::now().saturating_duration_since(back));
                live.state.store = StoreAt::of(silent, again);
                if live.state.is_leaving != is_leaving || live.state.store != before {
                    self.terms.changed.notify_one();
                }
                (live.state.is_leaving, live.state.load) = (is_leaving, load);
                self.terms.router.beat(&self.member.id, &live.state.load);
            }
            Message::Answer(answer) => {
                // Nobody waits for what was cancelled.
                let Some(sender) = live.waiting.remove(&answer.number) else { return Ok(()) };
                let answer = answer_of(answer, &self.member.id, &live.described).map_err(Failure::Refused);
                let _ = sender.send(answer);
            }
        }
        Ok(())
    }
}
