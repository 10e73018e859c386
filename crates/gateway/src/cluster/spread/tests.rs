//! What a gateway brings to nodes, and tries again, in a network in memory and on a clock that moves by itself.

use super::super::catalogue::tests;
use super::super::{Cluster, Member, Options, Purpose, Routes};
use super::*;
use spinwell_core::{Millis, UnixMillis};
use spinwell_policy::spread::PAUSE;
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::node_service_server::{NodeService, NodeServiceServer};
use spinwell_protocol::node_service::wire::{FromNode, Greeting, ToNode};
use spinwell_protocol::node_service::{Describer, encode_answer, request_of};
use spinwell_protocol::{Beside, NodeLink};
use spinwell_runtime::transport::{Connecting, Dial, Io, Network};
use std::collections::HashMap;
use std::io;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{Sender, UnboundedSender, channel, unbounded_channel};
use tokio::time::sleep;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Response, Status, Streaming};

const HOUR: Duration = Duration::from_secs(3600);

fn name() -> ModelName {
    "m".parse().unwrap()
}

/// Addresses, and who answers there.
#[derive(Clone, Default)]
struct Wires(Arc<std::sync::Mutex<HashMap<String, UnboundedSender<io::Result<DuplexStream>>>>>);

impl Network for Wires {
    fn connect(&self, address: &str) -> Connecting {
        let (own, other) = tokio::io::duplex(1 << 20);
        let there = self.0.lock().unwrap().get(address).cloned();
        let is_heard = there.is_some_and(|there| there.send(Ok(other)).is_ok());
        Box::pin(async move {
            match is_heard {
                true => Ok(Box::new(own) as Box<dyn Io>),
                false => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}

/// What lies in the place of a version: a model of these bytes, something that is none, or what somebody is writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    Model(u8),
    Damage,
    Unsettled,
}

/// What a node has, does, and was asked.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<u32, Lies>,
    serves: Vec<(u32, u8)>,
    /// What it says to offers of a version.
    refuses: BTreeMap<u32, Fault>,
    /// Whether it takes what it refuses nevertheless, as where its answer is lost.
    takes_it_all: bool,
    /// Whether its files cannot be read.
    gives_nothing: bool,
    /// How many loads it refuses still.
    loads_refused: usize,
    /// Offers, with a mark where settings go along, and loads.
    asked: Vec<String>,
}

impl Shelf {
    fn models(&self) -> Vec<(u32, u8)> {
        let model = |(version, lies): (&u32, &Lies)| match lies {
            Lies::Model(hash) => Some((*version, *hash)),
            Lies::Damage | Lies::Unsettled => None,
        };
        self.files.iter().filter_map(model).collect()
    }

    fn answer(&mut self, request: Request) -> Result<Answer, Fault> {
        match request {
            Request::Files(FileRequest::Held(_)) => {
                let file = |(version, lies): (&u32, &Lies)| HeldFile {
                    version: ModelVersion(*version),
                    hash: if let Lies::Model(hash) = lies { Some(ModelHash([*hash; 32])) } else { None },
                    modified: UnixMillis(1),
                    is_unsettled: *lies == Lies::Unsettled,
                };
                Ok(Answer::Files(FileAnswer::Held(self.files.iter().map(file).collect())))
            }
            Request::Files(FileRequest::Read(..)) if self.gives_nothing => {
                Err(Fault::new(Code::Io, "it cannot be read"))
            }
            Request::Files(FileRequest::Read(..)) => {
                let beside = Some(Beside { settings: Some("[traffic]".into()), ..Beside::default() });
                Ok(Answer::Files(FileAnswer::Part(FilePart { bytes: "x".into(), whole: 1, beside })))
            }
            Request::Files(FileRequest::Offer(FileOffer { key, beside, .. })) => {
                let mark = if beside.settings.is_some() { " with settings" } else { "" };
                self.asked.push(format!("offer {}{mark}", key.version));
                let refused = self.refuses.get(&key.version.0).cloned();
                if refused.is_none() || self.takes_it_all {
                    self.files.insert(key.version.0, Lies::Model(key.hash.0[0]));
                }
                refused.map_or(Ok(()), Err)?;
                Ok(Answer::Files(FileAnswer::Placed(true)))
            }
            Request::Load(_) => {
                self.asked.push("load".to_owned());
                if self.loads_refused > 0 {
                    self.loads_refused -= 1;
                    return Err(Fault::new(Code::Internal, "not now"));
                }
                self.serves = self.models();
                Ok(Answer::Loaded(Vec::new()))
            }
            _ => Err(Fault::new(Code::NotOffered, "no such thing")),
        }
    }
}

/// A node with a folder.
#[derive(Clone)]
struct Holder {
    id: &'static str,
    life: u64,
    shelf: Arc<std::sync::Mutex<Shelf>>,
}

impl Holder {
    /// It serves what it has.
    fn new(id: &'static str, files: &[(u32, Lies)]) -> Self {
        let mut shelf = Shelf { files: files.iter().copied().collect(), ..Shelf::default() };
        shelf.serves = shelf.models();
        Self { id, life: 1, shelf: Arc::new(std::sync::Mutex::new(shelf)) }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    fn refuses(self, version: u32, code: Code) -> Self {
        self.shelf().refuses.insert(version, Fault::new(code, "no room"));
        self
    }

    fn asked(&self) -> Vec<String> {
        self.shelf().asked.clone()
    }

    fn start(&self, wires: &Wires) -> Member {
        let address = format!("{}-{}:1", self.id, self.life);
        let (sender, connections) = unbounded_channel();
        wires.0.lock().unwrap().insert(address.clone(), sender);
        let server = tonic::transport::Server::builder().add_service(NodeServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(UnboundedReceiverStream::new(connections)));
        let (id, cluster) = (NodeId(self.id.into()), "c".parse().unwrap());
        Member { id, address, weight: 1.0, cluster, capacity_per_second: None }
    }

    async fn talk(self, mut requests: Streaming<ToNode>, answers: Sender<Result<FromNode, Status>>) {
        let mut described = Describer::default();
        let (node, life) = (self.id.to_owned(), self.life);
        let greeting = Greeting { node, life, exchanges_files: true, ..Greeting::default() };
        let say = async |message| drop(answers.send(Ok(FromNode { message: Some(message) })).await);
        say(Message::Greeting(greeting)).await;
        let mut said = None;
        loop {
            let serves = self.shelf().serves.clone();
            if said.as_ref() != Some(&serves) {
                for message in described.catalogue(&tests::node(&serves, None)) {
                    say(message).await;
                }
                said = Some(serves);
            }
            let Ok(Some(ToNode { message: Some(message) })) = requests.message().await else { return };
            if let Some((number, request)) = request_of(message, &described, clock::now()) {
                let answer = request.and_then(|request| self.shelf().answer(request));
                say(encode_answer(number, answer, 0)).await;
            }
        }
    }
}

#[tonic::async_trait]
impl NodeService for Holder {
    type ExchangeStream = ReceiverStream<Result<FromNode, Status>>;

    async fn exchange(
        &self,
        request: tonic::Request<Streaming<ToNode>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (answers, stream) = channel(64);
        tokio::spawn(self.clone().talk(request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A region that is connected to these nodes.
async fn region(wires: &Wires, nodes: &[&Holder]) -> Cluster {
    let cluster = Cluster::new(Options {
        gateway: NodeId("g".into()),
        purpose: Purpose::Requests,
        dial: Dial::Through(Arc::new(wires.clone())),
        beat: Millis(200),
        // None of them says that it lives.
        silence: Millis(u64::from(u32::MAX)),
        failover: Millis(60_000),
        routes: Routes::default(),
        spread_models: true,
        seed: 1,
    });
    cluster.set_members(nodes.iter().map(|node| node.start(wires)).collect());
    cluster.has_nodes(nodes.len()).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_node_is_asked_again_after_growing_pauses_until_it_serves_what_it_was_brought() {
    let (one, two) = (Holder::new("n1", &[(1, Lies::Model(1))]), Holder::new("n2", &[]));
    two.shelf().loads_refused = 4;
    let (start, wires) = (clock::now(), Wires::default());
    let cluster = region(&wires, &[&one, &two]).await;
    while two.shelf().serves.is_empty() {
        sleep(Duration::from_millis(100)).await;
        assert!(clock::now() < start + HOUR, "{:?}", two.asked());
    }
    assert_eq!(two.asked(), ["offer 1 with settings", "load", "load", "load", "load", "load"]);
    assert!(clock::now() >= start + PAUSE.0 * (1 + 2 + 4 + 8), "the pauses do not grow");
    // It serves it now: nobody asks any more. Neither does anybody where it is unloaded there.
    sleep(HOUR).await;
    two.shelf().serves.clear();
    assert!(cluster.index().await.is_err(), "it says with its next answer what it serves");
    sleep(HOUR).await;
    assert_eq!(two.asked().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_a_load_call_brought_is_loaded_later_where_that_load_failed() {
    let (one, two) = (Holder::new("n1", &[(1, Lies::Model(1))]), Holder::new("n2", &[(1, Lies::Model(1))]));
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two]).await;
    one.shelf().files.insert(2, Lies::Model(2));
    two.shelf().loads_refused = 1;
    assert_eq!(cluster.load_model(name()).await.unwrap_err().code(), Code::Internal);
    sleep(HOUR).await;
    assert_eq!(two.asked(), ["offer 2 with settings", "load", "load"]);
    assert_eq!(two.shelf().serves, [(1, 1), (2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_though_the_answer_was_lost_is_loaded() {
    let one = Holder::new("n1", &[(1, Lies::Model(1))]);
    let two = Holder::new("n2", &[]).refuses(1, Code::NodeUnreachable);
    two.shelf().takes_it_all = true;
    let wires = Wires::default();
    let _cluster = region(&wires, &[&one, &two]).await;
    sleep(HOUR).await;
    assert_eq!(two.asked(), ["offer 1 with settings", "load"]);
    assert_eq!(two.shelf().serves, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_came_from_another_source_is_not_loaded_again_where_it_is_unloaded() {
    let files = [(1, Lies::Model(1))];
    let (one, three) = (Holder::new("n1", &files), Holder::new("n3", &files));
    one.shelf().gives_nothing = true;
    let (two, four) = (Holder::new("n2", &[]), Holder::new("n4", &[]));
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two, &three]).await;
    sleep(HOUR).await;
    assert_eq!(two.asked(), ["offer 1 with settings", "load"]);
    two.shelf().serves.clear();
    assert!(cluster.index().await.is_err(), "it says with its next answer what it serves");
    let all = [&one, &two, &three, &four];
    cluster.set_members(all.iter().map(|node| node.start(&wires)).collect());
    sleep(HOUR).await;
    assert_eq!(four.shelf().serves, [(1, 1)], "something was spread");
    assert_eq!(two.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_brought_is_sent_once_until_it_is_something_else() {
    let (one, two) = (Holder::new("n1", &[(1, Lies::Model(1))]), Holder::new("n2", &[]).refuses(1, Code::Io));
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two]).await;
    sleep(HOUR).await;
    assert_eq!(two.asked().len(), 1);
    // It may have been the first node's fault: from another one, which has joined and been brought it, it is sent once more.
    let three = Holder::new("n3", &[]);
    let members = [&one, &two, &three].map(|node| node.start(&wires));
    cluster.set_members(members.to_vec());
    sleep(HOUR).await;
    assert_eq!((three.asked().len(), three.shelf().serves.len()), (2, 1));
    let sent = two.asked().len();
    sleep(HOUR).await;
    assert_eq!((sent, two.asked().len()), (2, 2));
    // In its next life it may have room.
    let next = Holder { life: 2, ..two.clone() };
    let members = [&one, &next, &three].map(|node| node.start(&wires));
    cluster.set_members(members.to_vec());
    sleep(HOUR).await;
    assert_eq!(two.asked().len(), 4, "once from each of the others");
    // A load call tries everything, and says what has become of it.
    let told = cluster.load_model(name()).await.unwrap();
    assert!(told[0].reason.contains("SPW-IO") && told[0].reason.contains("n2"), "{told:?}");
    assert_eq!(two.asked().len(), 7, "and it was asked to load");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_brought_later_is_sent_again_after_growing_pauses() {
    let one = Holder::new("n1", &[(1, Lies::Model(1))]);
    let two = Holder::new("n2", &[]).refuses(1, Code::QueueFull);
    let wires = Wires::default();
    let _cluster = region(&wires, &[&one, &two]).await;
    sleep(Duration::from_secs(60)).await;
    let first = two.asked().len();
    assert!((4..=6).contains(&first), "{first}");
    sleep(HOUR).await;
    let later = two.asked().len() - first;
    assert!((10..=16).contains(&later), "{later}");
    two.shelf().refuses.clear();
    sleep(2 * PAUSE.1).await;
    assert_eq!(two.shelf().serves, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn settings_go_along_with_the_last_version_and_only_where_all_have_arrived() {
    let files = [(1, Lies::Model(1)), (2, Lies::Model(2)), (3, Lies::Model(3))];
    let (one, two) = (Holder::new("n1", &files), Holder::new("n2", &[]));
    let three = Holder::new("n3", &[]).refuses(2, Code::Io);
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two, &three]).await;
    sleep(HOUR).await;
    assert_eq!(two.asked(), ["offer 1", "offer 2", "offer 3 with settings", "load"]);
    assert_eq!(three.asked()[..3], ["offer 1", "offer 2", "offer 3"]);
    three.shelf().refuses.clear();
    cluster.load_model(name()).await.unwrap();
    assert!(three.asked().contains(&"offer 2 with settings".to_owned()), "{:?}", three.asked());
}

#[tokio::test(start_paused = true)]
async fn the_fault_of_a_load_says_which_files_did_not_arrive() {
    let (one, two) = (Holder::new("n1", &[(1, Lies::Model(1))]), Holder::new("n2", &[]).refuses(1, Code::Io));
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two]).await;
    two.shelf().loads_refused = 1;
    let fault = cluster.load_model(name()).await.unwrap_err();
    assert_eq!(fault.code(), Code::Internal);
    for word in ["not now", "version 1", "SPW-IO", "not brought to n2", "no room"] {
        assert!(fault.message().contains(word), "{word} is missing in {fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_is_writing_is_left_alone_and_made_good_where_it_stays_damaged() {
    let (one, two) = (Holder::new("n1", &[(1, Lies::Model(1))]), Holder::new("n2", &[(1, Lies::Model(1))]));
    let wires = Wires::default();
    let cluster = region(&wires, &[&one, &two]).await;
    two.shelf().files.insert(1, Lies::Unsettled);
    let told = cluster.load_model(name()).await.unwrap();
    assert!(told[0].reason.contains("SPW-FILE-UNSETTLED") && told[0].reason.contains("n2"), "{told:?}");
    sleep(HOUR).await;
    assert!(!two.asked().iter().any(|asked| asked.starts_with("offer")), "{:?}", two.asked());
    two.shelf().files.insert(1, Lies::Damage);
    sleep(2 * PAUSE.1).await;
    assert_eq!(two.shelf().files[&1], Lies::Model(1));
}

#[test]
fn what_is_told_of_a_version_names_the_node_and_both_bytes() {
    let (own, most) = (ModelHash([1; 32]), ModelHash([2; 32]));
    let kept = Kept { node: NodeId("n2".into()), version: ModelVersion(7), own, most };
    let IndexEntry { version, is_ready, reason, .. } =
        entry(&"m".parse().unwrap(), kept.version, &differs(&kept));
    assert_eq!((version.0, is_ready), (7, false));
    for word in ["SPW-VERSION-EXISTS", "n2", &own.to_string(), &most.to_string()] {
        assert!(reason.contains(word), "{word} is missing in {reason}");
    }
}
