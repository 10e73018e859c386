//! Alerts, one story each: when they begin, when they end, and when not.

use super::super::alert::State;
use super::*;

fn check(changes: &[(u64, Change)], expected: &[(u64, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
    assert_eq!(shown(changes), expected);
}

/// Availability with one of its rules.
fn availability(rule: Rule) -> Objective {
    Objective { rules: vec![rule], ..objective(defaults::AVAILABILITY) }
}

const FAST: Rule = Rule::BURN_RATES[0];

#[test]
fn an_outage_of_everything_is_told_after_half_a_minute() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    check(&story.looks(360, 1_000, 1_000), &[]);
    // With an hour of history all long windows hold the same: 0.72 % of them are 26 s, and the third look is the one.
    let told = story.looks(6, 0, 1_000);
    check(
        &told,
        &[
            (361, "burn_1d_2h fires"),
            (361, "burn_3d_6h fires"),
            (361, "ticket breach since 360"),
            (362, "burn_6h_30m fires"),
            (362, "page breach since 360"),
            (363, "outage fires"),
            (363, "burn_1h_5m fires"),
        ],
    );
}

#[test]
fn one_per_cent_of_errors_is_told_when_the_hour_holds_0_72_per_cent() {
    let mut story = Story::of(availability(FAST));
    story.looks(2_200, 1_000, 1_000);
    // 1 % for x of 360 looks: more than 0.72 % from x = 260 on.
    let told = story.looks(300, 990, 1_000);
    check(&told, &[(2_460, "burn_1h_5m fires"), (2_460, "page breach since 2200")]);
    // The last 30 looks hold more than 0.72 % while 22 of them are bad; then 5 minutes of calm.
    let told = story.looks(60, 1_000, 1_000);
    check(&told, &[(2_539, "burn_1h_5m ends"), (2_539, "page breach 2200 to 2500")]);
}

#[test]
fn what_hovers_about_the_threshold_is_one_alert() {
    let mut story = Story::of(availability(FAST));
    story.looks(360, 1_000, 1_000);
    let mut told = Vec::new();
    for _ in 0..40 {
        // The short window falls below the threshold and rises above it again, over and over.
        told.extend(story.looks(10, 900, 1_000));
        told.extend(story.looks(29, 1_000, 1_000));
    }
    let fires = told.iter().filter(|(_, change)| matches!(change, Change::Fires(_))).count();
    let ends = told.iter().filter(|(_, change)| matches!(change, Change::Resolved(_))).count();
    assert_eq!((fires, ends), (1, 0), "{:?}", shown(&told));
}

#[test]
fn few_events_say_nothing_and_the_thousandth_does() {
    let mut story = Story::of(availability(FAST));
    // Two a look: 720 an hour.
    check(&story.looks(1_000, 1, 2), &[]);
    let mut story = Story::of(availability(FAST));
    check(&story.looks(249, 3, 4), &[]);
    check(&story.looks(1, 3, 4), &[(250, "burn_1h_5m fires"), (250, "page breach since 0")]);
}

#[test]
fn one_lonely_request_that_fails_is_no_outage() {
    let mut story = Story::of(availability(Rule::OUTAGE));
    story.looks(10, 5, 5);
    check(&story.looks(1, 0, 1), &[]);
    check(&story.looks(60, 0, 0), &[]);
    // Others fail as well, until somebody has success.
    check(&story.looks(4, 0, 1), &[(75, "outage fires"), (75, "page breach since 10")]);
    let told = story.looks(31, 1, 1);
    check(&told, &[(106, "outage ends"), (106, "page breach 10 to 75")]);
}

#[test]
fn where_nothing_may_be_bad_one_event_pages_until_an_hour_was_without() {
    let mut story = Story::of(objective(defaults::INTEGRITY));
    check(&story.looks(100, 50, 50), &[]);
    check(&story.looks(1, 49, 50), &[(101, "any_event fires"), (101, "page breach since 100")]);
    // It is in the last hour for 360 looks, and 5 minutes of calm are 30 more.
    check(&story.looks(400, 50, 50), &[(491, "any_event ends"), (491, "page breach 100 to 101")]);
}

#[test]
fn a_band_is_left_on_either_side_and_says_nothing_with_few_events() {
    for bad_of_100 in [3, 8] {
        let mut story = Story::of(objective(defaults::INTERVAL_COVERAGE));
        let told = story.looks(60, 100 - bad_of_100, 100);
        check(&told, &[(50, "out_of_band fires"), (50, "ticket breach since 50")][..]);
    }
    let mut story = Story::of(objective(defaults::INTERVAL_COVERAGE));
    check(&story.looks(100, 95, 100), &[]);
    assert_eq!(story.levels.panels(tick(100))[0].status, Status::Kept);
}

#[test]
fn silence_is_no_recovery() {
    let mut story = Story::of(availability(FAST));
    story.looks(360, 1_000, 1_000);
    check(&story.looks(3, 0, 1_000), &[(363, "burn_1h_5m fires"), (363, "page breach since 360")]);
    for _ in 0..2_000 {
        assert_eq!(story.silence(), []);
    }
    assert_eq!(story.levels.panels(tick(story.tick))[0].firing, Some(Severity::Page));
    // Who is heard of again has been well for five minutes before it is over.
    let told = story.looks(40, 1_000, 1_000);
    check(&told, &[(2_394, "burn_1h_5m ends"), (2_394, "page breach 360 to 363")]);
}

#[test]
fn calm_before_a_silence_is_no_calm_after_it() {
    let mut story = Story::of(availability(FAST));
    story.looks(360, 1_000, 1_000);
    story.looks(3, 0, 1_000);
    // The short window is clean after 30 looks; one minute of calm is known, and the rest of five is not.
    check(&story.looks(36, 1_000, 1_000), &[]);
    for _ in 0..40 {
        assert_eq!(story.silence(), []);
    }
    check(&story.looks(30, 1_000, 1_000), &[]);
    check(&story.looks(1, 1_000, 1_000), &[(470, "burn_1h_5m ends"), (470, "page breach 360 to 363")]);
}

#[test]
fn the_next_outage_soon_after_a_breach_began_when_it_did() {
    let mut story = Story::of(availability(FAST));
    story.looks(360, 1_000, 1_000);
    story.looks(3, 0, 1_000);
    let told = story.looks(70, 1_000, 1_000);
    check(&told, &[(423, "burn_1h_5m ends"), (423, "page breach 360 to 363")]);
    // The hour remembers the first one still, so that one look is enough.
    check(&story.looks(1, 0, 1_000), &[(434, "burn_1h_5m fires"), (434, "page breach since 433")]);
}

#[test]
fn an_alert_waits_where_that_is_asked_for() {
    let options = Options { pending_for: Millis(60_000), ..Options::default() };
    let mut story = Story::of(availability(Rule::OUTAGE));
    story.levels = Levels::new(vec![availability(Rule::OUTAGE)], options, &Past::default(), tick(0)).unwrap();
    story.looks(3, 5, 5);
    check(&story.looks(5, 0, 5), &[]);
    assert_eq!(story.levels.alerts().map(|alert| alert.state).collect::<Vec<_>>(), [State::Pending]);
    check(&story.looks(1, 5, 5), &[]);
    assert_eq!(story.levels.alerts().count(), 0, "it never fired");
    let told = story.looks(20, 0, 5);
    // The rule holds from the third look on, and has held for a minute six looks later. One look's success in between did not end
    // the trouble.
    check(&told, &[(18, "outage fires"), (18, "page breach since 3")]);
}

#[test]
fn a_remedy_is_judged_after_the_short_window_of_what_fires() {
    let mut story = Story::of(objective(defaults::AVAILABILITY));
    let minutes = |story: &Story| story.watch().review_window().0 / 60_000;
    story.looks(8_640, 1_000, 1_000);
    assert_eq!(minutes(&story), 5);
    // A tenth of a per cent: twice as fast as it may be.
    story.looks(9_000, 999, 1_000);
    assert_eq!((minutes(&story), story.levels.alerts().count()), (360, 1));
    story.looks(10, 0, 1_000);
    assert_eq!(minutes(&story), 5);
}

#[test]
fn labels_never_change_and_hold_no_figure() {
    let mut story = Story::of(availability(FAST));
    story.looks(3, 0, 1_000);
    let labels = |story: &Story| story.levels.alerts().next().unwrap().labels();
    let text = |story: &Story| story.levels.alerts().next().unwrap().annotations()[1].1.clone();
    let (before, told) = (labels(&story), text(&story));
    story.looks(3, 500, 1_000);
    assert_eq!(labels(&story), before);
    assert_eq!(
        before[1..].iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["predictions", "availability", "burn_1h_5m", "page"]
    );
    assert_ne!(text(&story), told, "figures are in the annotations");
    assert!(told.contains("2000.0 times") && told.contains("3000 of 3000 bad in 1h"), "{told}");
}
