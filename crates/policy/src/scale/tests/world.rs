//! A small world in which a seed decides what happens.

use super::*;
use proptest::prelude::*;
use spinwell_core::Rng;

/// A region in which a seed decides what arrives, what is lost, what fails and what is not known.
struct World {
    rng: Rng,
    scaler: Scaler<u32>,
    members: Vec<Member<u32>>,
    next: u32,
    busy: f64,
    second: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let count = rng.below(25) as u32;
        let busy = rng.uniform_in(0.0, 20.0);
        Self {
            rng,
            scaler: Scaler::new(Options::default()),
            members: serving(count),
            next: 100,
            busy,
            second: 0,
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.uniform() < probability
    }

    fn now(&self) -> UnixMillis {
        after(self.second)
    }

    /// Lets some time pass, in which anything may happen.
    fn pass(&mut self) {
        self.second += 1 + self.rng.below(20);
        let now = self.now();
        if self.chance(0.1) {
            self.busy = self.rng.uniform_in(0.0, 25.0);
        }
        self.busy = (self.busy * (1.0 + 0.05 * self.rng.normal())).max(0.0);
        for at in (0..self.members.len()).rev() {
            let draw = self.rng.uniform();
            let member = &mut self.members[at];
            let next = match member.phase {
                Phase::Pending if draw < 0.3 => Some(Phase::Warming),
                Phase::Warming if draw < 0.2 => Some(Phase::Serving),
                Phase::Serving if draw < 0.003 => Some(Phase::Lost),
                Phase::Lost if draw < 0.05 => Some(Phase::Serving),
                Phase::Draining | Phase::Lost if draw > 0.8 => None,
                same => Some(same),
            };
            let Some(next) = next else {
                self.members.remove(at);
                continue;
            };
            if next != member.phase {
                (member.phase, member.since) = (next, now);
            }
        }
    }

    fn look(&mut self) -> Snapshot<u32> {
        let region = Region {
            offered: (!self.chance(0.1)).then(|| rate(self.busy * EACH)),
            service: (!self.chance(0.1)).then(service),
            latency_p95: (self.rng.uniform() < 0.1).then(|| Duration::from_millis(self.rng.below(100))),
            forecast: (self.rng.uniform() < 0.5).then(|| Forecast {
                arrivals: rate(self.busy * EACH * self.rng.uniform_in(0.5, 1.5)),
                error: rate(self.rng.uniform_in(0.0, 500.0)),
                error_persistence: rate(self.rng.uniform_in(0.0, 500.0)),
            }),
            ..Region::default()
        };
        for member in &mut self.members {
            member.in_flight = Some(self.rng.below(50));
        }
        seen(self.now(), self.members.clone(), region)
    }

    fn carry_out(&mut self, decision: &Decision<u32>) {
        let now = self.now();
        for item in &decision.items {
            let fails = self.chance(0.1);
            match item {
                Item::Add(_) if fails => {
                    let failure = Failure::NodeAdditionFailed { id: None, reason: "bad luck".into() };
                    self.scaler.failed(failure, now);
                }
                Item::Add(_) => {
                    self.members.push(Member::new(self.next, Phase::Pending, now));
                    self.next += 1;
                }
                Item::Remove(id, _) if fails => {
                    self.scaler
                        .failed(Failure::NodeRemovalFailed { id: *id, reason: "bad luck".into() }, now);
                }
                Item::Remove(id, _) => {
                    let member = self.members.iter_mut().find(|member| member.id == *id).unwrap();
                    (member.phase, member.since) = (Phase::Draining, now);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_bounds_hold_nothing_flaps_and_all_can_be_decided_again(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let options = Options::default();
        let (mut up, mut down) = (None, None);
        for _ in 0..300 {
            world.pass();
            let seen = world.look();
            let before = world.scaler.state().clone();
            let decision = world.scaler.decide(seen.clone());
            let now = decision.at;
            let since = |moment: Option<UnixMillis>| moment.map_or(u64::MAX, |moment: UnixMillis| now.0 - moment.0);
            prop_assert!((options.min..=options.max).contains(&decision.target));
            prop_assert!(decision.figures.counted() + adds(&decision) <= decision.target.max(decision.figures.counted()));
            prop_assert!(removed(&decision).iter().all(|id| seen.members.iter().any(|member| member.id == *id)));
            if decision.target > decision.before {
                prop_assert!(since(down) >= 30_000, "up {} ms after a removal", since(down));
                up = Some(now);
            }
            let is_removal =
                decision.items.iter().any(|item| matches!(item, Item::Remove(_, reason) if *reason != Reason::NeverServed));
            if decision.target < decision.before || is_removal {
                prop_assert!(since(up) >= 120_000, "down {} ms after an addition", since(up));
                prop_assert!(decision.before - decision.target <= 1);
                down = Some(now);
            }
            if decision.target < decision.before {
                let model = Model { each: decision.figures.capacity_each, service: seen.region.service, options: &options };
                prop_assert!(seen.region.service.is_some());
                prop_assert!(model.suits(decision.target, decision.figures.arrivals_ahead.unwrap()));
            }
            prop_assert_eq!(&decide(&options, &before, &seen), &(decision.clone(), world.scaler.state().clone()));
            world.carry_out(&decision);
        }
        for record in world.scaler.history() {
            prop_assert_eq!(&record.replay(), &record.decision);
        }
    }

    /// A load that stays gets what it needs, however it began, and then nothing changes any more.
    #[test]
    fn a_steady_load_is_served_by_as_many_as_it_needs(seed in any::<u64>(), busy in 0.0..14.0f64) {
        let mut world = World::new(seed);
        let options = Options::default();
        let region = offered(busy * EACH);
        let mut targets = Vec::new();
        for _ in 0..600 {
            world.second += 10;
            let now = world.now();
            for member in &mut world.members {
                if member.phase == Phase::Pending && now.0 - member.ordered.0 >= 60_000 {
                    (member.phase, member.since) = (Phase::Serving, now);
                }
            }
            world.members.retain(|member| member.phase != Phase::Draining);
            let decision = world.scaler.decide(seen(now, world.members.clone(), region));
            targets.push(decision.target);
            for item in &decision.items {
                match item {
                    Item::Add(_) => world.members.push(Member::new(world.next, Phase::Pending, now)),
                    Item::Remove(id, _) => world.members.retain(|member| member.id != *id),
                }
                world.next += 1;
            }
        }
        let model = Model { each: rate(EACH), service: Some(service()), options: &options };
        let last = targets[targets.len() - 1];
        prop_assert!(targets[300..].iter().all(|target| *target == last), "{targets:?}");
        prop_assert_eq!(model.obstacle(last, rate(busy * EACH)), None);
        prop_assert!(last <= model.wanted(rate(busy * EACH), rate(1.1 * busy * EACH)), "{last}");
    }
}
