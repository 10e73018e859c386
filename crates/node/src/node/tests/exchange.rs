//! A gateway's exchange with a node, without a network between them.

use super::*;
use crate::{Callers, Exchange, Fence};
use futures::{Stream, StreamExt};
use spinwell_protocol::Caller;
use spinwell_protocol::node_service::wire::from_node::Message;
use spinwell_protocol::node_service::wire::{FromNode, ToNode, to_node};
use spinwell_protocol::node_service::{self, Answer as NodeAnswer, Described, answer_of, encode_request};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::tls::{Peer, Role};
use std::pin::Pin;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

struct Gateway {
    bench: Bench,
    health: Health,
    sender: Sender<Result<ToNode, Status>>,
    receiver: Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>,
    described: Described,
}

impl Gateway {
    /// Connects to a node of one executor, and hears what it serves.
    async fn connected() -> Self {
        Self::connected_as(None).await
    }

    /// The same with a certificate.
    async fn connected_as(peer: Option<Peer>) -> Self {
        let bench = bench(1, 100);
        let (health, beat) = (Health::default(), Millis(20));
        health.advance(Phase::Ready);
        let drained = health.clone();
        let exchange = Exchange {
            link: bench.node.clone(),
            id: NodeId("n".into()),
            health: health.clone(),
            beat,
            drain: Arc::new(move || drained.advance(Phase::Leaving)),
            life: 7,
            callers: Arc::new(Callers::default()),
            fence: Arc::new(Fence::default()),
            processing_cluster: "gpu-1".to_owned(),
            capacity_per_second: Some(2000.0),
        };
        let (sender, requests) = channel(100);
        let receiver = Box::pin(exchange.answers(peer, ReceiverStream::new(requests)));
        let mut gateway = Self { bench, health, sender, receiver, described: Described::default() };
        let Some(Message::Greeting(greeting)) = gateway.hear().await else { panic!("no greeting") };
        assert_eq!((&*greeting.node, &*greeting.processing_cluster), ("n", "gpu-1"));
        assert_eq!(greeting.capacity_per_second, Some(2000.0));
        let Some(Message::Describe(described)) = gateway.hear().await else { panic!("no description") };
        gateway.described.take(described).unwrap();
        let Some(Message::Catalogue(catalogue)) = gateway.hear().await else { panic!("no catalogue") };
        assert_eq!(gateway.described.catalogue(&catalogue).unwrap().ready(), [&gateway.bench.model]);
        gateway
    }

    async fn hear(&mut self) -> Option<Message> {
        Some(self.receiver.next().await?.unwrap().message.unwrap())
    }

    /// The next beat: whether the node leaves, and how many requests wait.
    async fn beat(&mut self) -> (bool, u64) {
        loop {
            if let Some(Message::Beat(beat)) = self.hear().await {
                return (beat.is_leaving, beat.queue_len);
            }
        }
    }

    /// The next answer; nothing where the exchange is over.
    async fn answer(&mut self) -> Option<(u64, Result<NodeAnswer, Fault>)> {
        loop {
            if let Message::Answer(answer) = self.hear().await? {
                let number = answer.number;
                return Some((number, answer_of(answer, &NodeId("n".into()), &self.described)));
            }
        }
    }

    async fn say(&self, message: to_node::Message) {
        self.sender.send(Ok(ToNode { message: Some(message) })).await.unwrap();
    }

    async fn ask(&self, number: u64, value: f32) {
        let model = self.bench.model.clone();
        let request = node_service::Request::Infer(InferRequest {
            series: Series::new(1, 1, 1, Samples::F32(vec![value])).unwrap(),
            outputs: Outputs::usual(&model, Packing::Json),
            model,
            deadline: clock::now() + Duration::from_secs(600),
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("t".into()),
            sequence: None,
        });
        self.say(encode_request(number, &request, &self.described, clock::now()).unwrap()).await;
    }
}

#[tokio::test]
async fn requests_are_answered_by_number_and_faults_with_their_codes() {
    let mut gateway = Gateway::connected().await;
    gateway.ask(1, 3.0).await;
    let Some((1, Ok(NodeAnswer::Predicted(reply)))) = gateway.answer().await else { panic!("no answer") };
    assert_eq!(forecasts(&reply), [3.0]);
    gateway.ask(2, 14.0).await;
    let Some((2, Err(fault))) = gateway.answer().await else { panic!("no fault") };
    assert_eq!((fault.code(), fault.message()), (Code::WindowTooShort, "fourteen"));
    gateway.say(to_node::Message::Load(node_service::wire::Load { number: 3, model: "nobody".into() })).await;
    assert!(matches!(gateway.answer().await, Some((3, Err(_)))));
    gateway.say(to_node::Message::Index(node_service::wire::Index { number: 4 })).await;
    assert!(matches!(gateway.answer().await, Some((4, _))));
    gateway.say(to_node::Message::Load(node_service::wire::Load { number: 5, model: "\0".into() })).await;
    assert!(matches!(gateway.answer().await, Some((5, Err(_)))));
}

#[tokio::test]
async fn what_is_given_up_leaves_the_queue_and_so_does_all_of_a_gateway_that_goes() {
    let mut gateway = Gateway::connected().await;
    let occupied = gateway.bench.occupied();
    for number in 1..=3 {
        gateway.ask(number, 1.0).await;
    }
    while gateway.beat().await != (false, 3) {}
    gateway.say(to_node::Message::Cancel(2)).await;
    gateway.say(to_node::Message::Cancel(7)).await;
    while gateway.beat().await != (false, 2) {}
    let (node, bench) = (gateway.bench.node.clone(), gateway.bench);
    drop((gateway.sender, gateway.receiver));
    while node.load().queue_len > 0 {
        tokio::task::yield_now().await;
    }
    bench.open();
    assert!(occupied.await.is_ok());
}

#[tokio::test]
async fn a_node_that_leaves_says_so_answers_what_it_has_and_ends_the_exchange() {
    let mut gateway = Gateway::connected().await;
    let occupied = gateway.bench.occupied();
    gateway.ask(1, 1.0).await;
    while gateway.beat().await != (false, 1) {}
    gateway.health.advance(Phase::Leaving);
    while gateway.beat().await != (true, 1) {}
    gateway.health.advance(Phase::Stopping);
    gateway.beat().await;
    gateway.bench.open();
    assert!(matches!(gateway.answer().await, Some((1, Ok(NodeAnswer::Predicted(_))))));
    assert!(gateway.answer().await.is_none(), "it is over");
    assert!(occupied.await.is_ok());
}

#[tokio::test]
async fn beats_name_the_gateways_that_are_connected_and_not_who_watches() {
    let mut gateway = Gateway::connected().await;
    let callers = |message: Message| match message {
        Message::Beat(beat) => beat.callers.map(node_service::callers_of),
        _ => None,
    };
    gateway.say(hello("c1", true)).await;
    while gateway.hear().await.and_then(callers) != Some(Vec::new()) {}
    gateway.say(hello("g1", false)).await;
    let known = vec![Caller { name: "g1".to_owned(), life: Some(5) }];
    while gateway.hear().await.and_then(callers).as_ref() != Some(&known) {}
}

fn hello(name: &str, watches: bool) -> to_node::Message {
    to_node::Message::Hello(node_service::wire::Hello { gateway: name.to_owned(), watches, life: 5 })
}

#[tokio::test]
async fn who_is_called_by_no_name_or_by_another_than_its_certificate_is_refused() {
    let of = |role| Some(Peer { role, id: "g1".parse().unwrap() });
    let check = async |peer: Option<Peer>, name: &str, watches, wanted: Option<&str>| {
        let mut gateway = Gateway::connected_as(peer).await;
        gateway.say(hello(name, watches)).await;
        // What was greeted goes on with beats; what was refused ends.
        let mut beats = 0;
        let refusal = loop {
            match gateway.receiver.next().await.unwrap() {
                Ok(_) if beats == 3 => break None,
                Ok(_) => beats += 1,
                Err(status) => break Some(status),
            }
        };
        match (&refusal, wanted) {
            (None, None) => {}
            (Some(refusal), Some(wanted)) if refusal.message().contains(wanted) => {
                assert!(gateway.receiver.next().await.is_none(), "it is over");
            }
            _ => panic!("{name}: {refusal:?} and not {wanted:?}"),
        }
    };
    check(None, "g1", false, None).await;
    check(None, &"g".repeat(128), false, None).await;
    for wrong in ["", "g 1", "g1\n", "g\u{e9}", &"g".repeat(129)] {
        check(None, wrong, false, Some("1 to 128 letters")).await;
        check(None, wrong, true, Some("1 to 128 letters")).await;
    }
    check(of(Role::Gateway), "g1", false, None).await;
    check(of(Role::Control), "g1", true, None).await;
    let other = "it calls itself gateway g2, and its certificate is of gateway g1";
    check(of(Role::Gateway), "g2", false, Some(other)).await;
    // Gateways count, and control gives orders: neither is taken for the other.
    check(of(Role::Gateway), "g1", true, Some("control g1, and its certificate is of gateway g1")).await;
    check(of(Role::Control), "g1", false, Some("gateway g1, and its certificate is of control g1")).await;
}

#[tokio::test]
async fn a_node_follows_orders_of_the_latest_leader_for_its_own_life() {
    use spinwell_protocol::Order;
    let mut gateway = Gateway::connected().await;
    for (number, (generation, life), wanted) in
        [(1, (2, 9), Some(Code::OrderOld)), (2, (1, 7), Some(Code::OrderOld)), (3, (2, 7), None)]
    {
        assert_eq!(gateway.health.phase(), Phase::Ready);
        let request = node_service::Request::Drain(Some(Order { generation, life }));
        gateway.say(encode_request(number, &request, &gateway.described, clock::now()).unwrap()).await;
        let Some((answered, answer)) = gateway.answer().await else { panic!("no answer") };
        assert_eq!((answered, answer.err().map(|fault| fault.code())), (number, wanted));
    }
    assert_eq!(gateway.health.phase(), Phase::Leaving);
}
