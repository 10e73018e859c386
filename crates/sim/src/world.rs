//! The cluster, and the loop that lets it happen.

use crate::agenda::Agenda;
use crate::gateway::{Gateway, REPORT_PERIOD, Sent};
use crate::history::{History, Outcome, Word};
use crate::node::{Node, Process};
use crate::scenario::{Fault, Plant, Scenario};
use spinwell_core::{NodeId, Rng};
use spinwell_policy::attempts::{Course, CourseOptions, End, GiveUp, Next, Patience};
use spinwell_policy::balance::Report;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

const BEAT_PERIOD: Duration = Duration::from_millis(200);
/// What a report takes beyond the network.
const REPORT_DELAY: Duration = Duration::from_millis(20);
/// The registry tells of withdrawals within this time.
const REGISTRY_MAX: Duration = Duration::from_millis(500);
/// How long a node that drains goes on accepting, so that everybody has heard of it.
const DRAIN_ACCEPTS: Duration = Duration::from_secs(2);
/// How long after the last request a run goes on at most: what has no outcome then never gets one.
const AFTER_MAX: Duration = Duration::from_secs(30);
/// Rows of a request, and how often it has so many.
const ROWS: [(usize, f64); 2] = [(64, 0.9), (256, 0.1)];

/// Rows of a request on average.
#[must_use]
pub(crate) fn rows_mean() -> f64 {
    ROWS.iter().map(|&(rows, share)| rows as f64 * share).sum()
}

#[derive(Debug)]
enum Event {
    Arrival,
    AtNode { attempt: u64 },
    BatchEnds { node: usize, batch: u64, life: u64 },
    Expire { node: usize },
    Leave { attempt: u64, node: usize, rows: usize },
    Answer { attempt: u64, end: End },
    GiveUp { attempt: u64 },
    Hedge { attempt: u64 },
    Again { request: usize, end: End, wait: u64 },
    Deadline { request: usize },
    Report { node: usize },
    ReportAt { gateway: usize, node: usize, report: Report, made: Instant },
    Beat { node: usize },
    BeatAt { gateway: usize, node: usize, life: u64 },
    Fault(Fault),
    Heard { gateway: usize, node: usize, life: u64, word: Word },
    Exit { node: usize },
}

#[derive(Debug)]
struct Request {
    gateway: usize,
    rows: usize,
    came: Instant,
    course: Course,
    /// Its attempts that have not ended.
    under_way: Vec<u64>,
    /// How often it has waited for the budget; what it waited for is void when something else happens.
    waits: u64,
}

#[derive(Debug)]
struct Attempt {
    request: usize,
    gateway: usize,
    node: usize,
    rows: usize,
    deadline: Instant,
    sent: Sent,
    at: Instant,
    is_retry: bool,
}

struct World<'a> {
    scenario: &'a Scenario,
    zero: Instant,
    now: Instant,
    agenda: Agenda<Event>,
    names: Vec<NodeId>,
    places: HashMap<NodeId, usize>,
    nodes: Vec<Node>,
    gateways: Vec<Gateway>,
    /// Links that are cut: gateway, node.
    cut: BTreeSet<(usize, usize)>,
    /// When each gateway hears the newest word of each node: words do not overtake each other.
    words: BTreeMap<(usize, usize), Duration>,
    requests: HashMap<usize, Request>,
    attempts: HashMap<u64, Attempt>,
    /// Rows of attempts that a node may still hold; an attempt can be given up before its node hears of it.
    rows: HashMap<u64, usize>,
    attempts_sent: u64,
    arrivals: Rng,
    network: Rng,
    history: History,
}

/// Runs a scenario to its end.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "any instant will do as the virtual clock's zero")]
pub fn run(scenario: &Scenario) -> History {
    let mut world = World::new(scenario, Instant::now());
    world.begin();
    while let Some((at, event)) = world.agenda.next() {
        world.now = world.zero + at;
        world.history.ended = at;
        let is_over = at >= scenario.length() && world.requests.is_empty() && world.attempts.is_empty();
        if is_over || at >= scenario.length() + AFTER_MAX {
            break;
        }
        world.happen(event);
    }
    world.end()
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, zero: Instant) -> Self {
        let seed = Rng::seeded(scenario.seed);
        let names: Vec<NodeId> =
            (0..scenario.nodes.len()).map(|node| NodeId(format!("n{node:03}").into())).collect();
        let specs = scenario.nodes.iter().enumerate();
        let nodes = specs
            .map(|(node, &spec)| Node::new(spec, scenario.plant, seed.fork(1_000 + node as u64), zero))
            .collect();
        let gateways = (0..scenario.gateways as u64)
            .map(|gateway| Gateway::new(scenario, &names, seed.fork(100 + gateway), zero))
            .collect();
        Self {
            scenario,
            zero,
            now: zero,
            agenda: Agenda::new(),
            places: names.iter().cloned().zip(0..).collect(),
            names,
            nodes,
            gateways,
            cut: BTreeSet::new(),
            words: BTreeMap::new(),
            requests: HashMap::new(),
            attempts: HashMap::new(),
            rows: HashMap::new(),
            attempts_sent: 0,
            arrivals: seed.fork(1),
            network: seed.fork(2),
            history: History::default(),
        }
    }

    fn begin(&mut self) {
        for &(at, fault) in &self.scenario.faults {
            self.agenda.plan(at, Event::Fault(fault));
        }
        for node in 0..self.nodes.len() {
            // Nodes did not start in the same millisecond.
            let offset = self.network.uniform();
            self.agenda.plan(REPORT_PERIOD.mul_f64(offset), Event::Report { node });
            self.agenda.plan(BEAT_PERIOD.mul_f64(offset), Event::Beat { node });
        }
        self.plan_arrival();
    }

    fn end(mut self) -> History {
        let nodes = &self.nodes;
        self.history.queue_len_max = nodes.iter().map(|node| node.queue_len_max).collect();
        self.history.busy = nodes.iter().map(|node| node.busy).collect();
        let in_flight: f64 = self.gateways.iter().map(|gateway| gateway.rows_in_flight(&self.names)).sum();
        let retries: u64 = self.gateways.iter().map(|gateway| gateway.budget.retries_under_way()).sum();
        self.history.left_over =
            in_flight as u64 + retries + self.requests.len() as u64 + self.attempts.len() as u64;
        self.history
    }

    #[allow(clippy::needless_pass_by_value, reason = "an event happens once")]
    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::AtNode { attempt } => self.at_node(attempt),
            Event::BatchEnds { node, batch, life } => self.batch_ends(node, batch, life),
            Event::Expire { node } => {
                let rows = &self.rows;
                let expired =
                    self.nodes[node].expire(|attempt| rows.get(&attempt).copied().unwrap_or(0), self.now);
                self.answer(node, &expired, End::BackPressure);
            }
            Event::Leave { attempt, node, rows } => {
                self.nodes[node].leave(attempt, rows, self.now);
                self.rows.remove(&attempt);
            }
            Event::Answer { attempt, end } => self.attempt_ends(attempt, end),
            Event::GiveUp { attempt } => self.give_up(attempt),
            Event::Hedge { attempt } => self.hedge(attempt),
            Event::Again { request, end, wait } => {
                if self.requests.get(&request).is_some_and(|request| request.waits == wait) {
                    self.go_on(request, end);
                }
            }
            Event::Deadline { request } => self.close(request, Outcome::Late),
            Event::Report { node } => self.report(node),
            Event::ReportAt { gateway, node, report, made } => {
                self.gateways[gateway].report(&self.names[node], report, made, self.now);
            }
            Event::Beat { node } => self.beat(node),
            Event::BeatAt { gateway, node, life } => {
                self.gateways[gateway].beat(&self.names[node], life, self.now);
            }
            Event::Fault(fault) => self.fault(fault),
            Event::Heard { gateway, node, life, word } => self.hear(gateway, node, life, word),
            Event::Exit { node } => self.exit(node),
        }
    }

    // The load.

    fn plan_arrival(&mut self) {
        let at = self.since_start();
        let rate = self.scenario.load.iter().find(|(until, _)| at < *until).map(|&(_, rate)| rate);
        let Some(rate) = rate else { return };
        let gap = -(1.0 - self.arrivals.uniform()).ln() / rate.max(1e-3);
        self.agenda.plan(at + Duration::from_secs_f64(gap.min(1.0)), Event::Arrival);
    }

    fn arrive(&mut self) {
        if self.since_start() >= self.scenario.length() {
            return;
        }
        let gateway = self.arrivals.below(self.gateways.len() as u64) as usize;
        let is_long = self.arrivals.uniform() >= ROWS[0].1;
        let rows = ROWS[usize::from(is_long)].0;
        self.plan_arrival();
        let request = self.history.outcomes.len();
        self.history.outcomes.push(Vec::new());
        let course = Course::new(CourseOptions::default(), self.now + self.scenario.deadline);
        self.requests.insert(
            request,
            Request { gateway, rows, came: self.now, course, under_way: Vec::new(), waits: 0 },
        );
        self.plan_in(self.scenario.deadline, Event::Deadline { request });
        self.gateways[gateway].budget.begin(self.now);
        self.send(request, false);
    }

    // A gateway's side.

    fn send(&mut self, number: usize, is_retry: bool) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        let gateway = request.gateway;
        let sent = self.gateways[gateway].send(request.rows, &request.course, self.now);
        let Some(sent) = sent else {
            let was_tried = request.course.attempts() > 0;
            if is_retry {
                self.gateways[gateway].budget.end_retry();
            }
            if request.under_way.is_empty() {
                self.close(number, if was_tried { Outcome::Failed } else { Outcome::Refused });
            }
            return;
        };
        request.course.begin(sent.node.clone());
        let node = self.places[&sent.node];
        self.attempts_sent += 1;
        let attempt = self.attempts_sent;
        let (rows, deadline) = (request.rows, request.course.deadline());
        let is_again = request.course.attempts() > 1;
        let Patience { limit, hedge, .. } = sent.patience;
        request.under_way.push(attempt);
        self.history.sent.push((self.since_start(), gateway, node));
        self.history.retries += u64::from(is_again);
        self.history.fell_back += u64::from(sent.fell_back);
        self.rows.insert(attempt, rows);
        let own = Attempt { request: number, gateway, node, rows, deadline, sent, at: self.now, is_retry };
        self.attempts.insert(attempt, own);
        self.plan_in(limit, Event::GiveUp { attempt });
        if let Some(hedge) = hedge {
            self.plan_in(hedge, Event::Hedge { attempt });
        }
        if !self.cut.contains(&(gateway, node)) {
            let delay = self.delay();
            self.plan_in(delay, Event::AtNode { attempt });
        }
    }

    /// Nothing was heard of an attempt.
    fn give_up(&mut self, attempt: u64) {
        let Some(own) = self.attempts.get(&attempt) else { return };
        let (node, rows) = (own.node, own.rows);
        let is_late = own.sent.patience.blames;
        self.history.timeouts += u64::from(is_late);
        let delay = self.delay();
        self.plan_in(delay, Event::Leave { attempt, node, rows });
        if self.scenario.plant == Some(Plant::AnswersTwice) && is_late {
            self.close_again(attempt);
        }
        self.attempt_ends(attempt, if is_late { End::TimedOut } else { End::ClientError });
    }

    /// An attempt takes so long that another node is asked beside it.
    fn hedge(&mut self, attempt: u64) {
        if let Some(own) = self.attempts.get(&attempt) {
            self.go_on(own.request, End::TimedOut);
        }
    }

    /// Its request has had its answer: the node need not go on.
    fn drop_attempt(&mut self, attempt: u64) {
        let Some(own) = self.attempts.remove(&attempt) else { return };
        let Attempt { gateway, node, rows, sent, at, is_retry, .. } = own;
        let took = self.now.saturating_duration_since(at);
        self.gateways[gateway].overtaken(sent, took, self.now);
        if is_retry && self.scenario.plant != Some(Plant::UnboundedRetries) {
            self.gateways[gateway].budget.end_retry();
        }
        let delay = self.delay();
        self.plan_in(delay, Event::Leave { attempt, node, rows });
    }

    /// The planted bug: an answer that comes too late is sent to the caller all the same.
    fn close_again(&mut self, attempt: u64) {
        let Some(own) = self.attempts.get(&attempt) else { return };
        let took = self.now.saturating_duration_since(own.at);
        self.history.outcomes[own.request].push(Outcome::Answered(took));
    }

    fn attempt_ends(&mut self, attempt: u64, end: End) {
        let Some(own) = self.attempts.remove(&attempt) else { return };
        let Attempt { request, gateway, sent, at, is_retry, .. } = own;
        let took = self.now.saturating_duration_since(at);
        self.gateways[gateway].end(sent, end, took, self.now);
        if is_retry && self.scenario.plant != Some(Plant::UnboundedRetries) {
            self.gateways[gateway].budget.end_retry();
        }
        if let Some(request) = self.requests.get_mut(&request) {
            request.under_way.retain(|other| *other != attempt);
        }
        self.go_on(request, end);
    }

    /// What becomes of a request after an attempt.
    fn go_on(&mut self, number: usize, end: End) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        request.waits += 1;
        let (wait, is_alone) = (request.waits, request.under_way.is_empty());
        let gateway = &mut self.gateways[request.gateway];
        let usual = gateway.usual();
        let mut next = request.course.next(end, usual, self.now, &mut gateway.budget);
        if self.scenario.plant == Some(Plant::UnboundedRetries) && end != End::Answered {
            if next == Next::Retry {
                gateway.budget.end_retry();
            }
            next = if request.course.attempts() < 64 { Next::Retry } else { next };
        }
        match next {
            Next::Done => {
                let took = self.now.saturating_duration_since(request.came);
                std::mem::take(&mut request.under_way)
                    .into_iter()
                    .for_each(|attempt| self.drop_attempt(attempt));
                self.close(number, Outcome::Answered(took));
            }
            Next::Retry => self.send(number, true),
            Next::Wait(_) if self.scenario.plant == Some(Plant::ForgetsWaiting) => {
                self.requests.remove(&number);
            }
            Next::Wait(long) => self.plan_in(long, Event::Again { request: number, end, wait }),
            Next::GiveUp(why) if why != GiveUp::ClientError && !is_alone => {}
            Next::GiveUp(_) => {
                let is_full = end == End::BackPressure;
                self.close(number, if is_full { Outcome::Refused } else { Outcome::Failed });
            }
        }
    }

    fn close(&mut self, number: usize, outcome: Outcome) {
        if let Some(request) = self.requests.remove(&number) {
            self.gateways[request.gateway].budget.end();
            self.history.outcomes[number].push(outcome);
        }
    }

    fn hear(&mut self, gateway: usize, node: usize, life: u64, word: Word) {
        self.history.heard.push((self.since_start(), gateway, node, word));
        match word {
            Word::Withdrawn => self.gateways[gateway].withdraw(&self.names[node]),
            Word::Joined => self.gateways[gateway].join(&self.names[node], life, self.now),
        }
    }

    // A node's side.

    fn at_node(&mut self, attempt: u64) {
        // A request that was given up on its way is not sent any more.
        let Some(own) = self.attempts.get(&attempt) else { return };
        let (place, rows, deadline) = (own.node, own.rows, own.deadline);
        let node = &mut self.nodes[place];
        if node.process == Process::Exited {
            self.history.met_exited.push(place);
        }
        if !node.is_up() {
            return self.answer(place, &[attempt], End::Refused);
        }
        if node.is_frozen || node.chance(node.hangs) {
            return;
        }
        if node.chance(node.errors) {
            return self.answer(place, &[attempt], End::Failed);
        }
        if node.push(attempt, rows, deadline, self.now).is_err() {
            return self.answer(place, &[attempt], End::BackPressure);
        }
        self.plan_in(deadline.saturating_duration_since(self.now), Event::Expire { node: place });
        self.work(place);
    }

    /// Lets free executors take batches.
    fn work(&mut self, place: usize) {
        loop {
            let rows = &self.rows;
            let rows_of = |attempt| rows.get(&attempt).copied().unwrap_or(0);
            let Some(begun) = self.nodes[place].take(rows_of, self.now) else { break };
            self.answer(place, &begun.refused, End::BackPressure);
            if let Some((batch, takes)) = begun.batch {
                let life = self.nodes[place].life;
                self.plan_in(takes, Event::BatchEnds { node: place, batch, life });
            }
        }
    }

    fn batch_ends(&mut self, node: usize, batch: u64, life: u64) {
        if self.nodes[node].life != life || !self.nodes[node].is_up() {
            return;
        }
        if self.nodes[node].is_frozen {
            return self.plan_in(BEAT_PERIOD, Event::BatchEnds { node, batch, life });
        }
        let answered = self.nodes[node].end(batch, self.now);
        self.answer(node, &answered, End::Answered);
        self.work(node);
    }

    /// Sends answers back, where the way is free.
    fn answer(&mut self, node: usize, attempts: &[u64], end: End) {
        for &attempt in attempts {
            self.rows.remove(&attempt);
            let Some(own) = self.attempts.get(&attempt) else { continue };
            let is_heard = !self.cut.contains(&(own.gateway, node)) && !self.nodes[node].is_frozen;
            if is_heard {
                let delay = self.delay();
                self.plan_in(delay, Event::Answer { attempt, end });
            }
        }
    }

    fn report(&mut self, node: usize) {
        self.plan_in(REPORT_PERIOD, Event::Report { node });
        if !self.nodes[node].is_up() || self.nodes[node].is_frozen {
            return;
        }
        let (report, made) = (self.nodes[node].report(self.now), self.now);
        for gateway in self.linked(node) {
            let delay = REPORT_DELAY + self.delay();
            self.plan_in(delay, Event::ReportAt { gateway, node, report, made });
        }
    }

    fn beat(&mut self, node: usize) {
        self.plan_in(BEAT_PERIOD, Event::Beat { node });
        if !self.nodes[node].is_up() || self.nodes[node].is_frozen {
            return;
        }
        let life = self.nodes[node].life;
        for gateway in self.linked(node) {
            let delay = self.delay();
            self.plan_in(delay, Event::BeatAt { gateway, node, life });
        }
    }

    /// A node that drains exits when it has nothing left and everybody has heard.
    fn exit(&mut self, node: usize) {
        if self.nodes[node].process != Process::Draining {
            return;
        }
        let heard = self.history.heard.iter().rev().find(|heard| heard.2 == node).map(|heard| heard.0);
        let has_been_heard = heard.is_some_and(|heard| self.since_start() >= heard + DRAIN_ACCEPTS);
        if has_been_heard && self.nodes[node].is_idle() {
            self.nodes[node].stop(Process::Exited, self.now);
        } else {
            self.plan_in(Duration::from_millis(100), Event::Exit { node });
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Slow(node, factor) => self.nodes[node].slow = factor,
            Fault::Errors(node, share) => self.nodes[node].errors = share,
            Fault::Hangs(node, share) => self.nodes[node].hangs = share,
            Fault::Freeze(node) => self.nodes[node].is_frozen = self.nodes[node].is_up(),
            Fault::Thaw(node) => {
                self.nodes[node].is_frozen = false;
                self.work(node);
            }
            Fault::Cut(gateway, node) => {
                self.cut.insert((gateway, node));
            }
            Fault::Mend(gateway, node) => {
                self.cut.remove(&(gateway, node));
            }
            Fault::Crash(node) if self.nodes[node].is_up() => {
                let lost = self.nodes[node].stop(Process::Crashed, self.now);
                self.answer(node, &lost, End::Failed);
            }
            Fault::Start(node) if !self.nodes[node].is_up() => {
                self.nodes[node].start(self.now);
                if std::mem::take(&mut self.nodes[node].has_withdrawn) {
                    self.tell(node, Word::Joined);
                }
            }
            Fault::Drain(node) if self.nodes[node].process == Process::Running => {
                self.nodes[node].process = Process::Draining;
                self.nodes[node].has_withdrawn = true;
                self.tell(node, Word::Withdrawn);
                self.plan_in(REGISTRY_MAX + DRAIN_ACCEPTS, Event::Exit { node });
            }
            Fault::Crash(_) | Fault::Start(_) | Fault::Drain(_) => {}
        }
    }

    /// The registry tells every gateway, each in its own time.
    fn tell(&mut self, node: usize, word: Word) {
        let life = self.nodes[node].life;
        for gateway in 0..self.gateways.len() {
            let at = self.since_start() + REGISTRY_MAX.mul_f64(self.network.uniform());
            let newest = self.words.entry((gateway, node)).or_default();
            *newest = at.max(*newest);
            self.agenda.plan(*newest, Event::Heard { gateway, node, life, word });
        }
    }

    // The network and the clock.

    fn linked(&self, node: usize) -> Vec<usize> {
        (0..self.gateways.len()).filter(|&gateway| !self.cut.contains(&(gateway, node))).collect()
    }

    /// One way through the network: 0.1 to 0.3 ms.
    fn delay(&mut self) -> Duration {
        Duration::from_micros(100 + self.network.below(200))
    }

    fn since_start(&self) -> Duration {
        self.now.saturating_duration_since(self.zero)
    }

    fn plan_in(&mut self, delay: Duration, event: Event) {
        self.agenda.plan(self.since_start() + delay, event);
    }
}
