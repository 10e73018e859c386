//! Stories and properties of the detectors as a whole. `examples/threats` measures them on simulated traffic.

use super::*;
use proptest::prelude::*;
use spinwell_core::{Millis, Rng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn threats(options: Options) -> Threats {
    Threats::new(options, 11).unwrap()
}

fn ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn refused(ms: u64, address: IpAddr, key: u64, credential: u64, is_known: bool) -> Observation {
    let event = Event::Refused(Credential { key, credential, is_known });
    Observation { now: Millis(ms), address, event }
}

fn asked(ms: u64, address: IpAddr, principal: u64, object: u64, answer: Answer) -> Observation {
    let request = Request { object: Object(object), answer };
    let event = Event::Authenticated { principal: PrincipalId(principal), quota_per_second: 50, request };
    Observation { now: Millis(ms), address, event }
}

fn good(ms: u64, address: IpAddr, principal: u64) -> Observation {
    asked(ms, address, principal, 1, Answer::Answered(None))
}

/// Sends what is admitted of so many, `gap_ms` apart; the findings.
fn send(
    threats: &mut Threats,
    gap_ms: u64,
    observations: impl IntoIterator<Item = Observation>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (place, mut observation) in observations.into_iter().enumerate() {
        observation.now = Millis(observation.now.0 + place as u64 * gap_ms);
        let principal = match observation.event {
            Event::Authenticated { principal, .. } => Some(principal),
            Event::Refused(_) | Event::Anonymous(_) => None,
        };
        if threats.admit(observation.now, observation.address, principal).is_ok() {
            found.extend(threats.observe(&observation).finding);
        }
    }
    found
}

fn level(findings: &[Finding]) -> Option<Level> {
    findings.iter().map(|finding| finding.response.level()).max()
}

/// Credentials tried from an address for two minutes, ten a second.
fn stuff(threats: &mut Threats, ms: u64, address: IpAddr) -> Vec<Finding> {
    send(threats, 100, (0..1_200).map(|n| refused(ms, address, n, n, true)))
}

#[test]
fn who_tries_credentials_is_blocked_in_steps_and_let_back() {
    let mut own = threats(Options::default());
    let found = stuff(&mut own, 0, ip(1));
    let levels: Vec<Level> = found.iter().map(|finding| finding.response.level()).collect();
    assert_eq!(levels, [Level::Log, Level::Slow, Level::Slow, Level::Block]);
    assert!(found[0].last < Millis(2 * SECOND), "{found:?}");
    assert!(found.iter().all(|finding| finding.uid() == found[0].uid() && finding.first == Millis(0)));
    let Response::Block { until } = found[3].response else { panic!("{found:?}") };
    assert_eq!(own.verdict(Millis(until.0 - 1), ip(1), None), Verdict::Block { until });
    assert_eq!(own.verdict(until, ip(1), None), Verdict::Allow);
    // It goes on: the next strike blocks for longer.
    let again = stuff(&mut own, until.0, ip(1));
    let Response::Block { until: longer } = again[0].response else { panic!("{again:?}") };
    assert!(longer.0 - again[0].last.0 > until.0 - found[3].last.0);
}

#[test]
fn keys_that_exist_and_keys_that_do_not_are_told_apart() {
    let check = |is_known: bool, detector: Detector| {
        let tried = (0..30).map(|n| refused(0, ip(1), n, n, is_known));
        assert_eq!(send(&mut threats(Options::default()), 100, tried)[0].detector, detector);
    };
    check(true, Detector::CredentialStuffing);
    check(false, Detector::KeyEnumeration);
}

#[test]
fn one_credential_that_expired_is_nothing_however_often_it_comes() {
    let mut own = threats(Options::default());
    assert_eq!(send(&mut own, SECOND, (0..86_400).map(|_| refused(0, ip(1), 5, 5, true))), []);
    // Nor from two hundred places.
    let everywhere = (0..20_000).map(|n| refused(100 * HOUR, ip(n % 200), 5, 5, true));
    assert_eq!(send(&mut own, 50, everywhere), []);
}

#[test]
fn an_attack_spread_over_strangers_is_found_and_then_each_of_them() {
    let mut own = threats(Options::default());
    let found = send(&mut own, 100, (0..6_000u32).map(|n| refused(0, ip(n % 200), n.into(), n.into(), true)));
    assert_eq!((found[0].detector, found[0].subject), (Detector::DistributedStuffing, Subject::Service));
    let blocked = |n: &u32| {
        let about = found.iter().filter(|finding| finding.subject == Subject::Address(ip(*n)));
        about.map(|finding| finding.response.level()).max() == Some(Level::Block)
    };
    assert!((0..200).filter(blocked).count() > 190);
}

#[test]
fn an_identity_that_many_addresses_try_is_found_and_its_owner_keeps_working() {
    let mut own = threats(Options::default());
    send(&mut own, SECOND, (0..10).map(|_| good(0, ip(9_999), 7)));
    let tried = (0..2_000u32).map(|n| refused(MINUTE, ip(n % 200), 7, n.into(), true));
    let found = send(&mut own, 100, tried);
    let about = found.iter().find(|finding| finding.detector == Detector::IdentityAttack).unwrap();
    assert_eq!((about.subject, about.response), (Subject::Identity(7), Response::Log));
    for address in [ip(9_999), ip(8_888)] {
        assert_eq!(own.verdict(Millis(5 * MINUTE), address, Some(PrincipalId(7))), Verdict::Allow);
    }
}

#[test]
fn behind_one_address_colleagues_of_an_attacker_keep_working() {
    let mut own = threats(Options::default());
    let colleagues = 0..200u64;
    send(&mut own, 10, colleagues.clone().map(|principal| good(0, ip(1), principal)));
    let found = send(&mut own, 50, (0..4_000).map(|n| refused(MINUTE, ip(1), n, n, true)));
    assert_eq!(level(&found), Some(Level::Block));
    let now = found.last().unwrap().last;
    assert!(matches!(own.verdict(now, ip(1), None), Verdict::Block { .. }));
    for principal in colleagues {
        assert_eq!(own.verdict(now, ip(1), Some(PrincipalId(principal))), Verdict::Allow);
    }
    // A new colleague is slowed, not blocked, and not starved by what the attacker goes on sending.
    for _ in 0..500 {
        let _ = own.admit(now, ip(1), None);
    }
    assert_eq!(own.admit(now, ip(1), Some(PrincipalId(900))), Ok(()));
    let Err(refusal) = own.admit(now, ip(1), Some(PrincipalId(900))) else { panic!("not slowed") };
    assert_eq!(refusal.retry_after, Millis(SECOND));
    // And said to be new there, since it may be one whose credential was found.
    let observed = own.observe(&good(now.0, ip(1), 900));
    let finding = observed.finding.unwrap();
    assert_eq!((finding.detector, finding.response), (Detector::CredentialFound, Response::Log));
    assert_eq!(own.verdict(now, ip(2), Some(PrincipalId(900))), Verdict::Allow);
}

#[test]
fn names_that_do_not_exist_are_counted_where_they_differ() {
    let check = |names: u64, expected: Option<Level>| {
        let asked = (0..1_000).map(|n| asked(0, ip(1), 3, n % names, Answer::Missing));
        assert_eq!(level(&send(&mut threats(Options::default()), 100, asked)), expected, "{names}");
    };
    check(3, None);
    check(1_000, Some(Level::Block));
}

#[test]
fn payloads_count_by_what_they_are_and_a_body_once() {
    let check = |anomaly: Anomaly, bodies: u64, expected: Option<Level>| {
        let answer = |n: u64| Answer::Payload { anomaly, body: n % bodies };
        let asked = (0..2_000).map(|n| asked(0, ip(1), 3, 1, answer(n)));
        let found = send(&mut threats(Options::default()), 50, asked);
        assert_eq!(level(&found), expected, "{anomaly:?}, {bodies} bodies");
    };
    check(Anomaly::ShapeBomb, 1, Some(Level::Block));
    check(Anomaly::Oversize, 2_000, Some(Level::Block));
    check(Anomaly::Malformed, 2_000, Some(Level::Block));
    check(Anomaly::Malformed, 1, None);
    check(Anomaly::NotFinite, 2_000, Some(Level::Log));
}

#[test]
fn more_than_the_limit_can_allow_is_slowed_and_a_burst_is_not() {
    let check = |per_second: u64, seconds: u64, expected: Option<Level>| {
        let asked = (0..per_second * seconds).map(|_| asked(0, ip(1), 3, 1, Answer::Other));
        let found = send(&mut threats(Options::default()), 1_000 / per_second, asked);
        assert_eq!(level(&found), expected, "{per_second}/s for {seconds} s of 50/s");
    };
    check(100, 600, None);
    check(500, 3, None);
    check(250, 60, Some(Level::Slow));
}

#[test]
fn steps_that_jump_and_addresses_that_are_many_are_found() {
    let mut own = threats(Options::default());
    let jumps = send(&mut own, 100, (0..100).map(|n| asked(0, ip(1), 3, n, Answer::StepJump)));
    assert_eq!(jumps[0].detector, Detector::StepJumps);
    let wandering = send(&mut own, 100, (0..100).map(|n| good(HOUR, ip(n), 4)));
    assert_eq!((wandering[0].detector, level(&wandering)), (Detector::ManyAddresses, Some(Level::Log)));
    // One sequence that jumps always is a client with a fault.
    assert_eq!(send(&mut own, 100, (0..900).map(|_| asked(2 * HOUR, ip(1), 5, 1, Answer::StepJump))), []);
}

/// A principal that has been there for two days, and then sends so many windows.
fn query(windows: u64, sketch: impl Fn(u64) -> Sketch) -> Vec<Finding> {
    let mut own = threats(Options::default());
    let past = Past { watched_for: Millis(48 * HOUR), fresh_peak: 100, objects_peak: 5 };
    own.restore(Millis(50 * HOUR), PrincipalId(3), past);
    let answered = |n: u64| Answer::Answered(Some(sketch(n)));
    send(&mut own, 50, (0..windows).map(|n| asked(50 * HOUR, ip(1), 3, 1, answered(n))))
}

#[test]
fn made_up_windows_are_found_and_windows_of_a_series_are_not() {
    let mut rng = Rng::seeded(1);
    let series: Vec<f32> = (0..30_064).map(|_| rng.normal() as f32).collect();
    let followed = query(30_000, |n| Sketch::of(&series[n as usize..n as usize + 64], 5));
    assert_eq!(followed, []);
    let made_up = query(5_000, |n| {
        let mut rng = Rng::seeded(n);
        Sketch::of(&(0..64).map(|_| rng.normal() as f32).collect::<Vec<f32>>(), 5)
    });
    let first = made_up[0];
    assert_eq!(
        (first.detector, first.response, first.evidence.usual),
        (Detector::Extraction, Response::Log, Some(100))
    );
    assert_eq!(level(&made_up), Some(Level::Slow));
}

#[test]
fn reading_everything_is_found_in_who_read_little() {
    let mut own = threats(Options::default());
    let past = Past { watched_for: Millis(48 * HOUR), fresh_peak: 0, objects_peak: 5 };
    own.restore(Millis(50 * HOUR), PrincipalId(3), past);
    let read = |from: u64, principal| {
        (0..600).map(move |n| asked(from, ip(1), principal, n, Answer::Answered(None)))
    };
    assert_eq!(send(&mut own, 50, read(50 * HOUR, 3))[0].detector, Detector::Scraping);
    let always = Past { objects_peak: 500, ..past };
    own.restore(Millis(50 * HOUR), PrincipalId(4), always);
    assert_eq!(send(&mut own, 50, read(50 * HOUR, 4)), []);
}

#[test]
fn a_64_is_one_address_and_a_mapped_address_is_itself() {
    let mut own = threats(Options::default());
    let within =
        |n: u64| -> IpAddr { Ipv6Addr::from_bits(0x2001_0db8_0001_0002 << 64 | u128::from(n)).into() };
    let found = send(&mut own, 100, (0..900).map(|n| refused(0, within(n), n, n, true)));
    assert_eq!(level(&found), Some(Level::Block));
    assert_eq!(found[0].subject, Subject::Address(within(0)));
    stuff(&mut own, HOUR, ip(1));
    let mapped: IpAddr = Ipv4Addr::from_bits(0x0a00_0001).to_ipv6_mapped().into();
    assert_ne!(own.verdict(Millis(HOUR + 2 * MINUTE), mapped, None), Verdict::Allow);
}

#[test]
fn about_who_is_allowed_is_only_logged() {
    let options = Options {
        allowed_addresses: vec![ip(1)],
        allowed_principals: vec![PrincipalId(3)],
        ..Options::default()
    };
    let mut own = threats(options);
    assert_eq!(level(&stuff(&mut own, 0, ip(1))), Some(Level::Log));
    let missing = (0..1_000).map(|n| asked(0, ip(2), 3, n, Answer::Missing));
    assert_eq!(level(&send(&mut own, 100, missing)), Some(Level::Log));
}

#[test]
fn an_operator_can_lift_a_measure() {
    let mut own = threats(Options::default());
    stuff(&mut own, 0, ip(1));
    assert!(own.lift(Subject::Address(ip(1))) && !own.lift(Subject::Address(ip(2))));
    assert_eq!(own.verdict(Millis(MINUTE), ip(1), None), Verdict::Allow);
}

#[test]
fn who_rotates_addresses_neither_fills_memory_nor_pushes_an_attacker_out() {
    let mut own = threats(Options { addresses_max: 1_024, ..Options::default() });
    let found = stuff(&mut own, 0, ip(1));
    let blocked = found.last().unwrap().response;
    for n in 0..200_000u32 {
        own.observe(&refused(2 * MINUTE, ip(1_000 + n), n.into(), n.into(), false));
    }
    assert!(own.tracked().addresses <= 1_024);
    let Response::Block { until } = blocked else { panic!("{blocked:?}") };
    assert_eq!(own.verdict(Millis(until.0 - 1), ip(1), None), Verdict::Block { until });
}

/// Any observation of few principals and addresses.
fn observation() -> impl Strategy<Value = (u64, Observation)> {
    let answer = (0u8..9, any::<u64>()).prop_map(|(kind, body)| match kind {
        0 | 1 => Answer::Answered(Some(Sketch(body))),
        2 => Answer::Missing,
        3 => Answer::Payload { anomaly: Anomaly::ShapeBomb, body },
        4 => Answer::Payload { anomaly: Anomaly::Malformed, body },
        5 => Answer::Payload { anomaly: Anomaly::NotFinite, body },
        6 => Answer::StepJump,
        7 => Answer::Answered(None),
        _ => Answer::Other,
    });
    let request =
        (any::<u64>(), answer).prop_map(|(object, answer)| Request { object: Object(object), answer });
    let event = prop_oneof![
        (0u64..9, any::<u64>(), any::<bool>())
            .prop_map(|(key, credential, is_known)| Event::Refused(Credential { key, credential, is_known })),
        request.clone().prop_map(Event::Anonymous),
        (0u64..6, 0u32..20, request).prop_map(|(principal, quota_per_second, request)| {
            Event::Authenticated { principal: PrincipalId(principal), quota_per_second, request }
        }),
    ];
    (0u64..3_000, 0u32..40, event)
        .prop_map(|(gap, address, event)| (gap, Observation { now: Millis(0), address: ip(address), event }))
}

/// Small limits, so that few observations find something.
fn eager() -> Options {
    let few = Limits { fast: 3, slow: 5, per_thousand: 0 };
    Options {
        addresses_max: 16,
        principals_max: 8,
        identities_max: 8,
        credentials: few,
        missing: few,
        step_jumps: few,
        payloads: Limits { fast: 10, slow: 20, per_thousand: 0 },
        rate_burst: Millis(1_000),
        ..Options::default()
    }
}

/// What each observation led to.
fn run(own: &mut Threats, story: &[(u64, Observation)]) -> Vec<Observed> {
    let mut now = 0;
    let at = story.iter().map(|(gap, observation)| {
        now += gap;
        own.observe(&Observation { now: Millis(now), ..*observation })
    });
    at.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn memory_is_bounded_and_the_same_story_has_the_same_end(
        story in prop::collection::vec(observation(), 0..400),
    ) {
        let mut own = threats(eager());
        let first = run(&mut own, &story);
        let tracked = own.tracked();
        prop_assert!(tracked.addresses <= 16 && tracked.principals <= 8 && tracked.identities <= 8);
        prop_assert_eq!(first, run(&mut threats(eager()), &story));
    }

    #[test]
    fn every_measure_ends_and_none_is_above_its_ceiling(
        story in prop::collection::vec(observation(), 0..400),
    ) {
        let mut own = threats(eager());
        let found: Vec<Finding> = run(&mut own, &story).into_iter().filter_map(|one| one.finding).collect();
        let total: u64 = story.iter().map(|(gap, _)| gap).sum();
        for finding in &found {
            prop_assert!(finding.first <= finding.last && finding.evidence.measured >= 1, "{:?}", finding);
            if finding.detector.ceiling() == Level::Log {
                prop_assert_eq!(finding.response, Response::Log);
            }
        }
        let over = Millis(total + 24 * HOUR);
        for (_, observation) in &story {
            for principal in [None, Some(PrincipalId(0)), Some(PrincipalId(5))] {
                prop_assert_eq!(own.verdict(over, observation.address, principal), Verdict::Allow);
            }
        }
    }

    #[test]
    fn nobody_is_blocked_or_slowed_elsewhere_by_what_others_do(
        story in prop::collection::vec(observation(), 0..400), seed in any::<u64>(),
    ) {
        // The victim's key is what others try, its own requests are good, from an address of its own.
        let (mut own, mut rng, mut now) = (threats(Options { principals_max: 4_096, ..eager() }), Rng::seeded(seed), 0);
        for (gap, observation) in &story {
            now += gap;
            let event = match observation.event {
                Event::Refused(refused) => Event::Refused(Credential { key: 77, is_known: true, ..refused }),
                other => other,
            };
            own.observe(&Observation { now: Millis(now), event, ..*observation });
            let home = ip(50 + rng.below(3) as u32);
            prop_assert_eq!(own.verdict(Millis(now), home, Some(PrincipalId(77))), Verdict::Allow);
            prop_assert!(own.admit(Millis(now), home, Some(PrincipalId(77))).is_ok());
            // At an attacked address it is slowed at most.
            let there = own.verdict(Millis(now), observation.address, Some(PrincipalId(77)));
            let is_blocked = matches!(there, Verdict::Block { .. });
            prop_assert!(!is_blocked, "{:?}", there);
        }
    }
}
