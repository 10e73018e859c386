//! Stories of the queue, told in milliseconds from a zero.

mod mixed;
mod models;

use super::*;
use proptest::prelude::*;
use spinwell_core::{ModelName, Priority, TenantId};
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits {
    len_max: 1000,
    batch_max: Cost { windows: 8, rows: 80 },
    executors: 1,
    target: Duration::from_millis(50),
    interval: Duration::from_millis(100),
};

/// The model of a lane.
fn model(lane: usize) -> ModelName {
    format!("m{lane}").parse().unwrap()
}

struct Story {
    zero: Instant,
    queue: Queue<usize>,
}

/// What is usual of a request; tests change what they are about.
#[derive(Clone, Copy)]
struct Ask {
    lane: usize,
    priority: Priority,
    is_spare: bool,
    tenant: &'static str,
    windows: usize,
    rows: usize,
    deadline: u64,
}

const ASK: Ask = Ask {
    lane: 0,
    priority: Priority::Normal,
    is_spare: false,
    tenant: "default",
    windows: 1,
    rows: 1,
    deadline: 10_000,
};

impl Story {
    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn with(limits: Limits) -> Self {
        let mut queue = Queue::new(limits);
        (0..3).for_each(|lane| assert_eq!(queue.open_lane(&model(lane)), lane));
        Self { zero: Instant::now(), queue }
    }

    fn at(&self, ms: u64) -> Instant {
        self.zero + Duration::from_millis(ms)
    }

    fn push(&mut self, work: usize, ask: Ask, ms: u64) -> Result<Slot, Refusal> {
        let Ask { lane, priority, is_spare, tenant, windows, rows, deadline } = ask;
        let request = Request {
            lane,
            priority,
            is_spare,
            tenant: TenantId(tenant.into()),
            cost: Cost { windows, rows },
            deadline: self.at(deadline),
            work,
        };
        let now = self.at(ms);
        self.queue.push(request, now)
    }

    fn take(&mut self, ms: u64) -> Option<Batch<usize>> {
        let now = self.at(ms);
        self.queue.take(now)
    }

    /// Lets a batch of lane 0 take so many milliseconds for so many rows.
    fn observe(&mut self, rows: usize, took: u64, ms: u64) {
        let now = self.at(ms);
        self.queue.observe(0, Cost { windows: 1, rows }, false, Duration::from_millis(took), now);
    }
}

/// Who is run or refused by a batch.
fn everybody(batch: Batch<usize>) -> impl Iterator<Item = usize> {
    batch.ready.into_iter().chain(batch.late.into_iter().map(|late| late.work)).chain(batch.shed)
}

#[test]
fn classes_share_the_executor_by_their_weights() {
    let mut story = Story::with(Limits { batch_max: Cost { windows: 1, rows: 80 }, ..LIMITS });
    for work in 0..160 {
        let priority = Priority::ALL[work % 4];
        story.push(work, Ask { priority, ..ASK }, 0).unwrap();
    }
    let mut served = [0; 4];
    for _ in 0..60 {
        for work in story.take(1).unwrap().ready {
            served[work % 4] += 1;
        }
    }
    assert_eq!(served, [32, 16, 8, 4]);
}

#[test]
fn tenants_of_a_class_share_equally_however_many_requests_they_send() {
    let mut story = Story::with(Limits { batch_max: Cost { windows: 1, rows: 80 }, ..LIMITS });
    for work in 0..100 {
        story.push(work, Ask { tenant: "crowd", ..ASK }, 0).unwrap();
    }
    for work in 100..110 {
        story.push(work, Ask { tenant: "few", ..ASK }, 0).unwrap();
    }
    let first: Vec<usize> = (0..20).flat_map(|_| story.take(1).unwrap().ready).collect();
    assert_eq!(first.iter().filter(|&&work| work >= 100).count(), 10, "{first:?}");
    // Nobody is remembered who does not wait.
    while story.take(1).is_some() {}
    assert_eq!(story.queue.tenants(), 0);
}

#[test]
fn one_that_comes_late_has_saved_nothing_up() {
    let mut story = Story::with(Limits { batch_max: Cost { windows: 1, rows: 80 }, ..LIMITS });
    for work in 0..60 {
        story.push(work, Ask { tenant: "early", ..ASK }, 0).unwrap();
    }
    for _ in 0..40 {
        story.take(1).unwrap();
    }
    for work in 100..120 {
        story.push(work, Ask { tenant: "late", ..ASK }, 2).unwrap();
    }
    let next: Vec<usize> = (0..10).flat_map(|_| story.take(3).unwrap().ready).collect();
    let late = next.iter().filter(|&&work| work >= 100).count();
    assert!((4..=6).contains(&late), "{next:?}");
}

#[test]
fn of_one_tenant_the_nearest_deadline_goes_first_and_batches_are_of_one_model() {
    // Requests are (lane, windows, deadline in ms); batches are (lane, works).
    let check = |requests: &[(usize, usize, u64)], wanted: &[(usize, &[usize])]| {
        let mut story = Story::with(LIMITS);
        for (work, &(lane, windows, deadline)) in requests.iter().enumerate() {
            story.push(work, Ask { lane, windows, rows: windows, deadline, ..ASK }, 0).unwrap();
        }
        let batches: Vec<_> =
            std::iter::from_fn(|| story.take(1)).map(|batch| (batch.lane, batch.ready)).collect();
        let batches: Vec<_> = batches.iter().map(|(lane, ready)| (*lane, &ready[..])).collect();
        assert_eq!(batches, wanted, "{requests:?}");
        assert!(story.queue.is_clean());
    };
    check(&[], &[]);
    check(&[(1, 1, 99)], &[(1, &[0])]);
    check(&[(1, 1, 99), (0, 1, 99), (1, 1, 99)], &[(1, &[0, 2]), (0, &[1])]);
    check(&[(1, 1, 99), (0, 1, 50), (1, 1, 70)], &[(0, &[1]), (1, &[2, 0])]);
    check(&[(0, 5, 99), (0, 3, 99), (0, 1, 99)], &[(0, &[0, 1]), (0, &[2])]);
    check(&[(0, 5, 99), (0, 4, 99), (0, 1, 99)], &[(0, &[0]), (0, &[1, 2])]);
    check(&[(0, 100, 99), (0, 1, 99)], &[(0, &[0]), (0, &[1])]);
}

#[test]
fn what_cannot_finish_in_time_is_refused_when_it_comes_or_when_its_turn_comes() {
    let mut story = Story::with(LIMITS);
    // Nothing is refused on a guess.
    story.push(0, Ask { rows: 60, deadline: 5, ..ASK }, 0).unwrap();
    assert_eq!(story.take(1).unwrap().ready, [0]);
    // A row takes a millisecond.
    story.observe(60, 60, 2);
    story.push(1, Ask { rows: 40, deadline: 100, ..ASK }, 2).unwrap();
    assert_eq!(
        story.push(2, Ask { rows: 40, deadline: 60, ..ASK }, 2),
        Err(Refusal::Backlog { takes: Duration::from_millis(40) })
    );
    story.push(3, Ask { rows: 40, deadline: 100, ..ASK }, 2).unwrap();
    // A more urgent one goes before all of it.
    story.push(4, Ask { rows: 40, deadline: 60, priority: Priority::High, ..ASK }, 2).unwrap();
    // At 70 the first two are too late or nearly; what would make another late does not ride along.
    let late = |batch: Batch<usize>| batch.late.iter().map(|late| late.work).collect::<Vec<_>>();
    let batch = story.take(59).unwrap();
    let takes = batch.late[0].takes;
    assert!(
        takes > Duration::from_millis(38) && takes < Duration::from_millis(40),
        "a little is forgotten: {takes:?}"
    );
    assert_eq!((batch.ready.clone(), late(batch)), (vec![1], vec![4]));
    let batch = story.take(62).unwrap();
    assert_eq!((batch.ready.clone(), late(batch)), (vec![], vec![3]));
    // One that could not finish if nobody waited is told that.
    let refused = story.push(6, Ask { rows: 40, deadline: 90, ..ASK }, 62);
    assert!(matches!(refused, Err(Refusal::Hopeless { takes }) if takes.as_millis() == 38), "{refused:?}");
    assert!(story.queue.is_clean());
    // What was slow once is not refused for ever.
    story.push(5, Ask { rows: 40, deadline: 4010, ..ASK }, 4000).unwrap();
    assert_eq!(story.take(4000).unwrap().ready, [5]);
}

#[test]
fn callers_leave_and_deadlines_pass_without_a_batch() {
    let mut story = Story::with(LIMITS);
    let slots: Vec<Slot> = (0..4)
        .map(|work| story.push(work, Ask { deadline: 10 * (4 - work as u64), ..ASK }, 0).unwrap())
        .collect();
    assert_eq!(story.queue.next_deadline(), Some(story.at(10)));
    assert_eq!((story.queue.leave(slots[3]), story.queue.leave(slots[3])), (Some(3), None));
    assert_eq!(story.queue.next_deadline(), Some(story.at(20)));
    let now = story.at(30);
    assert_eq!(story.queue.expire(now), [2, 1]);
    assert_eq!(story.queue.len(), 1);
    assert_eq!(story.take(31).unwrap().ready, [0]);
    assert!(story.queue.is_clean() && story.queue.next_deadline().is_none());
}

#[test]
fn a_queue_that_does_not_drain_sheds_its_lowest_class_and_closes_the_door() {
    let mut story = Story::with(Limits { batch_max: Cost { windows: 1, rows: 80 }, ..LIMITS });
    story.observe(1, 10, 0);
    for work in 0..200 {
        let priority = if work % 2 == 0 { Priority::Low } else { Priority::High };
        story.push(work, Ask { priority, ..ASK }, 0).unwrap();
    }
    let mut shed = Vec::new();
    for ms in (10..600).step_by(10) {
        story.observe(1, 10, ms);
        shed.extend(story.take(ms).unwrap().shed);
    }
    assert!(shed.len() > 5 && shed.iter().all(|work| work % 2 == 0), "{shed:?}");
    assert!(shed[0] > shed[1], "who came last is shed first: {shed:?}");
    assert!(matches!(story.push(500, ASK, 600), Err(Refusal::Backlog { .. })));
    assert!(story.push(501, Ask { priority: Priority::Critical, ..ASK }, 600).is_ok());
    while story.take(600).is_some() {}
    story.push(502, ASK, 700).unwrap();
    assert_eq!(story.take(710).unwrap().ready, [502]);
    assert!(story.push(503, ASK, 720).is_ok(), "the door is open again");
}

#[test]
fn three_times_what_can_be_answered_leaves_capacity_answered_and_nobody_waiting_long() {
    // A batch begins for 40 ms, and a window takes 5: in 125 ms, half of the target, go 17 of them, 136 a second.
    let took = |windows: usize| 40 + 5 * windows as u64;
    let check = |executors: usize| {
        let limits = Limits {
            batch_max: Cost { windows: 64, rows: 64 * 64 },
            executors,
            target: Duration::from_millis(250),
            interval: Duration::from_millis(250),
            ..LIMITS
        };
        let mut story = Story::with(limits);
        let mut running: Vec<(u64, Batch<usize>, u64)> = Vec::new();
        let (mut answered, mut waited, mut refused, mut shed) = (0, Vec::new(), 0, 0);
        let mut at_first = 0;
        let (seconds, capacity, mut arrived) = (20, 136 * executors as u64, Vec::new());
        for ms in 0..1000 * seconds {
            for (_, batch, took) in running.extract_if(.., |(end, ..)| *end <= ms) {
                answered += batch.ready.len() as u64;
                waited.extend(batch.ready.iter().map(|&work| ms - arrived[work]));
                at_first = if ms < 2000 { waited.iter().copied().max().unwrap_or(0) } else { at_first };
                let now = story.at(ms);
                story.queue.observe(0, batch.cost, false, Duration::from_millis(took), now);
            }
            for _ in ms * 3 * capacity / 1000..(ms + 1) * 3 * capacity / 1000 {
                arrived.push(ms);
                let ask = Ask { rows: 64, deadline: ms + 1000, ..ASK };
                refused += u64::from(story.push(arrived.len() - 1, ask, ms).is_err());
            }
            while running.len() < executors
                && let Some(batch) = story.take(ms)
            {
                shed += (batch.shed.len() + batch.late.len()) as u64;
                let took = took(batch.ready.len());
                running.extend((!batch.ready.is_empty()).then_some((ms + took, batch, took)));
            }
        }
        waited.sort_unstable();
        let (p50, p99) = (waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
        let facts = format!(
            "{answered} answered, {refused} refused, {shed} shed, waited {p50} and {p99} ms, at first {at_first}"
        );
        assert!(answered >= capacity * seconds * 9 / 10, "{facts}");
        assert!(p99 <= 500 && at_first <= 480 && refused > 50 * shed, "{facts}");
    };
    check(1);
    check(2);
}

#[test]
fn a_call_of_many_heavy_requests_finds_room_and_a_crowd_that_goes_on_coming_does_not() {
    // The target is 50 ms, and a request takes 10.
    let mut story = Story::with(LIMITS);
    story.observe(1, 10, 0);
    (0..64).for_each(|work| assert!(story.push(work, ASK, 100).is_ok(), "all at once"));
    assert!(story.push(64, ASK, 125).is_ok(), "nobody has waited for long");
    let refused = story.push(65, ASK, 126);
    assert!(matches!(refused, Err(Refusal::Backlog { .. })), "{refused:?}");
    assert!(story.push(66, Ask { priority: Priority::High, ..ASK }, 126).is_ok(), "it goes before them");
}

#[test]
fn what_runs_counts_while_all_executors_are_busy_and_batches_stay_short() {
    let mut story = Story::with(Limits { executors: 2, ..LIMITS });
    // A row takes a millisecond, so that 25 of them are half of what requests may wait.
    story.observe(10, 10, 0);
    for work in 0..6 {
        story.push(work, Ask { rows: 10, ..ASK }, 0).unwrap();
    }
    assert_eq!(story.take(0).unwrap().ready, [0, 1]);
    assert!(story.push(6, Ask { rows: 10, deadline: 38, ..ASK }, 0).is_ok(), "40 waiting on two, one idle");
    assert_eq!(story.take(0).unwrap().ready.len(), 2);
    // Now 20 of each batch are left, and 30 wait.
    let refused = story.push(7, Ask { rows: 10, deadline: 38, ..ASK }, 0);
    assert_eq!(refused, Err(Refusal::Backlog { takes: Duration::from_millis(35) }));
    story.observe(20, 20, 20);
    assert!(story.push(8, Ask { rows: 10, deadline: 56, ..ASK }, 20).is_ok(), "an executor is idle again");
}

#[test]
fn a_full_queue_refuses() {
    let mut story = Story::with(Limits { len_max: 2, ..LIMITS });
    assert!(story.push(0, ASK, 0).is_ok() && story.push(1, ASK, 0).is_ok());
    assert_eq!(story.push(2, ASK, 0), Err(Refusal::Full));
    assert_eq!((story.queue.len(), story.queue.is_empty()), (2, false));
}

proptest! {
    #[test]
    fn nobody_is_lost_or_doubled(
        requests in prop::collection::vec(
            (0usize..3, 0usize..4, 0usize..3, 1usize..12, 0u64..300, 0u64..200, prop::bool::weighted(0.1)), 0..80),
        slow in 0u64..5,
    ) {
        let mut story = Story::with(LIMITS);
        let mut seen = vec![0; requests.len()];
        let mut slots = Vec::new();
        for (work, &(lane, priority, tenant, windows, deadline, ms, leaves)) in requests.iter().enumerate() {
            let ask = Ask {
                lane,
                priority: Priority::ALL[priority],
                tenant: ["a", "b", "c"][tenant],
                windows,
                rows: windows,
                deadline,
                is_spare: false,
            };
            match story.push(work, ask, ms) {
                Ok(slot) => slots.push((work, slot, leaves)),
                Err(_) => seen[work] += 1,
            }
            if work % 7 == 6 {
                story.observe(windows, slow, ms);
                if let Some(batch) = story.take(ms) {
                    let windows: usize = batch.ready.iter().map(|&work| requests[work].3).sum();
                    prop_assert!(windows <= 8 || batch.ready.len() == 1);
                    prop_assert!(batch.ready.iter().all(|&work| requests[work].0 == batch.lane));
                    everybody(batch).for_each(|work| seen[work] += 1);
                }
            }
        }
        for (work, slot, _) in slots.into_iter().filter(|slot| slot.2) {
            let left = story.queue.leave(slot);
            prop_assert!(left.is_none_or(|left| left == work));
            seen[work] += usize::from(left.is_some());
        }
        let now = story.at(150);
        story.queue.expire(now).into_iter().for_each(|work| seen[work] += 1);
        while let Some(batch) = story.take(151) {
            everybody(batch).for_each(|work| seen[work] += 1);
        }
        prop_assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
        prop_assert!(story.queue.is_clean());
    }
}

#[test]
fn a_lane_is_used_again_when_its_model_is_gone_and_nobody_waits_for_it() {
    let mut story = Story::with(LIMITS);
    story.push(1, Ask { lane: 1, ..ASK }, 0).unwrap();
    story.queue.close_lane(1);
    assert_eq!(story.queue.open_lane(&model(3)), 3);
    story.queue.close_lane(2);
    story.queue.close_lane(2);
    assert_eq!((story.queue.open_lane(&model(3)), story.queue.open_lane(&model(4))), (2, 4));
}
