//! Pages of gateways, as they stand there.

use super::*;
use spinwell_policy::slo::defaults;

const BEGIN: u64 = 1_795_824_000_000;

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(BEGIN + seconds * 1_000)
}

fn levels() -> ServiceLevels {
    ServiceLevels::new(defaults::objectives(), at(0)).unwrap()
}

/// A gateway's page that started so many seconds before or after the first look and has answered and failed so many.
fn page(started: i64, answered: u64, failed: u64) -> String {
    let started = (BEGIN.cast_signed() / 1_000 + started) as f64 + 0.25;
    let mut page = format!(
        "# HELP spinwell_requests Inference requests by how they ended: ok, cancelled or the error code.\n\
        # TYPE spinwell_requests counter\nprocess_start_time_seconds {started}\n"
    );
    let of = |code: &str, count: u64| {
        format!("spinwell_requests_total{{model=\"taxi\",protocol=\"http\",code=\"{code}\"}} {count}\n")
    };
    if answered + failed > 0 {
        page += &of("ok", answered);
        page += &of("SPW-INTERNAL", failed);
        page += &of("SPW-WINDOW-TOO-SHORT", 3);
    }
    page + &format!(
        "spinwell_request_duration_seconds_bucket{{le=\"0.05\",model=\"taxi\"}} {answered}\n\
        spinwell_request_duration_seconds_count{{model=\"taxi\"}} {answered}\nspinwell_store_silent_seconds 0.0\n# EOF\n"
    )
}

fn budget(levels: &ServiceLevels, name: &str, now: UnixMillis) -> (u64, u64) {
    let document = levels.document(now);
    let own = document["objectives"].as_array().unwrap().iter().find(|own| own["name"] == name).unwrap();
    (own["budget"]["events"].as_u64().unwrap(), own["budget"]["consumed"].as_u64().unwrap())
}

#[test]
fn pages_are_counted_to_the_request_and_a_first_figure_counts_where_there_was_none() {
    let levels = levels();
    let read = |source: &str, page: String, now| levels.read_page(source, &page, now).unwrap();
    // One that has counted before anybody looked, one that has not been asked yet, and one that starts later.
    read("a", page(-500, 100, 50), at(10));
    read("b", page(-500, 0, 0), at(10));
    let _ = levels.advance(at(10));
    assert_eq!(budget(&levels, "availability", at(10)), (0, 0));
    read("a", page(-500, 110, 51), at(20));
    read("b", page(-500, 7, 2), at(20));
    read("c", page(12, 5, 0), at(20));
    let _ = levels.advance(at(20));
    assert_eq!(budget(&levels, "availability", at(20)), (25, 3));
    // It starts anew, and is read without any figure in between.
    read("b", page(22, 0, 0), at(30));
    read("b", page(22, 4, 0), at(40));
    let _ = levels.advance(at(40));
    assert_eq!(budget(&levels, "availability", at(40)), (29, 3));
    assert_eq!(budget(&levels, "latency-p95", at(40)).1, 0);
    assert!(levels.read_page("a", "<html>\nnot found", at(50)).is_err());
    let _ = levels.advance(at(50));
    assert_eq!(budget(&levels, "availability", at(50)), (29, 3), "nothing is taken of what is no page");
}

#[test]
fn an_outage_is_told_shown_and_written_down() {
    let levels = levels();
    let mut told = Vec::new();
    for look in 1..=8 {
        levels.read_page("a", &page(1, 2_000, (look - 1) * 1_000), at(look * 10)).unwrap();
        told.extend(levels.advance(at(look * 10)).0);
    }
    let is = |change: &&Change| matches!(change, Change::Fires(alert) if alert.id.rule == "outage");
    let fires = told.iter().find(is).unwrap();
    let breach = told.iter().find(|change| matches!(change, Change::BreachBegan(_))).unwrap();
    let source = Source { log: "c1", version: "1", at: at(80) };
    let text = |change: &Change| format!("{:?}", service_level_event(source, change).unwrap());
    assert!(text(fires).contains("nothing has succeeded for"), "{}", text(fires));
    assert!(text(fires).contains("Detection Finding") && text(breach).contains("Compliance Finding"));
    let document = levels.document(at(80));
    let objectives = document["objectives"].as_array().unwrap();
    let own = objectives.iter().find(|own| own["name"] == "availability").unwrap();
    assert_eq!(own["status"], "missed", "{own}");
    assert!(own["alerts"].as_array().unwrap().iter().any(|alert| alert["rule"] == "outage"), "{own}");
    assert!(document["health"]["score"].as_f64().unwrap() <= 49.0, "{document}");
    assert_eq!(
        document["next_update"].as_u64().unwrap() - document["generated_at"].as_u64().unwrap(),
        10_000
    );
}

#[test]
fn who_sees_nothing_says_so_once() {
    let levels = levels();
    levels.read_page("a", &page(1, 1, 0), at(10)).unwrap();
    assert_eq!(levels.advance(at(39)).1, Sight::Same);
    levels.cannot_be_read("a", "nobody is there".to_owned());
    assert_eq!(levels.advance(at(40)).1, Sight::Lost(at(10)));
    assert_eq!(levels.advance(at(50)).1, Sight::Same);
    let looks = levels.document(at(50))["looks"].clone();
    assert_eq!(
        (&looks["blind_since_ms"], &looks["unread"][0]["why"]),
        (&at(10).0.into(), &"nobody is there".into())
    );
    levels.read_page("a", &page(1, 1, 0), at(60)).unwrap();
    assert_eq!(levels.advance(at(60)).1, Sight::Back);
    assert_eq!(levels.document(at(60))["looks"]["unread"], serde_json::json!([]));
}
