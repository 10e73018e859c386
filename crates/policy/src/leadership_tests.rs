//! Stories of one control, and of two that ask the same store over a slow network.

use super::*;
use proptest::prelude::*;

#[allow(clippy::disallowed_methods, reason = "the start of a test's time")]
fn zero() -> Instant {
    Instant::now()
}

const TERMS: Terms = Terms { length: Duration::from_millis(2000), renew_every: Duration::from_millis(500) };

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_lease_counts_from_before_it_was_asked_for() {
    let (start, mut leadership) = (zero(), Leadership::new(TERMS));
    assert_eq!(leadership.generation(start), None);
    let ask = leadership.ask(start);
    // The answer takes most of the lease.
    leadership.answered(ask, Answer::Granted(3));
    assert_eq!(leadership.generation(start + ms(1999)), Some(3));
    assert_eq!(leadership.generation(start + ms(2000)), None);
    let ask = leadership.ask(start + ms(1500));
    assert_eq!(leadership.generation(start + ms(2000)), None, "what is asked for is not held");
    leadership.answered(ask, Answer::Granted(3));
    assert_eq!(leadership.generation(start + ms(3499)), Some(3));
}

#[test]
fn who_is_told_that_another_holds_the_lease_leads_no_more() {
    let (start, mut leadership) = (zero(), Leadership::new(TERMS));
    let first = leadership.ask(start);
    leadership.answered(first, Answer::Granted(3));
    let second = leadership.ask(start + ms(500));
    let third = leadership.ask(start + ms(600));
    leadership.answered(third, Answer::Denied);
    assert_eq!(leadership.generation(start + ms(700)), None);
    leadership.answered(second, Answer::Granted(3));
    assert_eq!(leadership.generation(start + ms(700)), None, "an older answer comes too late");
}

#[test]
fn who_has_resigned_is_not_made_leader_by_an_answer_that_was_on_its_way() {
    let (start, mut leadership) = (zero(), Leadership::new(TERMS));
    let first = leadership.ask(start);
    leadership.answered(first, Answer::Granted(3));
    let second = leadership.ask(start + ms(500));
    leadership.resign();
    leadership.answered(second, Answer::Granted(3));
    assert_eq!(leadership.generation(start + ms(600)), None);
}

/// The store: one lease, by its own clock, which is the time of the simulation.
#[derive(Default)]
struct Store {
    holder: Option<usize>,
    generation: u64,
    expires: u64,
}

impl Store {
    fn take(&mut self, holder: usize, now: u64) -> Answer {
        let is_held = now < self.expires;
        if is_held && self.holder != Some(holder) {
            return Answer::Denied;
        }
        if !is_held || self.holder != Some(holder) {
            self.generation += 1;
        }
        (self.holder, self.expires) = (Some(holder), now + 2000);
        Answer::Granted(self.generation)
    }
}

/// What happens to one ask: how long each way takes, how long its control stands still before the next, and whether the answer is lost.
#[derive(Debug, Clone, Copy)]
struct Fate {
    there: u64,
    back: u64,
    pause: u64,
    is_lost: bool,
}

/// A control in the simulation, with a clock of its own.
struct Machine {
    leadership: Leadership,
    clock: Instant,
    fates: Vec<Fate>,
    next: usize,
    /// When it asks next.
    due: u64,
    /// Asks on their way, and answers on theirs, each with when it arrives.
    there: Vec<(u64, Ask, Fate)>,
    back: Vec<(u64, Ask, Answer)>,
}

impl Machine {
    fn new(offset: u64, fates: Vec<Fate>) -> Self {
        let leadership = Leadership::new(TERMS);
        let (there, back) = (Vec::new(), Vec::new());
        Self { leadership, clock: zero() + ms(offset), fates, next: 0, due: 0, there, back }
    }

    fn now(&self, time: u64) -> Instant {
        self.clock + ms(time)
    }

    fn step(&mut self, own: usize, time: u64, store: &mut Store) {
        if time >= self.due && self.next < self.fates.len() {
            let fate = self.fates[self.next];
            let now = self.now(time);
            self.there.push((time + fate.there, self.leadership.ask(now), fate));
            (self.next, self.due) = (self.next + 1, time + fate.pause);
        }
        let arrived: Vec<_> = self.there.extract_if(.., |(at, ..)| *at <= time).collect();
        for (_, ask, fate) in arrived {
            let answer = store.take(own, time);
            if !fate.is_lost {
                self.back.push((time + fate.back, ask, answer));
            }
        }
        let answered: Vec<_> = self.back.extract_if(.., |(at, ..)| *at <= time).collect();
        for (_, ask, answer) in answered {
            self.leadership.answered(ask, answer);
        }
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let delay = || prop_oneof![4 => 0..50u64, 2 => 50..900u64, 1 => 900..6000u64];
    let pause = prop_oneof![5 => Just(500u64), 2 => 0..500u64, 1 => 500..8000u64];
    let fate = (delay(), delay(), pause, prop::bool::weighted(0.1));
    prop::collection::vec(
        fate.prop_map(|(there, back, pause, is_lost)| Fate { there, back, pause, is_lost }),
        1..40,
    )
}

proptest! {
    #[test]
    fn two_never_believe_at_the_same_moment_that_they_lead(
        (one, two) in (fates(), fates()),
        offsets in (0..1_000_000u64, 0..1_000_000u64),
    ) {
        let mut store = Store::default();
        let mut machines = [Machine::new(offsets.0, one), Machine::new(offsets.1, two)];
        let mut newest: Option<(usize, u64)> = None;
        for time in (0..60_000).step_by(5) {
            // Who comes first within a step is another one each time.
            let order = if time % 10 == 0 { [0, 1] } else { [1, 0] };
            for own in order {
                machines[own].step(own, time, &mut store);
            }
            let leads = |own: usize| machines[own].leadership.generation(machines[own].now(time));
            let leading: Vec<_> = (0..2).filter_map(|own| leads(own).map(|generation| (own, generation))).collect();
            prop_assert!(leading.len() < 2, "both at {time} ms: {leading:?}");
            for (own, generation) in leading {
                let is_next = newest.is_none_or(|(before, last)| generation > last || (generation == last && own == before));
                prop_assert!(is_next, "{own} leads under {generation} after {newest:?}");
                newest = Some((own, generation));
            }
        }
    }

    #[test]
    fn where_a_leader_is_lost_another_leads_within_three_seconds(lost_at in 3000..8000u64, there in 0..100u64, back in 0..100u64) {
        let steady = vec![Fate { there, back, pause: 500, is_lost: false }; 60];
        let mut store = Store::default();
        let mut machines = [Machine::new(0, steady.clone()), Machine::new(77, steady)];
        machines[1].due = 250;
        for time in (0..lost_at + 3000).step_by(5) {
            let is_lost = time >= lost_at;
            for (own, machine) in machines.iter_mut().enumerate().skip(usize::from(is_lost)) {
                machine.step(own, time, &mut store);
            }
            if (1000..lost_at).contains(&time) {
                prop_assert_eq!(machines[0].leadership.generation(machines[0].now(time)), Some(1));
            }
        }
        let second = &machines[1];
        prop_assert_eq!(second.leadership.generation(second.now(lost_at + 3000)), Some(2));
    }
}
