//! Stories of models with limits, and of requests that nobody waits for.

use super::*;

const ONE_AT_A_TIME: ModelLimits = ModelLimits { concurrency_max: Some(1), queue_len_max: None };

/// Two executors, and `m0` held to one of them.
fn held_to_one() -> Story {
    let mut story = Story::with(Limits { executors: 2, ..LIMITS });
    story.queue.set_limits(&model(0), ONE_AT_A_TIME);
    story
}

/// What is taken, as (lane, works).
fn taken(story: &mut Story, ms: u64) -> Option<(usize, Vec<usize>)> {
    story.take(ms).map(|batch| (batch.lane, batch.ready))
}

#[test]
fn a_model_at_its_limit_is_passed_over_and_the_others_run() {
    let mut story = held_to_one();
    let full = Ask { windows: 8, rows: 8, ..ASK };
    for (work, lane) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)] {
        story.push(work, Ask { lane, deadline: 100 + work as u64, ..full }, 0).unwrap();
    }
    assert_eq!(taken(&mut story, 1), Some((0, vec![0])));
    assert_eq!(taken(&mut story, 1), Some((1, vec![2])), "1 is nearer to its deadline, but of a busy model");
    assert_eq!(taken(&mut story, 1), Some((1, vec![4])));
    assert_eq!(taken(&mut story, 1), None);
    story.observe(8, 1, 2);
    assert_eq!(taken(&mut story, 2), Some((0, vec![1])));
    assert_eq!(taken(&mut story, 2), None);
    // A change holds at once.
    story.queue.set_limits(&model(0), ModelLimits { concurrency_max: Some(2), queue_len_max: None });
    assert_eq!(taken(&mut story, 2), Some((0, vec![3])));
    assert!(story.queue.is_clean());
}

#[test]
fn versions_share_the_limits_of_their_model() {
    let mut story = held_to_one();
    let other = story.queue.open_lane(&model(0));
    story.push(0, ASK, 0).unwrap();
    story.push(1, Ask { lane: other, ..ASK }, 0).unwrap();
    assert_eq!(taken(&mut story, 1), Some((0, vec![0])));
    assert_eq!(taken(&mut story, 1), None);
    story.observe(1, 1, 2);
    assert_eq!(taken(&mut story, 2), Some((other, vec![1])));
    // The limits go with the last version.
    story.queue.observe(other, Cost { windows: 1, rows: 1 }, false, Duration::ZERO, story.zero);
    story.queue.close_lane(0);
    story.queue.close_lane(other);
    let lanes = [story.queue.open_lane(&model(0)), story.queue.open_lane(&model(0))];
    for (work, lane) in lanes.into_iter().enumerate() {
        story.push(work, Ask { lane, ..ASK }, 3).unwrap();
    }
    assert!(taken(&mut story, 3).is_some() && taken(&mut story, 3).is_some());
}

#[test]
fn a_model_with_a_full_queue_refuses_and_leaves_the_others_their_places() {
    let check = |most: usize, pushes: &[usize], wanted: &[bool]| {
        let mut story = Story::with(Limits { len_max: 4, ..LIMITS });
        let limits = ModelLimits { concurrency_max: None, queue_len_max: Some(most) };
        story.queue.set_limits(&model(0), limits);
        let results = pushes.iter().map(|&lane| story.push(0, Ask { lane, ..ASK }, 0));
        let results: Vec<_> = results.collect();
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), wanted, "{pushes:?}");
        let refused = results.iter().zip(pushes).filter_map(|(result, &lane)| Some((lane, result.err()?)));
        for (lane, refusal) in refused {
            let own = Refusal::ModelFull { waiting: most };
            assert_eq!(refusal, if lane == 0 { own } else { Refusal::Full });
        }
    };
    check(2, &[0, 0, 0, 1, 1, 1], &[true, true, false, true, true, false]);
    check(1, &[0, 0, 0, 0, 1], &[true, false, false, false, true]);
}

#[test]
fn the_backlog_and_the_age_of_a_model_apart_hold_nobody_else_up() {
    let mut story = held_to_one();
    // A row takes a millisecond.
    story.observe(10, 10, 0);
    for work in 0..20 {
        story.push(work, Ask { rows: 25, ..ASK }, 0).unwrap();
    }
    assert_eq!(taken(&mut story, 0), Some((0, vec![0])));
    // Its own requests know what waits for them: 25 that run and 19 × 25 that wait, one after the other.
    let refused = story.push(20, Ask { rows: 25, deadline: 490, ..ASK }, 0);
    assert_eq!(refused, Err(Refusal::Backlog { takes: Duration::from_millis(500) }));
    assert!(story.push(21, Ask { lane: 1, rows: 25, deadline: 60, ..ASK }, 0).is_ok());
    // Its queue is too old for long: its own are shed, the others' not, though they are less urgent.
    story.push(22, Ask { lane: 1, priority: Priority::Low, ..ASK }, 100).unwrap();
    let mut shed = Vec::new();
    for ms in (100..400).step_by(50) {
        shed.extend(story.take(ms).map(|batch| batch.shed).unwrap_or_default());
    }
    assert!(!shed.is_empty() && shed.iter().all(|&work| work < 20), "{shed:?}");
    assert!(story.push(23, Ask { lane: 1, priority: Priority::Low, ..ASK }, 400).is_ok());
}

#[test]
fn spare_requests_run_while_nobody_else_can_and_leave_an_executor_free() {
    let spare = Ask { lane: 1, is_spare: true, priority: Priority::Critical, ..ASK };
    let mut story = Story::with(Limits { executors: 2, len_max: 1, ..LIMITS });
    story.push(0, spare, 0).unwrap();
    story.push(1, Ask { deadline: 200, ..spare }, 0).unwrap();
    story.push(2, Ask { priority: Priority::Low, ..ASK }, 0).unwrap();
    assert_eq!((story.queue.len(), story.queue.is_empty()), (1, false));
    assert_eq!((story.queue.len_of(0), story.queue.len_of(1)), (1, 0));
    assert_eq!(taken(&mut story, 1), Some((0, vec![2])), "the least urgent goes first");
    assert_eq!(taken(&mut story, 1), Some((1, vec![0])), "then one of those, alone");
    assert_eq!(taken(&mut story, 1), None, "one executor stays free");
    let now = story.at(200);
    assert_eq!(story.queue.expire(now), [1]);
    assert!(story.queue.is_clean());
    // They are bounded, whatever else waits.
    let fits = (0..200).take_while(|&work| story.push(work, spare, 200).is_ok()).count();
    assert_eq!(story.push(0, spare, 200), Err(Refusal::Full));
    assert!((1..200).contains(&fits) && story.push(0, ASK, 200).is_ok());
}

#[test]
fn one_that_is_passed_over_saves_nothing_up() {
    let mut story = held_to_one();
    let alone = Ask { windows: 8, rows: 80, ..ASK };
    for work in 0..40 {
        story.push(work, Ask { tenant: "held", ..alone }, 0).unwrap();
        story.push(100 + work, Ask { lane: 1, tenant: "other", ..alone }, 0).unwrap();
    }
    // One of the model that is held to one executor runs all the while; the other tenant goes on meanwhile.
    let first: Vec<_> = (0..21).flat_map(|_| story.take(1).unwrap().ready).collect();
    assert_eq!(first.iter().filter(|&&work| work < 100).count(), 1, "{first:?}");
    story.queue.set_limits(&model(0), ModelLimits::default());
    let next: Vec<_> = (0..10).flat_map(|_| story.take(2).unwrap().ready).collect();
    let held = next.iter().filter(|&&work| work < 100).count();
    assert!((4..=6).contains(&held), "{next:?}");
}

proptest! {
    #[test]
    fn limits_hold_and_everybody_is_answered(
        requests in prop::collection::vec((0usize..3, 0usize..4, prop::bool::weighted(0.2)), 1..60),
        limits in prop::collection::vec((prop::option::of(1usize..3), prop::option::of(1usize..8)), 3),
        executors in 1usize..5,
    ) {
        let mut story = Story::with(Limits { executors, ..LIMITS });
        for (lane, &(concurrency_max, queue_len_max)) in limits.iter().enumerate() {
            story.queue.set_limits(&model(lane), ModelLimits { concurrency_max, queue_len_max });
        }
        let (mut waiting, mut done) = ([0; 3], 0);
        let mut allowed = 0;
        for (work, &(lane, priority, is_spare)) in requests.iter().enumerate() {
            let ask = Ask { lane, priority: Priority::ALL[priority], is_spare, ..ASK };
            let may_wait = is_spare || limits[lane].1.is_none_or(|most| waiting[lane] < most);
            prop_assert_eq!(story.push(work, ask, 0).is_ok(), may_wait);
            waiting[lane] += usize::from(may_wait && !is_spare);
            allowed += usize::from(may_wait);
        }
        let mut running: Vec<(usize, bool)> = Vec::new();
        for ms in 0..1000 {
            while running.len() < executors {
                let Some(batch) = story.take(ms) else { break };
                done += batch.ready.len();
                running.push((batch.lane, batch.is_spare));
                let spare = running.iter().filter(|(_, is_spare)| *is_spare).count();
                prop_assert!(spare <= (executors - 1).max(1), "{running:?}");
                for (lane, &(most, _)) in limits.iter().enumerate() {
                    let now = running.iter().filter(|running| running.0 == lane).count();
                    prop_assert!(most.is_none_or(|most| now <= most), "{running:?}");
                }
            }
            if running.is_empty() {
                break;
            }
            // Normal ones first, so that spare ones run on beside the next of their lane.
            let ended = running.iter().position(|(_, is_spare)| !is_spare).unwrap_or(0);
            let (lane, is_spare) = running.remove(ended);
            let now = story.at(ms);
            story.queue.observe(lane, Cost { windows: 1, rows: 1 }, is_spare, Duration::ZERO, now);
        }
        prop_assert_eq!(done, allowed);
        prop_assert!(story.queue.is_clean() && story.take(2000).is_none());
    }
}
