//! Which node gets a request, or several that come together, and what an answer says about its node.
//!
//! [`spinwell_policy`]'s balancer, breakers, timeouts and budget behind one lock, with a clock and randomness: what they need to
//! know comes from connections and requests, what they decide goes back to those.

use super::Member;
use super::peer::State;
use super::routes::Routes;
use spinwell_core::{ModelName, NodeId, Ratio, Rng};
use spinwell_policy::attempts::{
    Budget, BudgetOptions, Course, End, Next, Outlook, Patience, TimeoutOptions, Timeouts,
};
use spinwell_policy::balance::{self, Ask, Balancer, Begun, Report};
use spinwell_policy::breaker::{self, Breakers, Candidates, Class, Health, Permit};
use spinwell_policy::split::{self, Batch, Plan};
use spinwell_protocol::{Attempts, NodeLoad};
use spinwell_runtime::clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a router goes by.
#[derive(Debug, Clone)]
pub(crate) struct RouterOptions {
    /// How nodes are chosen.
    pub(crate) routes: Routes,
    /// How often nodes say how busy they are.
    pub(crate) beat: Duration,
    /// How long one may be silent.
    pub(crate) silence: Duration,
    /// By when a request must be somewhere else.
    pub(crate) failover: Duration,
    /// Where the randomness begins.
    pub(crate) seed: u64,
}

/// Decides for all requests of a gateway.
pub(crate) struct Router(Mutex<Inner>);

struct Inner {
    balancer: Balancer,
    breakers: Breakers,
    budget: Budget,
    timeouts: Timeouts,
    routes: Routes,
    rng: Rng,
    /// The life of each node's process.
    lives: BTreeMap<NodeId, u64>,
    /// The newest sign of life of each node: when it came, and how long rows had been there in all.
    beats: BTreeMap<NodeId, (Instant, u64)>,
    attempts: Attempts,
}

/// A request that wants a node.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// What was tried for it.
    pub(crate) course: &'a mut Course,
    /// Rows in it.
    pub(crate) rows: usize,
}

/// An attempt that may be made.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leave {
    permit: Permit,
    begun: Begun,
    began: Instant,
    patience: Patience,
}

impl Leave {
    /// At which node.
    pub(crate) fn node(&self) -> &NodeId {
        self.permit.node()
    }

    /// When it is given up.
    pub(crate) fn ends(&self) -> Instant {
        self.began + self.patience.limit
    }

    /// When another node is asked beside it.
    pub(crate) fn hedge(&self) -> Option<Instant> {
        self.patience.hedge.map(|hedge| self.began + hedge)
    }

    /// What it means that nothing was heard until it ended.
    pub(crate) fn silent(&self) -> End {
        if self.patience.blames { End::TimedOut } else { End::ClientError }
    }
}

impl Router {
    pub(crate) fn new(options: RouterOptions) -> Self {
        let RouterOptions { routes, beat, silence, failover, seed } = options;
        let of_balance = balance::Options { report_period: beat, ..balance::Options::default() };
        let of_timeouts = TimeoutOptions { failover, ..TimeoutOptions::default() };
        Self(Mutex::new(Inner {
            balancer: Balancer::new(of_balance),
            breakers: Breakers::new(breaker::Options { silence_max: silence }),
            budget: Budget::new(BudgetOptions::default(), clock::now()),
            timeouts: Timeouts::new(of_timeouts),
            routes,
            rng: Rng::seeded(seed),
            lives: BTreeMap::new(),
            beats: BTreeMap::new(),
            attempts: Attempts::default(),
        }))
    }

    /// A node has said what it serves, for the first time on a connection. A new life of it begins slowly, and nothing counts that was
    /// counted before; one whose connection broke is who it was.
    pub(crate) fn came(&self, member: &Member, life: u64) {
        let (inner, now) = (&mut *self.lock(), clock::now());
        inner.breakers.join(member.id.clone(), now);
        inner.breakers.beat(&member.id, now);
        if inner.lives.insert(member.id.clone(), life) != Some(life) {
            inner.balancer.restart(&member.id, now);
            inner.breakers.restart(&member.id, now);
            inner.beats.remove(&member.id);
        }
    }

    /// A node announces itself, perhaps with another weight.
    pub(crate) fn announced(&self, member: &Member) {
        let of_balance = balance::Member { weight: member.weight, cluster: member.cluster.as_str().into() };
        self.lock().balancer.join(member.id.clone(), of_balance, clock::now());
    }

    /// A node is no member any more.
    pub(crate) fn left(&self, id: &NodeId) {
        let inner = &mut *self.lock();
        inner.balancer.leave(id);
        inner.breakers.leave(id);
        inner.lives.remove(id);
        inner.beats.remove(id);
    }

    /// A node says that it is alive, and how busy.
    pub(crate) fn beat(&self, id: &NodeId, load: &NodeLoad) {
        let (inner, now) = (&mut *self.lock(), clock::now());
        inner.breakers.beat(id, now);
        let before = inner.beats.insert(id.clone(), (now, load.row_micros));
        if let Some(report) = before.and_then(|before| report(before, load, now)) {
            inner.balancer.report(id, report, now, now);
        }
    }

    /// A request begins. What counts is its end.
    pub(crate) fn begin(&self) {
        self.lock().budget.begin(clock::now());
    }

    /// A request has ended.
    pub(crate) fn end(&self) {
        self.lock().budget.end();
    }

    /// A retry has ended.
    pub(crate) fn end_retry(&self) {
        self.lock().budget.end_retry();
    }

    /// Leave for an attempt at one of these nodes, at which it was not tried yet.
    pub(crate) fn leave(&self, able: &[NodeId], wanted: Wanted<'_>, model: &ModelName) -> Option<Leave> {
        let (inner, now) = (&mut *self.lock(), clock::now());
        let candidates = inner.candidates(&wanted.course.untried(able), model, now);
        let id = match candidates.probe(wanted.course.is_fresh(), &mut inner.rng) {
            Some(probing) => probing.clone(),
            None => {
                let ask = Ask { rows: wanted.rows, strategy: inner.routes.of(model) };
                let pick = inner.balancer.pick(ask, &candidates.serving, now, &mut inner.rng)?;
                inner.attempts.fell_back += u64::from(pick.fell_back.is_some());
                pick.node
            }
        };
        inner.leave_at(id, wanted, &candidates, model, now)
    }

    /// Leave for the first attempts of requests that come together, in their order, and how they were divided over these nodes.
    /// One that there is no leave for may ask for one of its own.
    pub(crate) fn leave_all(
        &self,
        able: &[NodeId],
        wanted: Vec<Wanted<'_>>,
        model: &ModelName,
    ) -> (Vec<Option<Leave>>, Option<Plan>) {
        let (inner, now) = (&mut *self.lock(), clock::now());
        let candidates = inner.candidates(able, model, now);
        let rows: Vec<usize> = wanted.iter().map(|wanted| wanted.rows).collect();
        let batch = Batch { rows: &rows, strategy: inner.routes.of(model) };
        let plan = split::plan(&mut inner.balancer, batch, &candidates, now, &mut inner.rng);
        let fell_back = plan.as_ref().is_some_and(|plan| plan.strategy_used != batch.strategy);
        inner.attempts.fell_back += u64::from(fell_back);
        let mut nodes: Vec<Option<&NodeId>> = vec![None; rows.len()];
        for part in plan.iter().flat_map(|plan| &plan.parts) {
            part.requests.iter().for_each(|&request| nodes[request] = Some(&part.node));
        }
        let leaves = wanted.into_iter().zip(nodes);
        let leaves =
            leaves.map(|(wanted, id)| inner.leave_at(id?.clone(), wanted, &candidates, model, now)).collect();
        (leaves, plan)
    }

    /// An attempt has ended.
    pub(crate) fn ended(&self, leave: Leave, end: End, model: &ModelName) {
        let (inner, now) = (&mut *self.lock(), clock::now());
        let Leave { permit, begun, began, .. } = leave;
        let took = now.saturating_duration_since(began);
        if matches!(end, End::Answered | End::TimedOut) {
            inner.timeouts.observe(model, permit.node(), took, end == End::Answered, now);
        }
        inner.attempts.timeouts += u64::from(end == End::TimedOut);
        inner.balancer.end(begun, end.class(), now);
        match end {
            End::Refused => inner.breakers.refuse(permit, now, &mut inner.rng),
            End::BackPressure => inner.breakers.full(permit, model, now, &mut inner.rng),
            end => inner.breakers.end(permit, end.class(), now, &mut inner.rng),
        }
    }

    /// An attempt whose caller has gone: it says nothing about the node.
    pub(crate) fn dropped(&self, leave: Leave) {
        let (inner, now) = (&mut *self.lock(), clock::now());
        inner.balancer.end(leave.begun, Class::Neutral, now);
        inner.breakers.end(leave.permit, Class::Neutral, now, &mut inner.rng);
    }

    /// What becomes of a request after an attempt.
    pub(crate) fn next(&self, course: &mut Course, end: End, model: &ModelName) -> Next {
        let (inner, now) = (&mut *self.lock(), clock::now());
        let usual = inner.timeouts.usual(model);
        course.next(end, usual, now, &mut inner.budget)
    }

    /// How a node is to the breakers.
    pub(crate) fn health(&self, id: &NodeId) -> Option<Health> {
        self.lock().breakers.health(id, clock::now())
    }

    /// What was counted.
    pub(crate) fn attempts(&self) -> Attempts {
        self.lock().attempts
    }

    /// How nodes are chosen from now on, by what is changed.
    pub(crate) fn change_routes<T>(&self, change: impl FnOnce(&mut Routes) -> T) -> T {
        change(&mut self.lock().routes)
    }

    /// How nodes are chosen.
    pub(crate) fn routes(&self) -> Routes {
        self.lock().routes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that panics runs under the lock; if it ever did, a node more or less is no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Who of these nodes may get a request.
    fn candidates(&mut self, able: &[NodeId], model: &ModelName, now: Instant) -> Candidates {
        self.breakers.candidates(model, now).among(|id| able.contains(id))
    }

    /// Leave for an attempt at this node, which is one of these candidates.
    fn leave_at(
        &mut self,
        id: NodeId,
        wanted: Wanted<'_>,
        candidates: &Candidates,
        model: &ModelName,
        now: Instant,
    ) -> Option<Leave> {
        let Wanted { course, rows } = wanted;
        let is_last = candidates.count() <= 1 || course.is_last();
        let permit = self.breakers.begin(&id, now)?;
        let begun = self.balancer.begin(&id, rows, now);
        self.attempts.all += 1;
        self.attempts.retries += u64::from(course.attempts() > 0);
        let patience = self.timeouts.patience(Outlook {
            model,
            node: &id,
            left: course.deadline().saturating_duration_since(now),
            expected: self.balancer.expected(&id, rows, 0, now).unwrap_or_default(),
            is_first: course.attempts() == 0,
            is_last,
        });
        course.begin(id);
        Some(Leave { permit, begun, began: now, patience })
    }
}

/// The nodes that hold what a request needs, of those that can be asked. One that leaves is asked only where no other can be.
pub(super) fn able(states: &[(NodeId, State)], holds: impl Fn(&State) -> bool) -> Vec<NodeId> {
    let able = || states.iter().filter(|(_, state)| holds(state));
    let stay: Vec<NodeId> = able().filter(|(_, state)| !state.is_leaving).map(|(id, _)| id.clone()).collect();
    if stay.is_empty() { able().map(|(id, _)| id.clone()).collect() } else { stay }
}

/// What a node's load means to the balancer, by what it said before.
fn report(before: (Instant, u64), load: &NodeLoad, now: Instant) -> Option<Report> {
    let (at, row_micros) = before;
    let while_ =
        u64::try_from(now.saturating_duration_since(at).as_micros()).ok().filter(|micros| *micros > 0)?;
    // A node that began anew counts from zero.
    let more = load.row_micros.checked_sub(row_micros)?;
    let share = |value: f64| Ratio::new(value.clamp(0.0, 1.0)).unwrap_or(Ratio::ZERO);
    let busiest = load
        .gpus
        .iter()
        .filter_map(|gpu| gpu.utilization)
        .fold(None, |most: Option<f64>, own| Some(most.map_or(own, |most| most.max(own))));
    let fullest = load.gpus.iter().filter_map(|gpu| {
        let (used, total) = (gpu.memory_used_bytes?, gpu.memory_total_bytes.filter(|total| *total > 0)?);
        Some(used as f64 / total as f64)
    });
    let fullest = fullest.fold(None, |most: Option<f64>, own| Some(most.map_or(own, |most| most.max(own))));
    Some(Report {
        rows_in_flight: more as f64 / while_ as f64,
        gpu: busiest.map(share),
        memory: share(fullest.unwrap_or(1.0 - load.memory_free.unwrap_or(0.5))),
        // What nobody knows counts as half.
        cpu: share(1.0 - load.cpu_free.unwrap_or(0.5)),
    })
}
