//! The process of a control: what it does with what reaches it, as `spinwell-control` does.

use super::history::PlanId;
use super::scenario::{Plant, Wish};
use super::store::{Answer, Ask, Change, Kind, Stored};
use spinwell_core::{Caller, Millis, NodeId, UnixMillis};
use spinwell_policy::leadership::{self, Leadership, Terms};
use spinwell_policy::rolling::{self, Absences, Next, Rolling, Seen, Then};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the leader looks at the plan and the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a node says with a beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) life: u64,
    pub(super) is_leaving: bool,
    pub(super) gateways: Vec<(usize, u64)>,
}

/// What reaches a control's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// It is time to ask for the lease.
    Renew,
    /// It is time to look at the plans.
    Look,
    /// The store has answered, or did not in time.
    Answered { call: u64, answer: Option<Answer> },
    /// A node has answered an order, or did not in time.
    Obeyed { order: usize },
    /// A node tells of itself.
    Beat { node: usize, beat: Beat },
    /// The connection to a node in that life is lost.
    Lost { node: usize, life: u64 },
    /// The registry has a node, or has it no more.
    Listed { node: usize, is_listed: bool },
    /// An operator wants something, or nodes are looked after no more.
    Wish(Wish),
    /// It is to stop, and gives the lease back.
    Resign,
}

/// What a control's process wants done.
#[derive(Debug)]
pub(super) enum Do {
    Call { call: u64, ask: Ask },
    Order { plan: PlanId, generation: u64, node: usize, life: u64 },
    Later(Duration, Message),
}

/// What the loop that carries plans out waits for.
#[derive(Debug)]
enum Work {
    /// Its next look.
    Rests,
    /// The newest retirement, as the leader of a generation.
    Reads { call: u64, generation: u64 },
    /// The newest restart, after that.
    ReadsOn { call: u64, generation: u64, retirement: Option<Stored> },
    /// That a plan was written.
    Writes { call: u64 },
    /// That a node takes notice.
    Orders,
}

#[derive(Debug)]
pub(super) struct Process {
    /// By what the store knows it.
    holder: u64,
    plant: Option<Plant>,
    pub(super) leadership: Leadership,
    lease: Option<(u64, leadership::Ask)>,
    work: Work,
    members: BTreeMap<usize, Option<Beat>>,
    absences: Absences,
    calls: u64,
    /// The moment by its own clocks.
    now: Instant,
    wall: UnixMillis,
    pub(super) out: Vec<Do>,
}

impl Process {
    /// A process that knows which nodes the registry has.
    pub(super) fn new(holder: u64, members: &[usize], plant: Option<Plant>, now: Instant) -> Self {
        let members = members.iter().map(|node| (*node, None)).collect();
        let leadership = Leadership::new(Terms::default());
        Self {
            holder,
            plant,
            leadership,
            lease: None,
            work: Work::Rests,
            members,
            absences: Absences::default(),
            calls: 0,
            now,
            wall: UnixMillis(0),
            out: Vec::new(),
        }
    }

    /// It is that late, by its clocks.
    pub(super) fn at(&mut self, now: Instant, wall: UnixMillis) -> &mut Self {
        (self.now, self.wall) = (now, wall);
        self
    }

    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Renew => {
                let ask = self.leadership.ask(self.now);
                let call = self.call(Ask::Take { holder: self.holder, length: Terms::default().length });
                self.lease = Some((call, ask));
            }
            Message::Look => self.look(),
            Message::Answered { call, answer } => self.answered(call, answer),
            Message::Obeyed { .. } if matches!(self.work, Work::Orders) => self.rest(),
            Message::Obeyed { .. } => {}
            Message::Beat { node, beat } => {
                if let Some(known) = self.members.get_mut(&node)
                    && known.as_ref().is_none_or(|known| known.life <= beat.life)
                {
                    *known = Some(beat);
                }
            }
            Message::Lost { node, life } => {
                let known = self.members.get_mut(&node);
                let lost = known.filter(|known| known.as_ref().is_some_and(|known| known.life == life));
                lost.into_iter().for_each(|known| *known = None);
            }
            Message::Listed { node, is_listed: true } => drop(self.members.entry(node).or_default()),
            Message::Listed { node, is_listed: false } => drop(self.members.remove(&node)),
            Message::Wish(wish) => self.wish(wish),
            Message::Resign => {
                self.leadership.resign();
                self.call(Ask::Release { holder: self.holder });
            }
        }
    }

    fn call(&mut self, ask: Ask) -> u64 {
        self.calls += 1;
        self.out.push(Do::Call { call: self.calls, ask });
        self.calls
    }

    fn answered(&mut self, call: u64, answer: Option<Answer>) {
        if let Some((_, ask)) = self.lease.take_if(|(own, _)| *own == call) {
            self.out.push(Do::Later(Terms::default().renew_every, Message::Renew));
            let Some(Answer::Lease(taken)) = answer else { return };
            let late = self.plant == Some(Plant::CountsFromAnswer);
            let ask = if late { self.leadership.ask(self.now) } else { ask };
            let answer = taken.map_or(leadership::Answer::Denied, leadership::Answer::Granted);
            return self.leadership.answered(ask, answer);
        }
        match (std::mem::replace(&mut self.work, Work::Rests), answer) {
            (Work::Reads { call: own, generation }, answer) if own == call => {
                let Some(Answer::Newest(retirement)) = answer else { return self.rest() };
                let call = self.call(Ask::Newest(Kind::Restart));
                self.work = Work::ReadsOn { call, generation, retirement };
            }
            (Work::ReadsOn { call: own, generation, retirement }, answer) if own == call => {
                let Some(Answer::Newest(restart)) = answer else { return self.rest() };
                let under_way = [retirement, restart].into_iter().flatten().filter(|plan| !plan.is_over);
                self.advance(generation, &under_way.collect::<Vec<_>>());
            }
            (Work::Writes { call: own }, _) if own == call => self.rest(),
            (other, _) => self.work = other,
        }
    }

    // Plans.

    fn rest(&mut self) {
        self.work = Work::Rests;
        self.out.push(Do::Later(LOOK_EVERY, Message::Look));
    }

    fn look(&mut self) {
        let Some(generation) = self.leadership.generation(self.now) else { return self.rest() };
        let call = self.call(Ask::Newest(Kind::Retirement));
        self.work = Work::Reads { call, generation };
    }

    /// Does the one next thing.
    fn advance(&mut self, generation: u64, under_way: &[Stored]) {
        let Some(stored) = rolling::due(under_way, |stored| stored.kept.plan.is_midway()) else {
            return self.rest();
        };
        let mut seen = self.seen();
        self.absences.note(&mut seen, self.wall);
        if self.plant == Some(Plant::GoneUnseen) {
            let unseen = seen.iter_mut().filter(|node| node.life.is_none());
            unseen.for_each(|node| node.away = Millis(u64::MAX));
        }
        match stored.kept.next(generation, &seen, self.wall) {
            Next::Become(plan) if plan.stuck.is_some() && self.plant == Some(Plant::NeverStuck) => {
                self.rest();
            }
            Next::Become(plan) => {
                let change = Change { generation, id: stored.id, revision: stored.revision, plan };
                let call = self.call(Ask::Change(change));
                self.work = Work::Writes { call };
            }
            Next::Drain(node, life) if self.may_order(generation) => {
                let (plan, node) = (stored.id, number(&node));
                self.out.push(Do::Order { plan, generation, node, life });
                self.work = Work::Orders;
            }
            Next::Drain(..) | Next::Wait => self.rest(),
        }
    }

    /// The store may have taken its time.
    fn may_order(&self, generation: u64) -> bool {
        self.plant == Some(Plant::OrdersUntimed) || self.leadership.generation(self.now) == Some(generation)
    }

    /// The nodes, as this control sees them.
    fn seen(&self) -> Vec<Seen> {
        let seen = |(node, beat): (&usize, &Option<Beat>)| {
            let beat = beat.as_ref();
            let is_leaving = beat.is_some_and(|beat| beat.is_leaving);
            let all =
                |gateways: &Vec<(usize, u64)>| gateways.iter().filter_map(|own| self.caller(*own)).collect();
            Seen {
                id: id(*node),
                is_serving: beat.is_some() && !is_leaving,
                is_leaving,
                life: beat.map(|beat| beat.life),
                gateways: beat.map(|beat| all(&beat.gateways)),
                away: Millis(0),
            }
        };
        self.members.iter().map(seen).collect()
    }

    fn caller(&self, (gateway, life): (usize, u64)) -> Option<Caller> {
        let is_seen = self.plant != Some(Plant::SeesOneGateway) || gateway == 0;
        is_seen.then(|| Caller { name: format!("g{gateway}"), life: Some(life) })
    }

    fn wish(&mut self, Wish { then, nodes, patience }: Wish) {
        let known =
            |node: &usize| self.members.get(node).is_some_and(|beat| beat.is_some() || then == Then::Anew);
        let nodes: Vec<NodeId> = nodes.iter().filter(|node| known(node)).map(|node| id(*node)).collect();
        let (kind, least) = match then {
            Then::Anew => (Kind::Restart, 2),
            Then::Gone => (Kind::Retirement, 1),
        };
        if nodes.len() >= least {
            self.call(Ask::Begin(kind, Rolling::new(then, nodes, patience, self.wall)));
        }
    }
}

fn id(node: usize) -> NodeId {
    NodeId(format!("n{node}").into())
}

/// The number in a node's name.
pub(super) fn number(id: &NodeId) -> usize {
    id.0[1..].parse().unwrap_or_default()
}
