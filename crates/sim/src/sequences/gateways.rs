//! What gateways do: send steps to the owners that they see, in order, and again where a node is lost.

use super::history::{Answer, Answered};
use super::scenario::Plant;
use super::turns::Step;
use super::world::{AtNode, Event, World};
use spinwell_core::NodeId;
use spinwell_policy::sequence::{Homes, Place, Stay};
use spinwell_policy::shards::{Member, keepers};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long a gateway waits for an answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// A gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    is_up: bool,
    /// By node: whether the connection stands.
    connected: Vec<bool>,
    /// By node: whether the registry has it.
    listed: Vec<bool>,
    homes: Homes,
    /// Requests that are not answered yet.
    open: BTreeSet<usize>,
    under_way: BTreeMap<u64, UnderWay>,
    /// Those who wait for a shard's next home, in order.
    places: BTreeMap<u16, VecDeque<(Place, usize)>>,
}

#[derive(Debug)]
struct UnderWay {
    request: usize,
    node: usize,
    stay: Option<Stay>,
}

impl Gateway {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            is_up: true,
            connected: vec![true; nodes],
            listed: vec![true; nodes],
            homes: Homes::default(),
            open: BTreeSet::new(),
            under_way: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    fn members(&self) -> Vec<usize> {
        (0..self.listed.len()).filter(|&node| self.connected[node] && self.listed[node]).collect()
    }
}

impl World<'_> {
    // Requests.

    pub(super) fn at_gateway(&mut self, request: usize) {
        let now = self.clock();
        let gateway = self.history.requests[request].gateway;
        let (shard, begins) = {
            let own = &self.history.requests[request];
            (self.shards[self.history.ops[own.op].sequence], own.asked.starts)
        };
        let begins = begins && self.scenario.plant != Some(Plant::BeginsAtOnce);
        let sent = self.gateways[gateway].homes.stamp(shard, begins, now);
        self.history.requests[request].received = self.now;
        self.history.requests[request].asked.sent = Some(sent);
        if !self.gateways[gateway].is_up {
            return self.tell_caller(request, Answer::Unreachable);
        }
        self.gateways[gateway].open.insert(request);
        self.plan(DEADLINE, Event::GatewayWaited { request });
        self.route(request);
    }

    /// Sends a request to the owner of its shard, or lets it wait.
    pub(super) fn route(&mut self, request: usize) {
        let (gateway, shard) = self.place_of(request);
        if !self.gateways[gateway].open.contains(&request) {
            return;
        }
        let Some(owner) = self.owner(gateway, shard) else {
            let own = &mut self.gateways[gateway];
            let place = own.homes.wait(shard);
            return own.places.entry(shard).or_default().push_back((place, request));
        };
        if self.scenario.plant == Some(Plant::HomesIgnored) {
            return self.dispatch(gateway, request, owner, None);
        }
        let is_gone = self.is_home_gone(gateway, shard);
        match self.gateways[gateway].homes.begin(shard, &self.machines[owner].name, is_gone) {
            Ok(stay) => self.dispatch(gateway, request, owner, Some(stay)),
            Err(place) => {
                self.gateways[gateway].places.entry(shard).or_default().push_back((place, request));
            }
        }
    }

    /// Lets those look again who wait for a shard's next home.
    fn look(&mut self, gateway: usize, shard: u16) {
        loop {
            let Some(owner) = self.owner(gateway, shard) else { return };
            let is_gone = self.is_home_gone(gateway, shard);
            let name = &self.machines[owner].name;
            let own = &mut self.gateways[gateway];
            let Some((place, request)) = own.places.get(&shard).and_then(|places| places.front()) else {
                return;
            };
            let request = *request;
            let Some(stay) = own.homes.go_on(place, name, is_gone) else { return };
            own.places.entry(shard).or_default().pop_front();
            self.dispatch(gateway, request, owner, Some(stay));
        }
    }

    fn look_everywhere(&mut self, gateway: usize) {
        let shards: Vec<u16> = self.gateways[gateway].places.keys().copied().collect();
        shards.into_iter().for_each(|shard| self.look(gateway, shard));
    }

    fn dispatch(&mut self, gateway: usize, request: usize, node: usize, stay: Option<Stay>) {
        self.attempts += 1;
        let attempt = self.attempts;
        self.gateways[gateway].under_way.insert(attempt, UnderWay { request, node, stay });
        if self.scenario.plant == Some(Plant::SentAnew) {
            self.history.requests[request].asked.sent = Some(self.clock());
        }
        let own = &self.history.requests[request];
        let sequence = self.history.ops[own.op].sequence;
        let step = Step { attempt, request, sequence, asked: own.asked, ends: own.ends };
        self.send_step(gateway, node, step);
    }

    /// Puts a step on its way; it waits where that is cut.
    pub(super) fn send_step(&mut self, gateway: usize, node: usize, step: Step) {
        if let Some(held) = self.cut.get_mut(&(gateway, node)) {
            return held.steps.push(step);
        }
        let life = self.machines[node].life;
        self.plan_on_way((gateway, 100 + node), Event::Node { node, life, what: AtNode::Step(step) });
    }

    // Answers.

    /// A node answers.
    pub(super) fn send_answer(&mut self, node: usize, attempt: u64, request: usize, answer: Answer) {
        let gateway = self.history.requests[request].gateway;
        if let Some(held) = self.cut.get_mut(&(gateway, node)) {
            return held.answers.push((attempt, request, answer));
        }
        let event = Event::AnswerAtGateway { gateway, attempt, answer };
        self.plan_on_way((100 + node, gateway), event);
    }

    pub(super) fn answer_at_gateway(&mut self, gateway: usize, attempt: u64, answer: Answer) {
        let Some(own) = self.gateways[gateway].under_way.remove(&attempt) else { return };
        self.close_request(gateway, own.request, answer);
        self.end_stay(gateway, own);
    }

    fn end_stay(&mut self, gateway: usize, own: UnderWay) {
        let (_, shard) = self.place_of(own.request);
        let Some(stay) = own.stay else { return };
        if self.gateways[gateway].homes.end(&stay) {
            self.look(gateway, shard);
        }
    }

    /// The deadline of a request has come.
    pub(super) fn gateway_waited(&mut self, request: usize) {
        let (gateway, shard) = self.place_of(request);
        if !self.gateways[gateway].open.contains(&request) {
            return;
        }
        self.close_request(gateway, request, Answer::TimedOut);
        let own = &mut self.gateways[gateway];
        let places = own.places.entry(shard).or_default();
        if let Some(found) = places.iter().position(|(_, other)| *other == request) {
            if let Some((place, _)) = places.remove(found) {
                own.homes.leave(&place);
            }
            return self.look(gateway, shard);
        }
        let found = own.under_way.iter().find(|(_, under)| under.request == request);
        let Some(attempt) = found.map(|(attempt, _)| *attempt) else { return };
        if let Some(own) = self.gateways[gateway].under_way.remove(&attempt) {
            self.end_stay(gateway, own);
        }
    }

    fn close_request(&mut self, gateway: usize, request: usize, answer: Answer) {
        if self.gateways[gateway].open.remove(&request) {
            self.tell_caller(request, answer);
        }
    }

    fn tell_caller(&mut self, request: usize, answer: Answer) {
        self.history.told.push(Answered { request, answer, at: self.now });
        let delay = self.micros(100, 400);
        self.plan(delay, Event::AtCaller { request, answer });
    }

    // Who is there.

    /// A gateway hears nothing of a node any more.
    pub(super) fn lost(&mut self, gateway: usize, node: usize) {
        let is_there = self.is_linked(gateway, node) || !self.gateways[gateway].connected[node];
        if is_there || !self.gateways[gateway].is_up {
            return;
        }
        self.gateways[gateway].connected[node] = false;
        self.plan_at_node(node, Duration::ZERO, AtNode::Gone { gateway });
        self.tell_nodes(gateway);
        let own = &mut self.gateways[gateway];
        let is_there = |under: &UnderWay| under.node == node;
        let attempts: Vec<u64> =
            own.under_way.iter().filter(|(_, under)| is_there(under)).map(|(attempt, _)| *attempt).collect();
        let lost: Vec<UnderWay> =
            attempts.iter().filter_map(|attempt| own.under_way.remove(attempt)).collect();
        let mut again = Vec::new();
        for own in lost {
            let is_numbered = self.history.requests[own.request].asked.step.is_some();
            if is_numbered || self.scenario.plant == Some(Plant::ResendsUnnumbered) {
                again.push(own);
            } else {
                self.close_request(gateway, own.request, Answer::Lost);
                if let Some(stay) = own.stay {
                    self.gateways[gateway].homes.end(&stay);
                }
            }
        }
        self.history.resent += again.len() as u64;
        again.into_iter().for_each(|own| self.send_again(gateway, own));
        self.look_everywhere(gateway);
    }

    /// Sends a request again that was lost with its node, before those that came after it.
    fn send_again(&mut self, gateway: usize, own: UnderWay) {
        let (_, shard) = self.place_of(own.request);
        let is_last = self.scenario.plant == Some(Plant::AgainLast);
        let Some(stay) = own.stay.as_ref().filter(|_| !is_last) else {
            if let Some(stay) = own.stay {
                self.gateways[gateway].homes.end(&stay);
            }
            return self.route(own.request);
        };
        let place = self.gateways[gateway].homes.again(stay);
        let places = self.gateways[gateway].places.entry(shard).or_default();
        let before = places.partition_point(|(_, other)| *other < own.request);
        places.insert(before, (place, own.request));
    }

    /// A gateway hears of a node again.
    pub(super) fn found(&mut self, gateway: usize, node: usize) {
        if self.gateways[gateway].is_up && self.is_linked(gateway, node) {
            self.gateways[gateway].connected[node] = true;
            self.tell_nodes(gateway);
            self.look_everywhere(gateway);
        }
    }

    /// A gateway hears from the registry whether a node is a member.
    pub(super) fn listed(&mut self, gateway: usize, node: usize, is_listed: bool) {
        self.gateways[gateway].listed[node] = is_listed;
        if self.gateways[gateway].is_up {
            self.tell_nodes(gateway);
            self.look_everywhere(gateway);
        }
    }

    /// A gateway tells its nodes which it sees; each hears it in its own time.
    pub(super) fn tell_nodes(&mut self, gateway: usize) {
        let seen = self.gateways[gateway].members();
        let members: Vec<(NodeId, f64)> =
            seen.iter().map(|&node| (self.machines[node].name.clone(), 1.0)).collect();
        for node in 0..self.machines.len() {
            if self.gateways[gateway].connected[node] {
                let after = self.millis(1, 300);
                let members = members.clone();
                self.plan_at_node(node, after, AtNode::Seen { gateway, members });
            }
        }
    }

    pub(super) fn gateway_down(&mut self, gateway: usize) {
        let own = &mut self.gateways[gateway];
        let listed = own.listed.clone();
        *own = Gateway { is_up: false, listed, ..Gateway::new(self.machines.len()) };
        for node in 0..self.machines.len() {
            self.plan_at_node(node, Duration::from_millis(1), AtNode::Gone { gateway });
        }
    }

    pub(super) fn gateway_up(&mut self, gateway: usize) {
        self.gateways[gateway].is_up = true;
        self.gateways[gateway].connected =
            (0..self.machines.len()).map(|node| self.is_linked(gateway, node)).collect();
        self.tell_nodes(gateway);
    }

    // Helpers.

    /// The gateway of a request, and its shard.
    fn place_of(&self, request: usize) -> (usize, u16) {
        let own = &self.history.requests[request];
        (own.gateway, self.shards[self.history.ops[own.op].sequence])
    }

    /// The owner of a shard, by what a gateway sees.
    fn owner(&self, gateway: usize, shard: u16) -> Option<usize> {
        let seen = self.gateways[gateway].members();
        let members: Vec<Member<'_>> =
            seen.iter().map(|&node| Member { id: &self.machines[node].name.0, weight: 1.0 }).collect();
        let owner = keepers(shard, &members)?.owner;
        seen.iter().copied().find(|&node| *self.machines[node].name.0 == *owner)
    }

    /// Whether the node to which a shard's steps went last is gone.
    fn is_home_gone(&self, gateway: usize, shard: u16) -> bool {
        let own = &self.gateways[gateway];
        let home = own.homes.of(shard);
        let node = home.and_then(|home| self.machines.iter().position(|machine| machine.name == *home));
        node.is_some_and(|node| !own.connected[node])
    }
}
