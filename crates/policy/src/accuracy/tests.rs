use super::*;
use proptest::prelude::*;

const V1: ModelVersion = ModelVersion(1);
const V2: ModelVersion = ModelVersion(2);

fn memory(memory_bytes: usize) -> Memory {
    Memory::new(Limits { memory_bytes, age_max: Millis(1_000) })
}

fn model() -> ModelName {
    "taxi".parse().unwrap()
}

fn key(place: Place) -> Key {
    Key { tenant: TenantId("default".into()), model: model(), place }
}

fn request(id: &str) -> Key {
    key(Place::Request { id: id.into(), window: 0 })
}

fn step(step: u64) -> Key {
    key(Place::Step { sequence: SequenceId::of_text("s").unwrap(), step })
}

/// A forecast of one target, within 1 of the truth by its own account, after a last value of 0.
fn forecast(values: &[f32]) -> Forecast {
    let interval = Interval {
        lower: values.iter().map(|value| value - 1.0).collect(),
        upper: values.iter().map(|value| value + 1.0).collect(),
        coverage: 0.9,
    };
    let shape = Shape { horizon: values.len(), targets: 1 };
    Forecast::new(shape, values.to_vec()).unwrap().within(interval).after(vec![0.0])
}

/// A step that was fed these rows and forecasts.
fn fed(rows: &[f32], values: &[f32]) -> Forecast {
    let last = rows.last().copied().unwrap();
    let fed = Fed::new(rows.len() as u64, 1, rows.to_vec()).unwrap();
    forecast(values).after(vec![last]).fed_with(fed)
}

fn figures(memory: &Memory, version: ModelVersion) -> Figures {
    let all = memory.figures(&model());
    all.into_iter().find(|(found, _)| *found == version).map(|(_, figures)| figures).unwrap_or_default()
}

#[test]
fn rows_beyond_all_scale_are_counted_apart_and_leave_the_figures_finite() {
    let mut memory = memory(1 << 20);
    for (id, truth) in [("a", 1.5), ("b", 1e38), ("c", f32::MAX), ("d", -1e38), ("e", 0.5)] {
        memory.remember(&request(id), V1, forecast(&[1.0]), Millis(0));
        memory.observe(&request(id), 1, &[truth], 1, Millis(0)).unwrap();
    }
    // One from such a row, whose naive forecast is of no use.
    memory.remember(&request("f"), V1, forecast(&[1.0]).after(vec![-1e38]), Millis(0));
    memory.observe(&request("f"), 1, &[1.0], 1, Millis(0)).unwrap();
    let found = figures(&memory, V1);
    assert_eq!((found.matured_total, found.off_scale_total, found.values, found.intervals), (6, 4, 2, 2));
    assert_eq!((found.mean_absolute_error, found.coverage), (Some(0.5), Some(1.0)));
    assert_eq!((found.root_mean_squared_error, found.mean_interval_score), (Some(0.5), Some(2.0)));
    assert_eq!(found.awaiting, 0);
    // Large and in scale: that is what the data are.
    memory.remember(&request("g"), V1, forecast(&[1.0]), Millis(0));
    memory.observe(&request("g"), 1, &[1e27], 1, Millis(0)).unwrap();
    let found = figures(&memory, V1);
    assert_eq!((found.off_scale_total, found.values), (4, 3));
    assert!(
        [found.mean_absolute_error, found.root_mean_squared_error, found.mean_interval_score]
            .iter()
            .all(|figure| figure.is_some_and(f64::is_finite))
    );
}

#[test]
fn a_version_that_alone_is_beyond_all_scale_is_the_worse_one_and_rows_that_are_tell_nothing() {
    let mut memory = memory(1 << 22);
    let ask = |memory: &mut Memory, id: usize, wild: f32, truth: f32| {
        let key = request(&id.to_string());
        memory.remember(&key, V1, forecast(&[1.0]), Millis(0));
        memory.remember(&key, V2, forecast(&[wild]), Millis(0));
        memory.observe(&key, 1, &[truth], 1, Millis(0)).unwrap();
    };
    (0..300).for_each(|id| ask(&mut memory, id, 1.0, 1e38));
    assert_eq!(memory.comparisons(&model()), []);
    (300..600).for_each(|id| ask(&mut memory, id, 1e38, 1.0));
    let found = memory.comparisons(&model())[0];
    assert_eq!((found.requests, found.verdict), (300, Verdict::Worse));
    assert!(found.mean_difference.is_some_and(f64::is_finite), "{found:?}");
    assert_eq!(figures(&memory, V2).off_scale_total, 600);
    assert_eq!(figures(&memory, V1).values, 300);
}

#[test]
fn figures_are_in_the_bound_and_those_unused_for_longest_begin_anew() {
    let limit = 64 << 10;
    let mut memory = memory(limit);
    let named = |model: usize, id: usize| {
        let place = Place::Request { id: id.to_string().into(), window: 0 };
        Key { model: format!("m{model}").parse().unwrap(), ..key(place) }
    };
    // Two versions of each model, whose values and differences would take megabytes in all.
    for id in 0..20_000 {
        let key = named(id / 500, id);
        for version in [V1, V2] {
            memory.remember(&key, version, forecast(&[1.0, 2.0]), Millis(0));
        }
        memory.observe(&key, 1, &[1.5, 2.5], 1, Millis(0)).unwrap();
        assert!(memory.bytes() <= limit, "{} bytes at {id}", memory.bytes());
    }
    let of = |model: usize| memory.figures(&named(model, 0).model)[0].1;
    assert_eq!((of(0).matured_total, of(0).values), (1000, 0), "counts stay");
    assert!(of(39).values > 100, "the newest are made of something: {:?}", of(39));
}

#[test]
fn truths_arrive_in_pieces_and_count_once() {
    let mut memory = memory(1 << 20);
    memory.remember(&request("a"), V1, forecast(&[10.0, 20.0, 30.0]), Millis(0));
    assert_eq!((figures(&memory, V1).awaiting, figures(&memory, V1).values), (1, 0));
    let mut check = |key: &Key, first, values: &[f32], targets, wanted: Result<(usize, usize), Refusal>| {
        let got = memory.observe(key, first, values, targets, Millis(1));
        assert_eq!(got.map(|found| (found.matched, found.repeated)), wanted, "{first} {values:?}");
    };
    let a = request("a");
    check(&a, 2, &[23.0], 1, Ok((1, 0)));
    check(&a, 2, &[23.0], 1, Ok((0, 1)));
    check(&a, 1, &[10.5, 23.0], 1, Ok((1, 1)));
    check(&a, 2, &[24.0], 1, Err(Refusal::Contradicts { step: 2 }));
    // Nothing of a refused truth counts.
    check(&a, 2, &[24.0, 30.0], 1, Err(Refusal::Contradicts { step: 2 }));
    check(&a, 0, &[1.0], 1, Err(Refusal::Horizon { horizon: 3 }));
    check(&a, 3, &[30.0, 40.0], 1, Err(Refusal::Horizon { horizon: 3 }));
    check(&a, usize::MAX, &[30.0], 1, Err(Refusal::Horizon { horizon: 3 }));
    check(&a, 3, &[], 1, Err(Refusal::Horizon { horizon: 3 }));
    check(&a, 3, &[30.0, 1.0], 2, Err(Refusal::Targets { wanted: 1 }));
    check(&request("b"), 1, &[30.0], 1, Err(Refusal::Unknown));
    check(&key(Place::Request { id: "a".into(), window: 1 }), 1, &[30.0], 1, Err(Refusal::Unknown));
    let others = Key { tenant: TenantId("other".into()), ..request("a") };
    check(&others, 1, &[30.0], 1, Err(Refusal::Unknown));
    let found = figures(&memory, V1);
    assert_eq!((found.matured_total, found.values, found.intervals, found.awaiting), (2, 2, 2, 1));
    let close =
        |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-6, "{found:?}");
    close(found.mean_absolute_error, 1.75);
    close(found.root_mean_squared_error, ((9.0 + 0.25) / 2.0_f64).sqrt());
    close(found.coverage, 0.5);
    close(found.mean_interval_width, 2.0);
    // 2 within; 2 and 2/0.1 times the 2 beyond it.
    close(found.mean_interval_score, (2.0 + 42.0) / 2.0);
    close(found.skill, 1.0 - 3.5 / 33.5);
    memory.observe(&request("a"), 3, &[30.0], 1, Millis(2)).unwrap();
    assert_eq!(figures(&memory, V1).awaiting, 0);
}

#[test]
fn the_oldest_is_forgotten_first_and_counted() {
    let mut memory = memory(5_000);
    for index in 0..100 {
        memory.remember(&request(&index.to_string()), V1, forecast(&[1.0, 2.0]), Millis(index));
        assert!(memory.bytes() <= 5_000, "{} bytes", memory.bytes());
    }
    let found = figures(&memory, V1);
    assert!(found.awaiting > 3 && found.awaiting + found.forgotten_total == 100, "{found:?}");
    assert_eq!(memory.observe(&request("0"), 1, &[1.0], 1, Millis(100)), Err(Refusal::Unknown));
    assert!(memory.observe(&request("99"), 1, &[1.0, 2.0], 1, Millis(100)).is_ok());
    // What is complete is not missed; the rest is too old by now.
    assert_eq!(memory.observe(&request("99"), 1, &[1.0], 1, Millis(1_100)), Err(Refusal::Unknown));
    assert_eq!(figures(&memory, V1).awaiting, 0);
    let of_figures = memory.bytes();
    assert!(of_figures < 200, "{of_figures} bytes");
    assert_eq!(figures(&memory, V1).forgotten_total, 99);
    // What has no room at all is forgotten at once.
    memory.remember(&request("large"), V1, forecast(&[0.0; 2_000]), Millis(1_100));
    assert_eq!((memory.bytes(), figures(&memory, V1).forgotten_total), (of_figures, 100));
}

#[test]
fn a_retry_is_the_same_forecast_and_an_id_that_is_used_again_another_one() {
    let mut memory = memory(1 << 20);
    let a = request("a");
    memory.remember(&a, V1, forecast(&[1.0]), Millis(0));
    memory.observe(&a, 1, &[1.5], 1, Millis(0)).unwrap();
    memory.remember(&a, V1, forecast(&[1.0]), Millis(1));
    assert_eq!(memory.observe(&a, 1, &[1.5], 1, Millis(1)).unwrap().repeated, 1);
    // From another last row: a new request, of whichever version.
    memory.remember(&a, V2, forecast(&[1.0]).after(vec![7.0]), Millis(2));
    assert_eq!(memory.observe(&a, 1, &[9.0], 1, Millis(2)).unwrap().matched, 1);
    assert_eq!((figures(&memory, V1).matured_total, figures(&memory, V2).matured_total), (1, 1));
    assert!(memory.comparisons(&model()).is_empty());
    let wide = Forecast::new(Shape { horizon: 1, targets: 2 }, vec![0.0; 2]).unwrap();
    memory.remember(&a, V1, wide, Millis(3));
    assert_eq!(figures(&memory, V1).forgotten_total, 1);
}

#[test]
fn a_version_that_comes_late_is_judged_on_what_is_known() {
    let mut memory = memory(1 << 20);
    for index in 0..400_u64 {
        let a = request(&index.to_string());
        let truth = [index as f32, (index % 7) as f32];
        memory.remember(&a, V1, forecast(&[truth[0] + 2.0, truth[1] - 2.0]), Millis(0));
        if index % 2 == 0 {
            memory.observe(&a, 1, &truth, 1, Millis(0)).unwrap();
        }
        memory.remember(&a, V2, forecast(&[truth[0] - 1.0, truth[1] + 1.0, 0.0]), Millis(0));
        memory.observe(&a, 1, &truth, 1, Millis(0)).unwrap();
    }
    assert_eq!(figures(&memory, V2).mean_absolute_error, Some(1.0));
    assert_eq!(figures(&memory, V1).mean_absolute_error, Some(2.0));
    assert_eq!((figures(&memory, V1).awaiting, figures(&memory, V2).awaiting), (0, 400));
    let all = memory.comparisons(&model());
    let [found] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((found.version, found.against, found.requests), (V2, V1, 400));
    assert_eq!((found.mean_difference, found.verdict), (Some(-1.0), Verdict::Better));
}

#[test]
fn what_is_answered_beside_joins_its_own_request_and_no_other() {
    let mut memory = memory(1 << 20);
    memory.remember_beside(&request("a"), V2, forecast(&[1.0]), Millis(0));
    assert_eq!(figures(&memory, V2).awaiting, 0, "nobody remembers what the caller got");
    memory.remember(&request("a"), V1, forecast(&[1.0]), Millis(0));
    memory.remember_beside(&request("a"), V2, forecast(&[2.0]), Millis(0));
    assert_eq!(figures(&memory, V2).awaiting, 1);
    // The id is used again, and the answer beside the first comes late.
    memory.remember(&request("a"), V1, forecast(&[5.0]).after(vec![4.0]), Millis(1));
    memory.remember_beside(&request("a"), V2, forecast(&[2.0]), Millis(2));
    assert_eq!(memory.observe(&request("a"), 1, &[5.0], 1, Millis(3)).unwrap().matched, 1);
    assert_eq!((figures(&memory, V1).values, figures(&memory, V2).values), (1, 0));
}

#[test]
fn the_rows_of_a_step_are_the_truth_for_those_before_it() {
    let mut memory = memory(1 << 20);
    memory.remember(&step(1), V1, fed(&[1.0, 2.0], &[3.0, 4.0, 5.0]), Millis(0));
    // One row: the first step of the forecast before it.
    memory.remember(&step(2), V1, fed(&[3.5], &[4.0, 5.0, 6.0]), Millis(0));
    assert_eq!(figures(&memory, V1).values, 1);
    // Three rows: what was left of step 1, and all of step 2. Sent again, they count once.
    for _ in 0..2 {
        memory.remember(&step(3), V1, fed(&[4.5, 5.5, 6.5], &[7.0, 8.0, 9.0]), Millis(0));
    }
    let found = figures(&memory, V1);
    assert_eq!((found.values, found.awaiting, found.mean_absolute_error), (6, 1, Some(0.5)));
    // The caller may tell what comes after the last step, and what is known already.
    assert_eq!(memory.observe(&step(3), 1, &[7.0], 1, Millis(0)).unwrap().matched, 1);
    assert_eq!(memory.observe(&step(1), 1, &[3.5, 4.5, 5.5], 1, Millis(0)).unwrap().repeated, 3);
    // A step that nobody remembers breaks the chain: nothing is matched across it.
    memory.remember(&step(5), V1, fed(&[100.0], &[1.0, 1.0, 1.0]), Millis(0));
    memory.break_at(&step(5));
    memory.remember(&step(6), V1, fed(&[200.0], &[1.0, 1.0, 1.0]), Millis(0));
    assert_eq!(figures(&memory, V1).values, 7);
    // Begun anew: step 1 is another one, and has nothing before it.
    memory.remember(&step(1), V1, fed(&[50.0], &[51.0, 52.0, 53.0]), Millis(0));
    memory.remember(&step(2), V1, fed(&[51.0], &[52.0, 53.0, 54.0]), Millis(0));
    assert_eq!(figures(&memory, V1).values, 8);
}

#[test]
fn a_step_without_an_answer_leaves_nothing_of_an_earlier_run_in_the_chain() {
    let run = |skipped: u64| {
        let mut memory = memory(1 << 20);
        for number in 1..=4 {
            memory.remember(&step(number), V1, fed(&[number as f32], &[0.0, 0.0]), Millis(0));
        }
        let before = figures(&memory, V1).values;
        // Begun anew with other rows; one step is never answered.
        memory.begin_run(&step(1));
        for number in (1..=4).filter(|number| *number != skipped) {
            memory.remember(&step(number), V1, fed(&[100.0 + number as f32], &[100.0, 100.0]), Millis(0));
        }
        (memory, before)
    };
    // Without a gap: 1 + 2 + 2 values. With one: only what follows without it.
    for (skipped, wanted) in [(0, 5), (1, 3), (2, 1), (3, 1)] {
        let (memory, before) = run(skipped);
        let found = figures(&memory, V1);
        assert_eq!((before, found.values - before), (5, wanted), "without an answer to {skipped}");
        assert!(memory.bytes() > 0);
        // 1, 2, 3, 4 were five errors of 2 or more for the first run; the second is within 4 of the truth.
        assert!(found.mean_absolute_error.unwrap() < 4.0, "{found:?}");
    }
    // A truth that is told by the number still finds what the earlier run forecast.
    let (mut memory, _) = run(4);
    assert_eq!(memory.observe(&step(4), 1, &[5.0], 1, Millis(0)).unwrap().matched, 1);
}

#[test]
fn the_same_run_again_follows_itself_and_its_truths_count_once() {
    let mut memory = memory(1 << 20);
    let mut run = |first: &[f32]| {
        memory.begin_run(&step(1));
        memory.remember(&step(1), V1, fed(first, &[2.0, 3.0]), Millis(0));
        memory.remember(&step(2), V1, fed(&[2.5], &[3.0, 4.0]), Millis(0));
        memory.remember(&step(3), V1, fed(&[3.5], &[4.0, 5.0]), Millis(0));
        figures(&memory, V1).values
    };
    assert_eq!(run(&[1.0]), 3);
    assert_eq!(run(&[1.0]), 3);
    // The same forecasts after more rows: steps count from the new first one.
    assert_eq!(run(&[0.0, 1.0]), 3);
}

#[test]
fn failures_are_counted_by_version_and_stand_beside_a_comparison() {
    let mut memory = memory(1 << 20);
    for index in 0..3 {
        let a = request(&index.to_string());
        memory.remember(&a, V1, forecast(&[1.0]), Millis(0));
        memory.remember(&a, V2, forecast(&[2.0]), Millis(0));
        memory.observe(&a, 1, &[1.0], 1, Millis(0)).unwrap();
        memory.count_failed(&model(), V2);
    }
    memory.count_failed(&model(), ModelVersion(3));
    let failed = |version| figures(&memory, version).failed_total;
    assert_eq!((failed(V1), failed(V2), failed(ModelVersion(3))), (0, 3, 1));
    let [found] = memory.comparisons(&model())[..] else { panic!("one comparison") };
    assert_eq!((found.requests, found.failed_total, found.against_failed_total), (3, 3, 0));
}

#[test]
fn versions_without_end_do_not_fill_the_memory() {
    let mut memory = memory(1 << 20);
    for version in 1..=100 {
        let a = request(&version.to_string());
        memory.remember(&a, ModelVersion(version), forecast(&[1.0]), Millis(0));
        memory.observe(&a, 1, &[1.0], 1, Millis(0)).unwrap();
    }
    let kept = memory.figures(&model());
    assert_eq!((kept.len(), kept[0].0), (8, ModelVersion(93)));
}

/// What a stranger may do.
#[derive(Debug, Clone)]
enum Act {
    Remember { id: u8, version: u32, value: i8, horizon: usize },
    Observe { id: u8, first: usize, values: Vec<i8> },
    Step { step: u64, rows: Vec<i8>, value: i8 },
}

fn act() -> impl Strategy<Value = Act> {
    let values = || proptest::collection::vec(-2..3_i8, 0..4);
    prop_oneof![
        (0..6_u8, 1..4_u32, -2..3_i8, 1..4_usize).prop_map(|(id, version, value, horizon)| Act::Remember {
            id,
            version,
            value,
            horizon
        }),
        (0..6_u8, 0..5_usize, values()).prop_map(|(id, first, values)| Act::Observe { id, first, values }),
        (1..6_u64, proptest::collection::vec(-2..3_i8, 1..4), -2..3_i8)
            .prop_map(|(step, rows, value)| Act::Step { step, rows, value }),
    ]
}

proptest! {
    #[test]
    fn memory_stays_within_its_limit_and_every_forecast_is_accounted_for(
        acts in proptest::collection::vec((act(), 0..300_u64), 0..200),
        memory_bytes in 0..8_000_usize,
    ) {
        let mut memory = memory(memory_bytes);
        let mut now = 0;
        for (act, passed) in acts {
            now += passed;
            let floats = |values: &[i8]| values.iter().map(|value| f32::from(*value)).collect::<Vec<_>>();
            match act {
                Act::Remember { id, version, value, horizon } => {
                    let values = vec![f32::from(value); horizon];
                    memory.remember(&request(&id.to_string()), ModelVersion(version), forecast(&values), Millis(now));
                }
                Act::Observe { id, first, values } => {
                    let _ = memory.observe(&request(&id.to_string()), first, &floats(&values), 1, Millis(now));
                }
                Act::Step { step: number, rows, value } => {
                    memory.remember(&step(number), V1, fed(&floats(&rows), &[f32::from(value); 3]), Millis(now));
                }
            }
            prop_assert!(memory.bytes() <= memory_bytes);
            let held: usize = memory.entries.values().map(Entry::bytes).sum();
            let of_figures: usize = memory.models.values().map(|model| model.figures.bytes()).sum();
            prop_assert_eq!(memory.bytes(), held + of_figures);
            prop_assert_eq!(memory.entries.len(), memory.ordinals.len());
            let awaiting: u64 = memory.figures(&model()).iter().map(|(_, figures)| figures.awaiting).sum();
            let waiting: usize = memory.entries.values().map(Entry::waiting).sum();
            prop_assert_eq!(awaiting, waiting as u64);
        }
    }

    #[test]
    fn figures_do_not_depend_on_the_order_of_truths_and_forecasts(
        cases in proptest::collection::vec((-9.0..9.0_f32, -9.0..9.0_f32, -9.0..9.0_f32), 1..40),
        order in any::<u64>(),
    ) {
        // Every request has two versions of two steps; each truth comes twice, in any order.
        let mut truths: Vec<(usize, usize)> = (0..cases.len()).flat_map(|i| [(i, 1), (i, 2), (i, 2), (i, 1)]).collect();
        let in_order = told(&cases, &truths, V1);
        let mut rng = spinwell_core::Rng::seeded(order);
        for index in (1..truths.len()).rev() {
            truths.swap(index, rng.below(index as u64 + 1) as usize);
        }
        let shuffled = told(&cases, &truths, V2);
        for version in [V1, V2] {
            let (one, other) = (figures(&in_order, version), figures(&shuffled, version));
            prop_assert_eq!(one.matured_total, 2 * cases.len() as u64);
            prop_assert_eq!((one.matured_total, one.coverage), (other.matured_total, other.coverage));
            for (a, b) in [
                (one.mean_absolute_error, other.mean_absolute_error),
                (one.root_mean_squared_error, other.root_mean_squared_error),
                (one.mean_interval_score, other.mean_interval_score),
                (one.skill, other.skill),
            ] {
                prop_assert!((a.unwrap() - b.unwrap()).abs() < 1e-9, "{:?} {:?}", a, b);
            }
        }
        let (one, other) = (in_order.comparisons(&model()), shuffled.comparisons(&model()));
        prop_assert_eq!(one[0].requests, cases.len());
        prop_assert!((one[0].mean_difference.unwrap() - other[0].mean_difference.unwrap()).abs() < 1e-9);
    }
}

/// A memory in which `first` forecast before the other version, which comes when half of the truth is told.
fn told(cases: &[(f32, f32, f32)], truths: &[(usize, usize)], first: ModelVersion) -> Memory {
    let mut memory = memory(1 << 20);
    let remember = |memory: &mut Memory, version: ModelVersion| {
        for (index, &(a, b, _)) in cases.iter().enumerate() {
            let value = if version == V1 { a } else { b };
            memory.remember(&request(&index.to_string()), version, forecast(&[value, -value]), Millis(0));
        }
    };
    remember(&mut memory, first);
    for (position, &(index, step)) in truths.iter().enumerate() {
        if position == truths.len() / 2 {
            remember(&mut memory, if first == V1 { V2 } else { V1 });
        }
        memory.observe(&request(&index.to_string()), step, &[cases[index].2], 1, Millis(0)).unwrap();
    }
    memory
}
