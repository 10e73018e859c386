//! What callers do: steps in order, sent at once or one by one, again where no answer came; and now and then something that is to be
//! refused.

use super::history::{Answer, Op, Request};
use super::scenario::CallerSpec;
use super::world::{Event, World};
use spinwell_core::{Rng, split_mix_64};
use spinwell_policy::sequence::{Asked, Refusal};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a caller asks for the same before he begins anew.
const TRIES_MAX: u32 = 60;

/// A caller, who has a sequence of his own.
#[derive(Debug)]
pub(super) struct Caller {
    spec: CallerSpec,
    rng: Rng,
    /// Whether he holds his sequence for begun.
    is_begun: bool,
    /// The number of the next step.
    next: u64,
    /// What he waits for.
    open: BTreeMap<usize, Wish>,
    /// The gateway that he uses.
    gateway: usize,
}

/// What a caller waits for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    kind: Kind,
    step: Option<u64>,
    rows: u64,
    tries: u32,
    /// The newest request for it, as long as that is not answered.
    asking: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    Step,
    End,
    Wrong,
}

impl Caller {
    pub(super) fn new(spec: CallerSpec, rng: Rng) -> Self {
        Self { spec, rng, is_begun: false, next: 1, open: BTreeMap::new(), gateway: 0 }
    }
}

impl World<'_> {
    /// A caller does what comes next, when he waits for nothing.
    pub(super) fn act(&mut self, caller: usize) {
        if self.now >= self.scenario.length || !self.callers[caller].open.is_empty() {
            return;
        }
        let gateways = self.gateways.len() as u64;
        let own = &mut self.callers[caller];
        let CallerSpec { numbers, depth, apart, mischief, restarts, .. } = own.spec;
        own.gateway = own.rng.below(gateways) as usize;
        let (is_mischievous, restarts) = (own.rng.uniform() < mischief, own.rng.uniform() < restarts);
        let count = 1 + own.rng.below(depth);
        let draw = own.rng.below(4);
        let burst = self.history.ops.len() as u64;
        if !self.callers[caller].is_begun {
            return self.start(caller, burst);
        }
        match draw {
            0 if restarts => return self.start(caller, burst),
            1 if restarts => return self.next_step(caller, burst, Kind::End, Duration::ZERO),
            0 if is_mischievous && numbers => return self.do_wrong(caller, burst),
            _ => {}
        }
        for place in 0..count {
            self.next_step(caller, burst, Kind::Step, apart.mul_f64(place as f64));
        }
        if draw == 1 && is_mischievous && numbers {
            // Through another gateway, too.
            let asked = |(_, wish): &(&usize, &Wish)| wish.asking.is_some();
            let last = self.callers[caller].open.iter().rfind(asked).map(|(op, _)| *op);
            self.callers[caller].gateway += 1;
            last.into_iter().for_each(|op| self.ask(op));
            self.callers[caller].gateway -= 1;
        } else if draw == 2 && restarts {
            // At once begun anew, whatever becomes of the steps before.
            self.start(caller, burst);
        }
    }

    fn start(&mut self, caller: usize, burst: u64) {
        let own = &mut self.callers[caller];
        (own.is_begun, own.next) = (true, 2);
        let step = own.spec.numbers.then_some(1);
        for op in std::mem::take(&mut own.open).into_keys() {
            self.history.closed.insert(op, self.now);
        }
        self.wish(caller, burst, Kind::Start, step, Duration::ZERO);
    }

    fn next_step(&mut self, caller: usize, burst: u64, kind: Kind, after: Duration) {
        let own = &mut self.callers[caller];
        let step = own.spec.numbers.then_some(own.next);
        own.next += 1;
        self.wish(caller, burst, kind, step, after);
    }

    /// A number that is too high, too low, or taken with other rows.
    fn do_wrong(&mut self, caller: usize, burst: u64) {
        let own = &mut self.callers[caller];
        let number = match own.rng.below(3) {
            0 => own.next + 1 + own.rng.below(3),
            1 => own.next.saturating_sub(2),
            _ => own.next - 1,
        };
        self.wish(caller, burst, Kind::Wrong, Some(number), Duration::ZERO);
    }

    /// A caller wants something, and asks for it after so long.
    fn wish(&mut self, caller: usize, burst: u64, kind: Kind, step: Option<u64>, after: Duration) {
        let op = self.history.ops.len();
        let is_wrong = kind == Kind::Wrong;
        self.history.ops.push(Op { sequence: caller, asked: self.now, is_wrong, burst });
        let rows = split_mix_64(self.scenario.seed, op as u64 + 1);
        self.callers[caller].open.insert(op, Wish { kind, step, rows, tries: 0, asking: None });
        match after {
            Duration::ZERO => self.ask(op),
            after => self.plan(after, Event::CallerAsks { op }),
        }
    }

    /// Asks for an op, once more or for the first time.
    pub(super) fn ask(&mut self, op: usize) {
        let caller = self.history.ops[op].sequence;
        let own = &mut self.callers[caller];
        let Some(wish) = own.open.get_mut(&op) else { return };
        wish.tries += 1;
        let asked =
            Asked { starts: wish.kind == Kind::Start, step: wish.step, digest: wish.rows, sent: None };
        let (ends, is_first) = (wish.kind == Kind::End, wish.tries == 1);
        let (gateway, waits) = (own.gateway % self.gateways.len(), own.spec.waits);
        let request = self.history.requests.len();
        wish.asking = Some(request);
        let received = self.now;
        if !is_first {
            let same = self.history.requests.iter_mut().filter(|other| other.op == op);
            same.for_each(|other| other.again = other.again.or(Some(received)));
        }
        let again = None;
        self.history.requests.push(Request { op, asked, ends, gateway, received, is_first, again });
        self.plan_on_way((200 + caller, 300 + gateway), Event::AtGateway { request });
        self.plan(waits, Event::CallerWaited { request });
    }

    pub(super) fn ask_again(&mut self, op: usize) {
        let caller = self.history.ops[op].sequence;
        let own = &mut self.callers[caller];
        if own.open.get(&op).is_some_and(|wish| wish.asking.is_none()) {
            own.gateway = own.rng.below(self.gateways.len() as u64) as usize;
            self.ask(op);
        }
    }

    /// Nothing was heard of a request.
    pub(super) fn caller_waited(&mut self, request: usize) {
        self.at_caller(request, Answer::TimedOut);
    }

    /// A request is answered, or nobody waits for it any more.
    pub(super) fn at_caller(&mut self, request: usize, answer: Answer) {
        let op = self.history.requests[request].op;
        let caller = self.history.ops[op].sequence;
        let Some(&wish) = self.callers[caller].open.get(&op) else { return };
        let is_numbered = wish.step.is_some();
        match answer {
            Answer::Taken { .. } => self.close(caller, op),
            _ if wish.kind == Kind::Wrong => self.close(caller, op),
            // Taken before, with an answer that is not known any more.
            Answer::Refused(Refusal::Old { .. }) => self.close(caller, op),
            Answer::Refused(
                Refusal::Unknown | Refusal::Ended | Refusal::Expired | Refusal::OtherRows { .. },
            ) => self.give_up(caller),
            _ if wish.asking != Some(request) => {}
            _ if is_numbered && wish.tries < TRIES_MAX => self.plan_again(caller, op),
            _ if is_numbered => self.give_up(caller),
            // Whether it was taken is not known, and a sequence that is not begun cannot go on.
            _ if wish.kind == Kind::Start => self.give_up(caller),
            _ => self.close(caller, op),
        }
    }

    fn plan_again(&mut self, caller: usize, op: usize) {
        let own = &mut self.callers[caller];
        let Some(wish) = own.open.get_mut(&op) else { return };
        wish.asking = None;
        let after = Duration::from_millis(20 + own.rng.below(100));
        self.plan(after, Event::CallerAsksAgain { op });
    }

    fn close(&mut self, caller: usize, op: usize) {
        let wish = self.callers[caller].open.remove(&op);
        self.history.closed.insert(op, self.now);
        if wish.is_some_and(|wish| wish.kind == Kind::End) {
            self.callers[caller].is_begun = false;
        }
        self.think(caller);
    }

    /// Begins anew, some time.
    fn give_up(&mut self, caller: usize) {
        for op in std::mem::take(&mut self.callers[caller].open).into_keys() {
            self.history.closed.insert(op, self.now);
        }
        self.callers[caller].is_begun = false;
        self.think(caller);
    }

    fn think(&mut self, caller: usize) {
        let own = &mut self.callers[caller];
        if own.open.is_empty() {
            let thinks = own.spec.thinks.mul_f64(-(1.0 - own.rng.uniform()).ln().max(-5.0));
            self.plan(thinks, Event::Caller(caller));
        }
    }
}
