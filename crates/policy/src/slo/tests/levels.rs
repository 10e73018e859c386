//! All together: restarts, maintenance, acknowledgements, panels and health.

use super::*;

#[test]
fn a_restart_at_any_moment_loses_and_doubles_nothing() {
    let whole = |restart: Option<u64>| {
        let mut story = Story::of(objective(defaults::AVAILABILITY));
        let mut told = Vec::new();
        for at in 0..1_200 {
            if restart.is_some_and(|every| at % every == every - 1) {
                let past = story.levels.past();
                let objectives = vec![objective(defaults::AVAILABILITY)];
                story.levels = Levels::new(objectives, Options::default(), &past, tick(at)).unwrap();
            }
            let good = if (400..430).contains(&at) { 100 } else { 1_000 };
            told.extend(story.look(good, 1_000).into_iter().map(|change| (at, change)));
        }
        (shown(&told), story.levels)
    };
    let without = whole(None);
    assert!(without.0.len() > 4);
    assert_eq!(whole(Some(7)), without);
    assert_eq!(whole(Some(401)), without);
}

#[test]
fn what_was_counted_while_nobody_looked_is_counted_once() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    story.looks(100, 10, 10);
    let written = story.levels.past();
    // What was seen after that is seen again by whoever goes on from it, in one reading.
    story.looks(30, 9, 10);
    let objectives = vec![objective(defaults::AVAILABILITY)];
    story.levels = Levels::new(objectives, Options::default(), &written, tick(200)).unwrap();
    story.tick = 200;
    story.look(10, 10);
    let counts = story.watch().budget(tick(story.tick)).counts;
    assert_eq!(counts, Counts { good: 1_280, total: 1_310 });
}

#[test]
fn another_window_goes_on_and_another_indicator_begins_anew() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    story.looks(100, 10, 10);
    let past = story.levels.past();
    let counted = |objective: Objective| {
        let name = objective.name.clone();
        let levels = Levels::new(vec![objective], Options::default(), &past, tick(100)).unwrap();
        levels.watch(&name).unwrap().budget(tick(100)).counts.total
    };
    let before = objective(defaults::AVAILABILITY);
    assert_eq!(counted(Objective { window: Millis(7 * 86_400_000), ..before.clone() }), 1_000);
    let other = objective(defaults::ERROR_RATE).indicator;
    assert_eq!(counted(Objective { indicator: other, ..before }), 0);
}

#[test]
fn maintenance_is_reported_beside_and_changes_nothing() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    story.levels.announce(tick(100), tick(160), tick(0)).unwrap();
    story.looks(100, 1_000, 1_000);
    story.looks(60, 0, 1_000);
    story.looks(100, 990, 1_000);
    let now = tick(story.tick);
    let (with, without) = (story.watch().budget(now), story.watch().budget_without_maintenance(now));
    assert_eq!((with.counts.total, with.consumed, with.allowed, with.left), (260_000, 61_000, 130, -60_870));
    assert_eq!((without.counts.total, without.consumed, without.allowed), (200_000, 1_000, 100));
    let panel = &story.levels.panels(now)[0];
    assert_eq!(panel.compliance_without_maintenance, Some(0.995));
    assert!(story.levels.alerts().any(|alert| alert.in_maintenance && alert.is_firing()));
}

#[test]
fn the_four_moments_of_a_breach_are_kept_apart() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    story.looks(360, 1_000, 1_000);
    let by = "ann".into();
    assert!(!story.levels.acknowledge(&story.name.clone(), &by, tick(360)), "there is no breach yet");
    story.looks(10, 0, 1_000);
    assert!(story.levels.acknowledge(&story.name.clone(), &by, tick(372)));
    assert!(!story.levels.acknowledge(&story.name.clone(), &by, tick(373)), "the first stands");
    // The slowest ticket ends when its short window of 6 h is over.
    story.looks(2_300, 1_000, 1_000);
    let [ticket, breach] = story.watch().breaches() else { panic!("two breaches") };
    assert_eq!((breach.began, breach.detected, breach.restored), (tick(360), tick(362), Some(tick(370))));
    assert_eq!((breach.severity, ticket.severity), (Severity::Page, Severity::Ticket));
    assert_eq!((ticket.detected, ticket.restored), (tick(361), Some(tick(370))));
    assert!(breach.ended < ticket.ended, "a ticket is open for longer");
    let seconds = |seconds: u64| Some(Millis(seconds * 1_000));
    let panel = &story.levels.panels(tick(story.tick))[0];
    assert_eq!(panel.times.breaches, 1);
    assert_eq!(panel.times.to_detect, seconds(20));
    assert_eq!(panel.times.to_acknowledge, seconds(100));
    assert_eq!(panel.times.to_restore, seconds(100));
    assert_eq!(panel.times.between_failures, seconds((story.tick - 10) * 10));
    assert_eq!(panel.last_breach, Some(tick(360)));
}

#[test]
fn a_panel_says_how_it_stands() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    let panel = |story: &Story| story.levels.panels(tick(story.tick)).remove(0);
    assert_eq!((panel(&story).status, panel(&story).trend), (Status::NotEnoughData, Trend::Unknown));
    story.looks(6_000, 10_000, 10_000);
    assert_eq!((panel(&story).status, panel(&story).trend), (Status::Kept, Trend::Steady));
    assert_eq!((panel(&story).current, panel(&story).budget.burn), (Some(1.0), Some(0.0)));
    story.looks(100, 9_720, 10_000);
    assert_eq!((panel(&story).status, panel(&story).trend), (Status::AtRisk, Trend::Worsening));
    story.looks(100, 9_720, 10_000);
    assert_eq!(panel(&story).status, Status::Missed);
    story.looks(3_000, 10_000, 10_000);
    assert_eq!(panel(&story).trend, Trend::Improving);
}

#[test]
fn the_health_score_hides_no_page_and_counts_nothing_unknown() {
    let integrity = Objective { weight: 5, ..objective(defaults::INTEGRITY) };
    let objectives = vec![objective(defaults::AVAILABILITY), integrity];
    let mut levels = Levels::new(objectives, Options::default(), &Past::default(), tick(0)).unwrap();
    assert_eq!(levels.dashboard(tick(0)).health.score, None);
    let reading = |good| Reading {
        source: SourceId("gateway-0".into()),
        started: Some(tick(1)),
        counts: Counts { good, total: 1_000_000 },
    };
    levels.read(&named(defaults::AVAILABILITY), &reading(999_900), tick(1)).unwrap();
    levels.advance(tick(1));
    let health = levels.dashboard(tick(1)).health;
    assert!((health.score.unwrap() - 80.0).abs() < 1e-9, "a fifth of the budget is spent: {health:?}");
    assert_eq!(
        health.parts.iter().map(|part| (part.score.is_some(), part.weight)).collect::<Vec<_>>(),
        [(true, 25), (false, 5)]
    );
    levels.read(&named(defaults::INTEGRITY), &reading(999_999), tick(2)).unwrap();
    levels.advance(tick(2));
    let health = levels.dashboard(tick(2)).health;
    assert_eq!(health.paged, [named(defaults::INTEGRITY)]);
    let dashboard = levels.dashboard(tick(2));
    assert_eq!(
        (dashboard.panels.len(), dashboard.generated_at, dashboard.next_update),
        (2, tick(2), tick(3))
    );
    assert_eq!(health.parts[1].score, Some(0.0));
    assert!((health.mean.unwrap() - 80.0 * 25.0 / 30.0).abs() < 1e-9);
    assert_eq!(health.score, Some(Health::PAGED_MAX));
}

#[test]
fn seconds_of_throughput_are_counted_from_what_was_refused() {
    let mut story = Story::of(objective(defaults::THROUGHPUT));
    story.look(20_000, 20_000);
    story.look(9_999, 12_000);
    story.look(10_000, 12_000);
    assert_eq!(story.watch().budget(tick(3)).counts, Counts { good: 20, total: 30 });
    story.silence();
    assert_eq!(story.watch().budget(tick(4)).counts.total, 30, "no data is no second");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let check = |change: fn(&mut Objective), why: Invalid| {
        let mut own = objective(defaults::AVAILABILITY);
        change(&mut own);
        let refused = Levels::new(vec![own], Options::default(), &Past::default(), tick(0));
        assert_eq!(refused, Err(Error::Objective { name: named(defaults::AVAILABILITY), why }));
    };
    check(|own| own.window = Millis(60_000), Invalid::Window);
    check(|own| own.weight = 101, Invalid::Weight);
    check(|own| own.rules.push(Rule::OUTAGE), Invalid::Rules);
    check(|own| own.rules.push(Rule::ANY_EVENT), Invalid::RuleGoal("any_event".into()));
    check(
        |own| own.goal = Goal::AtLeast(PerMillion::new(500_000).unwrap()),
        Invalid::RuleGoal("burn_1h_5m".into()),
    );
    check(
        |own| own.rules = vec![Rule::AnyEvent { quiet: Millis(90 * 86_400_000) }],
        Invalid::RuleWindows("any_event".into()),
    );
    let twice = vec![objective(defaults::SECURITY), objective(defaults::SECURITY)];
    let refused = Levels::new(twice, Options::default(), &Past::default(), tick(0));
    assert_eq!(refused, Err(Error::Twice(named(defaults::SECURITY))));
    let mut story = Story::of(objective(defaults::SECURITY));
    let reading = Reading { source: SourceId("a".into()), started: None, counts: Counts::ZERO };
    assert_eq!(story.levels.read(&named("others"), &reading, tick(1)), Err(Error::Unknown(named("others"))));
}
