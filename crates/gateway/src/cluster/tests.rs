//! A gateway's cluster with nodes that answer, refuse, are silent or are lost, as a test wants, over real connections.

use super::*;
use crate::example::{catalogue, predict};
use futures::future::join_all;
use spinwell_core::{BatchPart, Priority, Samples, SequenceId, Series, TenantId};
use spinwell_policy::balance::Strategy;
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::node_service_server::{NodeService, NodeServiceServer};
use spinwell_protocol::node_service::wire::{Beat, FromNode, Greeting, ToNode};
use spinwell_protocol::node_service::{Describer, encode_answer, request_of};
use spinwell_protocol::{Entry, InferReply, Outputs, Packing, SequenceCall};
use spinwell_runtime::clock;
use spinwell_runtime::options::Exposure;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Response, Status, Streaming};

/// What becomes of requests at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    /// It has no room for any.
    IsFull,
    /// It says nothing more.
    IsSilent,
    /// Its connection ends with the first of them.
    IsLost,
    /// It refuses them.
    Refuses(Code),
    /// It refuses the first ones: it is about to load the model.
    Loads(usize),
    /// It answers none, and says with the first of them that the store has been silent to it.
    IsDeaf,
}

/// The requests that reached a node, by the first value of their windows.
type Reached = Arc<Mutex<Vec<usize>>>;

/// A node of a region.
#[derive(Clone)]
struct FakeNode {
    id: &'static str,
    mood: Mood,
    models: Vec<&'static str>,
    shares_sequences: bool,
    reached: Reached,
}

impl FakeNode {
    fn new(id: &'static str, mood: Mood, models: &[&'static str]) -> Self {
        Self { id, mood, models: models.to_vec(), shares_sequences: false, reached: Reached::default() }
    }

    fn reached(&self) -> Vec<usize> {
        let mut reached = self.reached.lock().unwrap().clone();
        reached.sort_unstable();
        reached
    }

    /// What it serves.
    fn catalogue(&self) -> Catalogue {
        let (all, mut own) = (catalogue(), Catalogue::default());
        for name in &self.models {
            let model = all.find(name, None).unwrap();
            own.insert(&model.name, model.version, Entry::Ready(model.clone()));
        }
        own
    }

    async fn start(&self) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(NodeServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Member {
            id: NodeId(self.id.into()),
            address,
            weight: 1.0,
            cluster: "c".parse().unwrap(),
            capacity_per_second: None,
        }
    }

    /// Talks to a gateway, until it goes or this one does.
    async fn talk(self, mut requests: Streaming<ToNode>, answers: Sender<Result<FromNode, Status>>) {
        let mut described = Describer::default();
        let shares_sequences = self.shares_sequences;
        let greeting =
            Greeting { node: self.id.to_owned(), life: 1, shares_sequences, ..Greeting::default() };
        let say = async |message| drop(answers.send(Ok(FromNode { message: Some(message) })).await);
        say(Message::Greeting(greeting)).await;
        for message in described.catalogue(&self.catalogue()) {
            say(message).await;
        }
        while let Ok(Some(ToNode { message: Some(message) })) = requests.message().await {
            let Some((number, Ok(Request::Infer(request)))) = request_of(message, &described, clock::now())
            else {
                continue;
            };
            self.reached.lock().unwrap().push(request.series.value(0, 0, 0) as usize);
            let answer = match self.mood {
                Mood::Answers => Ok(Answer::Predicted(predict(&request))),
                Mood::IsFull => Err(Fault::new(Code::QueueFull, "the queue is full")),
                Mood::Refuses(code) => Err(Fault::new(code, "it does not like it")),
                Mood::Loads(first) if self.reached().len() <= first => {
                    Err(Fault::new(Code::ModelNotFound, "it is not here yet"))
                }
                Mood::Loads(_) => Ok(Answer::Predicted(predict(&request))),
                Mood::IsDeaf => {
                    say(Message::Beat(Beat { store_silent_ms: Some(1_000), ..Beat::default() })).await;
                    continue;
                }
                Mood::IsSilent => continue,
                Mood::IsLost => return,
            };
            let (model, _) = described.number(&request.model);
            say(encode_answer(number, answer, model)).await;
        }
    }
}

#[tonic::async_trait]
impl NodeService for FakeNode {
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

/// A cluster that is connected to these nodes.
async fn cluster(nodes: &[FakeNode], failover: Millis) -> Cluster {
    let cluster = Cluster::new(Options {
        gateway: NodeId("g".into()),
        purpose: Purpose::Requests,
        dial: Dial::Clear(Exposure::LoopbackOnly),
        beat: Millis(200),
        // None of them says that it lives.
        silence: Millis(60_000),
        failover,
        routes: Routes::default(),
        spread_models: true,
        seed: 1,
    });
    cluster.set_members(join_all(nodes.iter().map(FakeNode::start)).await);
    cluster.has_nodes(nodes.len()).await;
    cluster
}

/// Nobody is given up for being slow on a busy machine.
const PATIENT: Millis = Millis(240_000);

/// A request for one window that begins with its number.
fn request(cluster: &Cluster, model: &str, number: usize) -> InferRequest {
    let model = cluster.models().find(model, None).unwrap().clone();
    InferRequest {
        series: Series::new(1, 2, 1, Samples::F32(vec![number as f32; 2])).unwrap(),
        outputs: Outputs::usual(&model, Packing::Json),
        model,
        deadline: clock::now() + Duration::from_secs(60),
        priority: Priority::Normal,
        is_spare: false,
        tenant: TenantId("default".into()),
        sequence: None,
    }
}

/// The answers to a batch call, and how it was divided.
async fn send(
    cluster: &Cluster,
    requests: Vec<InferRequest>,
) -> (Vec<Result<InferReply, Fault>>, Option<BatchPlan>) {
    let count = requests.len();
    let (answers, plan) = cluster.infer_all(&mut requests.into_iter());
    assert_eq!(answers.len(), count, "one answer a request");
    (join_all(answers).await, plan)
}

/// How many requests each node was to get.
fn parts(plan: Option<&BatchPlan>) -> Vec<(String, usize)> {
    let part = |part: &BatchPart| (part.node.to_string(), part.requests);
    plan.map(|plan| plan.parts.iter().map(part).collect()).unwrap_or_default()
}

/// Fails where an answer is not the one to its own request.
fn assert_answered(answers: &[Result<InferReply, Fault>]) {
    for (number, answer) in answers.iter().enumerate() {
        let reply = answer.as_ref().unwrap_or_else(|fault| panic!("request {number}: {fault}"));
        let first = match &reply.predictions.tensors[0].values {
            spinwell_protocol::Values::Fp32(values) => values[0],
            other => panic!("request {number}: {other:?}"),
        };
        assert_eq!(first, number as f32 + 1.0, "request {number} got the answer of another");
    }
}

#[tokio::test]
async fn a_batch_is_divided_at_once_and_every_node_gets_its_part() {
    let nodes = ["n1", "n2", "n3"].map(|id| FakeNode::new(id, Mood::Answers, &["taxi"]));
    let cluster = cluster(&nodes, PATIENT).await;
    let (answers, plan) =
        send(&cluster, (0..9).map(|number| request(&cluster, "taxi", number)).collect()).await;
    assert_answered(&answers);
    let plan = plan.unwrap();
    assert_eq!(plan.strategy_used, "weighted_least_connections");
    assert_eq!(parts(Some(&plan)), [("n1".into(), 3), ("n2".into(), 3), ("n3".into(), 3)]);
    for node in &nodes {
        let got: Vec<usize> =
            (0..9).filter(|&number| *answers[number].as_ref().unwrap().node.0 == *node.id).collect();
        assert_eq!((node.reached(), got.len()), (got.clone(), 3), "{}", node.id);
        assert!(got.windows(2).all(|two| two[1] == two[0] + 1), "a part is a run of the batch: {got:?}");
    }
}

#[tokio::test]
async fn what_a_node_does_not_answer_another_does_whatever_was_wrong() {
    for (mood, failover) in
        [(Mood::IsFull, PATIENT), (Mood::IsLost, PATIENT), (Mood::IsSilent, Millis(2_000))]
    {
        let nodes = [FakeNode::new("n1", Mood::Answers, &["taxi"]), FakeNode::new("n2", mood, &["taxi"])];
        let cluster = cluster(&nodes, failover).await;
        let (answers, plan) =
            send(&cluster, (0..8).map(|number| request(&cluster, "taxi", number)).collect()).await;
        assert_answered(&answers);
        assert_eq!(
            parts(plan.as_ref()),
            [("n1".into(), 4), ("n2".into(), 4)],
            "{mood:?}: the plan stays what it was"
        );
        assert_eq!(nodes[0].reached(), (0..8).collect::<Vec<_>>(), "{mood:?}: each was computed once");
        let attempts = cluster.load().attempts;
        assert_eq!((attempts.all, attempts.retries), (12, 4), "{mood:?}");
    }
}

#[tokio::test]
async fn beside_a_node_that_takes_most_of_the_time_another_one_is_asked() {
    let nodes = [("n1", Mood::Answers), ("n2", Mood::IsSilent), ("n3", Mood::Answers)]
        .map(|(id, mood)| FakeNode::new(id, mood, &["taxi"]));
    let cluster = cluster(&nodes, PATIENT).await;
    // Nobody knows how long this model takes: an attempt may take as long as there is time.
    let deadline = clock::now() + Duration::from_secs(8);
    let requests = (0..6).map(|number| InferRequest { deadline, ..request(&cluster, "taxi", number) });
    let (answers, _) = send(&cluster, requests.collect()).await;
    assert_answered(&answers);
    assert!(clock::now() < deadline);
    assert_eq!(nodes[1].reached().len(), 2, "it was asked first for its part");
    let attempts = cluster.load().attempts;
    assert_eq!((attempts.all, attempts.retries, attempts.timeouts), (8, 2, 2));
    let is_trusted = |standing: &NodeStanding| standing.is_trusted;
    assert!(cluster.load().nodes.iter().all(is_trusted), "twice is not often");
}

#[tokio::test]
async fn callers_with_little_time_take_no_node_out_of_service() {
    let node = FakeNode::new("n1", Mood::IsSilent, &["taxi"]);
    let cluster = cluster(std::slice::from_ref(&node), PATIENT).await;
    let deadline = clock::now() + Duration::from_millis(20);
    let requests = (0..40).map(|number| InferRequest { deadline, ..request(&cluster, "taxi", number) });
    let (answers, _) = send(&cluster, requests.collect()).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert!(cluster.load().nodes.iter().all(|standing| standing.is_trusted));
}

#[tokio::test]
async fn requests_for_each_model_are_divided_over_the_nodes_that_have_it() {
    let nodes =
        [FakeNode::new("n1", Mood::Answers, &["taxi"]), FakeNode::new("n2", Mood::Answers, &["gait"])];
    let cluster = cluster(&nodes, PATIENT).await;
    let models = ["taxi", "gait", "gait", "taxi", "gait"];
    let requests = models.iter().enumerate().map(|(number, model)| request(&cluster, model, number));
    let (answers, plan) = send(&cluster, requests.collect()).await;
    for (answer, model) in answers.iter().zip(models) {
        assert_eq!(answer.as_ref().unwrap().model.name.as_str(), model);
    }
    assert_eq!(parts(plan.as_ref()), [("n1".into(), 2), ("n2".into(), 3)]);
    assert_eq!((nodes[0].reached(), nodes[1].reached()), (vec![0, 3], vec![1, 2, 4]));
}

#[tokio::test]
async fn steps_go_to_the_keepers_of_their_sequences_and_stand_in_no_plan() {
    let nodes = ["n1", "n2"].map(|id| FakeNode::new(id, Mood::Answers, &["taxi"]));
    let cluster = cluster(&nodes, PATIENT).await;
    let step = |number: usize| {
        let id = SequenceId::of_number(number as u64 % 3 + 1);
        let starts = number < 3;
        let sequence = SequenceCall { id, starts, ends: false, step: None, sent: None, names_version: false };
        InferRequest { sequence: Some(sequence), ..request(&cluster, "taxi", number) }
    };
    let mut requests: Vec<InferRequest> = (0..9).map(step).collect();
    requests.push(request(&cluster, "taxi", 9));
    let (answers, plan) = send(&cluster, requests).await;
    assert_answered(&answers);
    assert_eq!(plan.unwrap().parts.iter().map(|part| part.requests).sum::<usize>(), 1);
    let node = |number: usize| answers[number].as_ref().unwrap().node.clone();
    for sequence in 0..3 {
        assert_eq!([node(sequence), node(sequence)], [node(sequence + 3), node(sequence + 6)]);
    }
    let (_, none) = send(&cluster, vec![step(0)]).await;
    assert_eq!(none, None, "nothing was divided");
}

#[tokio::test]
async fn steps_that_come_while_there_is_no_node_wait_for_one_in_their_order() {
    let node = FakeNode { shares_sequences: true, ..FakeNode::new("n1", Mood::Answers, &["taxi"]) };
    let cluster = cluster(std::slice::from_ref(&node), PATIENT).await;
    let step = |number: usize, deadline: Duration| {
        let id = SequenceId::of_number(7);
        let step = Some(number as u64 + 1);
        let starts = number == 0;
        let sequence = SequenceCall { id, starts, ends: false, step, sent: None, names_version: false };
        let deadline = clock::now() + deadline;
        InferRequest { sequence: Some(sequence), deadline, ..request(&cluster, "taxi", number) }
    };
    let steps: Vec<InferRequest> = (0..9).map(|number| step(number, Duration::from_secs(60))).collect();
    let late = step(9, Duration::from_millis(100));
    cluster.set_members(Vec::new());
    assert_eq!(cluster.infer(late).await.unwrap_err().code(), Code::NodeUnreachable);
    let waiting = tokio::spawn(join_all(steps.into_iter().map(|step| cluster.infer(step))));
    cluster.set_members(vec![node.start().await]);
    assert_answered(&waiting.await.unwrap());
    assert_eq!(*node.reached.lock().unwrap(), (0..9).collect::<Vec<_>>());
}

/// A step of a sequence, whose window begins with the sequence's number.
fn step(cluster: &Cluster, sequence: usize, step: Option<u64>) -> InferRequest {
    let id = SequenceId::of_number(sequence as u64 + 1);
    let starts = step.is_none_or(|step| step == 1);
    let call = SequenceCall { id, starts, ends: false, step, sent: None, names_version: false };
    InferRequest { sequence: Some(call), ..request(cluster, "taxi", sequence) }
}

/// A node that shares its sequences with others.
fn sharing(id: &'static str, mood: Mood, models: &[&'static str]) -> FakeNode {
    FakeNode { shares_sequences: true, ..FakeNode::new(id, mood, models) }
}

#[tokio::test]
async fn a_node_that_lacks_the_models_gets_no_steps_while_another_has_them() {
    let nodes = [sharing("n1", Mood::Answers, &["taxi"]), sharing("n2", Mood::Answers, &[])];
    let cluster = cluster(&nodes, PATIENT).await;
    let (answers, _) = send(&cluster, (0..32).map(|number| step(&cluster, number, Some(1))).collect()).await;
    assert_answered(&answers);
    assert_eq!((nodes[0].reached().len(), nodes[1].reached().len()), (32, 0));
}

#[tokio::test]
async fn a_node_without_the_store_that_others_share_gets_no_steps() {
    let nodes = [
        sharing("n1", Mood::Answers, &["taxi"]),
        sharing("n2", Mood::Answers, &["taxi"]),
        FakeNode::new("n3", Mood::Answers, &["taxi"]),
    ];
    let cluster = cluster(&nodes, PATIENT).await;
    let (answers, _) = send(&cluster, (0..48).map(|number| step(&cluster, number, Some(1))).collect()).await;
    assert_answered(&answers);
    assert!(!nodes[0].reached().is_empty() && !nodes[1].reached().is_empty());
    assert_eq!(nodes[2].reached(), Vec::<usize>::new(), "it would know nothing of a sequence that goes on");
    // It could answer requests.
    let (answers, plan) =
        send(&cluster, (0..3).map(|number| request(&cluster, "taxi", number)).collect()).await;
    assert_answered(&answers);
    assert_eq!(plan.unwrap().parts.len(), 3);
    // One that shares beside two that do not: what those hold is not given up.
    let nodes = [
        sharing("n1", Mood::Answers, &["taxi"]),
        FakeNode::new("n2", Mood::Answers, &["taxi"]),
        FakeNode::new("n3", Mood::Answers, &["taxi"]),
    ];
    let cluster = self::cluster(&nodes, PATIENT).await;
    let (answers, _) = send(&cluster, (0..48).map(|number| step(&cluster, number, Some(1))).collect()).await;
    assert_answered(&answers);
    assert!(nodes.iter().all(|node| !node.reached().is_empty()));
}

#[tokio::test]
async fn a_step_waits_for_a_node_that_is_about_to_load_the_model() {
    let node = sharing("n1", Mood::Loads(3), &["taxi"]);
    let cluster = cluster(std::slice::from_ref(&node), PATIENT).await;
    cluster.infer(step(&cluster, 0, Some(1))).await.unwrap();
    assert_eq!(node.reached().len(), 4);
    // One that never does is no reason to believe that the model is unknown.
    let node = sharing("n1", Mood::Refuses(Code::ModelNotFound), &["taxi"]);
    let cluster = self::cluster(std::slice::from_ref(&node), PATIENT).await;
    let deadline = clock::now() + Duration::from_millis(50);
    let refused = cluster.infer(InferRequest { deadline, ..step(&cluster, 0, Some(1)) }).await.unwrap_err();
    assert_eq!((refused.code(), refused.code().retryable()), (Code::NodeUnreachable, true));
}

#[tokio::test]
async fn what_was_overtaken_is_not_sent_again() {
    let node = sharing("n1", Mood::Refuses(Code::SequenceOvertaken), &["taxi"]);
    let cluster = cluster(std::slice::from_ref(&node), PATIENT).await;
    let refused = cluster.infer(step(&cluster, 0, Some(1))).await.unwrap_err();
    assert_eq!((refused.code(), node.reached().len()), (Code::SequenceOvertaken, 1));
}

#[tokio::test]
async fn steps_at_a_node_that_alone_has_lost_the_store_go_on_at_another_one() {
    let nodes = [sharing("n1", Mood::Answers, &["taxi"]), sharing("n2", Mood::IsDeaf, &["taxi"])];
    let cluster = cluster(&nodes, PATIENT).await;
    let (answers, _) = send(&cluster, (0..32).map(|number| step(&cluster, number, Some(1))).collect()).await;
    assert_answered(&answers);
    assert!(!nodes[1].reached().is_empty(), "some were under way there");
    assert_eq!(nodes[0].reached().len(), 32);
    let reached = nodes[1].reached().len();
    let (answers, _) = send(&cluster, (0..32).map(|number| step(&cluster, number, Some(1))).collect()).await;
    assert_answered(&answers);
    assert_eq!(nodes[1].reached().len(), reached, "it gets no more");
}

#[tokio::test]
async fn a_step_without_a_number_at_a_node_that_has_lost_the_store_may_have_been_taken() {
    let nodes = [sharing("n1", Mood::Answers, &["taxi"]), sharing("n2", Mood::IsDeaf, &["taxi"])];
    let cluster = cluster(&nodes, PATIENT).await;
    let (answers, _) = send(&cluster, (0..32).map(|number| step(&cluster, number, None)).collect()).await;
    let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(lost.len(), nodes[1].reached().len());
    assert!(!lost.is_empty() && lost.iter().all(|fault| fault.code() == Code::NodeUnreachable));
}

#[tokio::test]
async fn a_model_may_have_a_strategy_of_its_own() {
    let nodes = ["n1", "n2"].map(|id| FakeNode::new(id, Mood::Answers, &["taxi", "gait"]));
    let cluster = cluster(&nodes, PATIENT).await;
    let strategy_used = async || {
        let models = ["taxi", "gait", "taxi", "gait"];
        let requests = models.iter().map(|model| request(&cluster, model, 0)).collect();
        send(&cluster, requests).await.1.unwrap().strategy_used
    };
    let region = || {
        let RegionStatus { strategy, routes, .. } = cluster.region().unwrap();
        let routes: Vec<_> =
            routes.into_iter().map(|(model, strategy)| format!("{model}={strategy}")).collect();
        (strategy, routes.join(","))
    };
    let taxi: ModelName = "taxi".parse().unwrap();
    assert_eq!(strategy_used().await, "weighted_least_connections");
    cluster.choose_by("round_robin", Some(&taxi)).unwrap();
    assert_eq!(strategy_used().await, "weighted_least_connections,round_robin", "by name of the model");
    cluster.choose_by("resource_aware", None).unwrap();
    assert_eq!(strategy_used().await, "resource_aware,round_robin");
    assert_eq!(region(), ("resource_aware".to_owned(), "taxi=round_robin".to_owned()));
    let refused = |strategy: &str, model: &str| {
        cluster.choose_by(strategy, Some(&model.parse().unwrap())).unwrap_err().code()
    };
    assert_eq!(refused("fastest", "taxi"), Code::RequestInvalid);
    assert_eq!(refused("predictive", "nowhere"), Code::ModelNotFound);
    cluster.choose_as_usual(&taxi).unwrap();
    assert_eq!(cluster.choose_as_usual(&taxi).unwrap_err().code(), Code::RequestInvalid);
    assert_eq!(region(), ("resource_aware".to_owned(), String::new()));
    assert_eq!(strategy_used().await, Strategy::ResourceAware.as_str());
    assert_eq!(cluster.load().attempts.fell_back, 0);
    cluster.choose_by("predictive", None).unwrap();
    assert_eq!(strategy_used().await, "weighted_least_connections", "it has seen too little");
    assert_eq!(cluster.load().attempts.fell_back, 2, "once for each of two models");
}

#[tokio::test]
async fn without_a_node_every_request_is_refused_and_nothing_is_planned() {
    let node = FakeNode::new("n1", Mood::Answers, &["taxi"]);
    let cluster = cluster(std::slice::from_ref(&node), PATIENT).await;
    let requests: Vec<_> = (0..3).map(|number| request(&cluster, "taxi", number)).collect();
    cluster.set_members(Vec::new());
    let (answers, plan) = send(&cluster, requests).await;
    assert_eq!(plan, None);
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), Code::NodeUnreachable);
    }
}
