use super::*;
use crate::Role;
use crate::view::tests::zero;
use proptest::prelude::*;
use spinwell_core::Rng;

const INTERVAL: Duration = Duration::from_secs(2);

fn member(id: &str) -> Arc<Member> {
    Arc::new(Member::new(Role::Node, id, "127.0.0.1:9001".parse().unwrap()))
}

fn with_grpc(id: &str) -> Arc<Member> {
    Arc::new(Member { grpc: Some("127.0.0.1:9002".parse().unwrap()), ..(*member(id)).clone() })
}

/// A machine with a clock of its own.
struct Story {
    announcer: Announcer,
    start: Instant,
    now: Instant,
    rng: Rng,
}

impl Story {
    fn begin() -> Self {
        let start = zero();
        Self { announcer: Announcer::new(INTERVAL, start), start, now: start, rng: Rng::seeded(5) }
    }

    fn wish(&mut self, wish: Wish) -> &mut Self {
        self.announcer.wish(wish);
        self
    }

    /// The next step is this one; it is made when it is due.
    #[track_caller]
    fn step(&mut self, wanted: &Step, answer: Answer) -> &mut Self {
        let (due, step) = self.announcer.next(self.now).expect("a step");
        assert_eq!(&step, wanted);
        self.now = due;
        self.announcer.answered(&step, answer, self.now, &mut self.rng);
        self
    }

    #[track_caller]
    fn after(&mut self, least_ms: u64, most_ms: u64) -> &mut Self {
        let passed = self.now - self.start;
        let range = Duration::from_millis(least_ms)..=Duration::from_millis(most_ms);
        assert!(range.contains(&passed), "{passed:?}");
        self
    }

    #[track_caller]
    fn idle(&mut self) -> &mut Self {
        assert_eq!(self.announcer.next(self.now), None);
        self
    }
}

fn register(member: &Arc<Member>, health: Health) -> Step {
    Step::Register(member.clone(), health)
}

fn beat(member: &Arc<Member>, health: Health) -> Step {
    Step::Beat(member.clone(), health)
}

#[test]
fn a_life() {
    let (one, mut story) = (member("a"), Story::begin());
    story.idle().wish(Wish::Listed(one.clone(), Health::Passing));
    story.step(&register(&one, Health::Passing), Answer::Done).after(0, 0);
    story.step(&beat(&one, Health::Passing), Answer::Done).after(1800, 2000);
    story.step(&beat(&one, Health::Passing), Answer::Done).after(3600, 4000);
    story.wish(Wish::Absent).step(&Step::Deregister(one), Answer::Done).after(3600, 4000).idle();
}

#[test]
fn another_health_does_not_wait_for_the_beat() {
    let (one, mut story) = (member("a"), Story::begin());
    story
        .wish(Wish::Listed(one.clone(), Health::Passing))
        .step(&register(&one, Health::Passing), Answer::Done);
    story.wish(Wish::Listed(one.clone(), Health::Warning));
    story.step(&beat(&one, Health::Warning), Answer::Done).after(0, 0);
    story.step(&beat(&one, Health::Warning), Answer::Done).after(1800, 2000);
}

#[test]
fn an_agent_that_has_forgotten_us_is_told_again_at_once() {
    let (one, mut story) = (member("a"), Story::begin());
    story
        .wish(Wish::Listed(one.clone(), Health::Passing))
        .step(&register(&one, Health::Passing), Answer::Done);
    story.step(&beat(&one, Health::Passing), Answer::Refused).after(1800, 2000);
    story.step(&register(&one, Health::Passing), Answer::Done).after(1800, 2000);
    story.step(&beat(&one, Health::Passing), Answer::Done).after(3600, 4000);
}

#[test]
fn an_agent_that_is_away_is_tried_again_ever_later_but_no_later_than_a_beat() {
    let (one, mut story) = (member("a"), Story::begin());
    story.wish(Wish::Listed(one.clone(), Health::Passing));
    let (mut least, mut most) = (0, 0);
    for top in [200, 400, 800, 1600, 2000, 2000, 2000] {
        story.step(&register(&one, Health::Passing), Answer::Unreachable).after(least, most);
        (least, most) = (least + top / 2, most + top);
    }
    assert!(story.announcer.is_failing() && !story.announcer.is_settled());
    story.step(&register(&one, Health::Passing), Answer::Done).after(least, most);
    assert!(!story.announcer.is_failing() && story.announcer.is_settled());
}

#[test]
fn an_agent_that_says_no_to_both_is_not_asked_in_a_loop() {
    let (one, mut story) = (member("a"), Story::begin());
    story
        .wish(Wish::Listed(one.clone(), Health::Passing))
        .step(&register(&one, Health::Passing), Answer::Done);
    story.step(&beat(&one, Health::Passing), Answer::Refused).after(1800, 2000);
    story.step(&register(&one, Health::Passing), Answer::Refused).after(1800, 2000);
    story.step(&register(&one, Health::Passing), Answer::Refused).after(1900, 2200);
    story.step(&register(&one, Health::Passing), Answer::Refused).after(2100, 2600);
}

#[test]
fn what_was_perhaps_registered_is_deregistered() {
    let (one, mut story) = (member("a"), Story::begin());
    story.wish(Wish::Listed(one.clone(), Health::Passing));
    story.step(&register(&one, Health::Passing), Answer::Unreachable);
    story.wish(Wish::Absent).step(&Step::Deregister(one.clone()), Answer::Unreachable);
    story.step(&Step::Deregister(one), Answer::Done).idle();
    assert!(story.announcer.is_settled());
}

#[test]
fn a_wish_that_came_and_went_before_anybody_asked_is_nothing() {
    Story::begin().wish(Wish::Listed(member("a"), Health::Passing)).wish(Wish::Absent).idle();
}

#[test]
fn another_member_takes_the_place_of_the_first() {
    // What is known, what is wanted, whether the first has to go before.
    let table = [
        (member("a"), with_grpc("a"), false),
        (with_grpc("a"), member("a"), true),
        (member("a"), member("b"), true),
        (with_grpc("a"), with_grpc("a"), false),
    ];
    for (old, new, goes_first) in table {
        let mut story = Story::begin();
        story
            .wish(Wish::Listed(old.clone(), Health::Passing))
            .step(&register(&old, Health::Passing), Answer::Done);
        story.wish(Wish::Listed(new.clone(), Health::Warning));
        if goes_first {
            story.step(&Step::Deregister(old.clone()), Answer::Done);
        }
        if goes_first || old != new {
            story.step(&register(&new, Health::Warning), Answer::Done).after(0, 0);
        }
        story.step(&beat(&new, Health::Warning), Answer::Done);
    }
}

/// What the agent has of us, as it may come to be behind the machine's back.
#[derive(Debug, Default)]
struct Agent {
    has: Option<(Arc<Member>, Health)>,
}

#[derive(Debug, Clone)]
enum Happening {
    Wish(Option<(usize, usize)>),
    Steps(u8),
    Forget,
    Away(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        prop::option::of((0..3usize, 0..3usize)).prop_map(Happening::Wish),
        (1..6u8).prop_map(Happening::Steps),
        Just(Happening::Forget),
        (1..4u8).prop_map(Happening::Away),
    ]
}

impl Agent {
    fn take(&mut self, step: &Step) -> Answer {
        match step {
            Step::Register(member, health) => self.has = Some((member.clone(), *health)),
            Step::Deregister(member) => {
                self.has.take_if(|(has, _)| has.id == member.id);
            }
            Step::Beat(member, health) => match &mut self.has {
                Some((has, told)) if has.id == member.id => *told = *health,
                _ => return Answer::Refused,
            },
        }
        Answer::Done
    }
}

proptest! {
    /// Whatever happened before: once the agent is there and stays, a few steps make it know what is wanted.
    #[test]
    fn the_agent_comes_to_know_what_is_wanted(happenings in prop::collection::vec(happening(), 0..40)) {
        let members = [member("a"), with_grpc("a"), member("b")];
        let healths = [Health::Passing, Health::Warning, Health::Critical];
        let (mut story, mut agent, mut wanted) = (Story::begin(), Agent::default(), None);
        let turn = |story: &mut Story, agent: &mut Agent, is_away: bool, is_heard: bool| {
            let Some((due, step)) = story.announcer.next(story.now) else { return };
            story.now = due.max(story.now);
            let heard = if is_away && !is_heard { Answer::Unreachable } else { agent.take(&step) };
            let answer = if is_away { Answer::Unreachable } else { heard };
            story.announcer.answered(&step, answer, story.now, &mut story.rng);
        };
        for happening in happenings {
            match happening {
                Happening::Wish(wish) => {
                    wanted = wish.map(|(who, how)| (members[who].clone(), healths[how]));
                    story.wish(wanted.clone().map_or(Wish::Absent, |(who, how)| Wish::Listed(who, how)));
                }
                Happening::Steps(steps) => (0..steps).for_each(|_| turn(&mut story, &mut agent, false, true)),
                Happening::Forget => agent.has = None,
                Happening::Away(steps) => {
                    (0..steps).for_each(|step| turn(&mut story, &mut agent, true, step % 2 == 0));
                }
            }
        }
        (0..6).for_each(|_| turn(&mut story, &mut agent, false, true));
        prop_assert!(story.announcer.is_settled());
        prop_assert_eq!(agent.has, wanted);
    }
}
