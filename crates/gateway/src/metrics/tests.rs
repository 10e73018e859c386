//! Metrics count outcomes and nothing else.

use super::model::{REFUSAL_SECONDS, REQUEST_SECONDS};
use super::*;
use crate::api::tests::assert_documented;
use crate::example::{brief_region, catalogue, gateway_of, outcome};
use crate::ops_router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use spinwell_core::{BatchShare, Code, Millis, ModelVersion};
use spinwell_protocol::{GpuLoad, RegionStatus};
use tower::ServiceExt;

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics
        .encode(&NodeLoad { queue_len: 3, ..NodeLoad::default() }, &catalogue(), &[], None)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_answer_shows_under_our_names_and_triton_s() {
    let metrics = Metrics::new(&catalogue());
    let mut answered = outcome(ResultClass::Answered);
    answered.batch = Some(BatchShare { windows: 5, counts: true });
    metrics.read(&answered);
    answered.batch = Some(BatchShare { windows: 5, counts: false });
    metrics.read(&answered);
    let lines = lines(&metrics);
    for wanted in [
        r#"spinwell_requests_total{model="taxi",protocol="grpc",code="ok"} 2"#,
        r#"spinwell_predictions_total{model="taxi"} 4"#,
        r#"spinwell_batches_total{model="taxi"} 1"#,
        r#"spinwell_batch_windows_sum{model="taxi"} 5.0"#,
        r#"nv_inference_request_success{model="taxi",version="1"} 2"#,
        r#"nv_inference_count{model="taxi",version="1"} 4"#,
        r#"nv_inference_exec_count{model="taxi",version="1"} 1"#,
        r#"nv_inference_request_duration_us{model="taxi",version="1"} 60000"#,
        "spinwell_queue_len 3",
        "spinwell_models_loaded 3",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is missing in\n{}", lines.join("\n"));
    }
}

#[test]
fn when_the_process_started_stands_on_every_page_and_does_not_change() {
    let line = format!("process_start_time_seconds {}", clock::started().0 as f64 / 1e3);
    for _ in 0..2 {
        let lines = lines(&Metrics::new(&catalogue()));
        assert!(lines.iter().any(|shown| shown.trim_end_matches(".0") == line), "{line} is missing");
    }
}

#[test]
fn the_silence_of_the_store_shows_in_seconds() {
    let metrics = Metrics::new(&catalogue());
    for (store_silent, wanted) in [(None, "0.0"), (Some(Millis(2500)), "2.5"), (None, "0.0")] {
        let mut load = NodeLoad::default();
        load.sequences.store_silent = store_silent;
        let page = metrics.encode(&load, &catalogue(), &[], None).unwrap();
        let line = format!("spinwell_store_silent_seconds {wanted}");
        assert!(page.lines().any(|shown| shown == line), "{line} is missing in\n{page}");
    }
}

#[test]
fn a_bucket_ends_at_every_service_level_threshold() {
    for threshold in [0.025, 0.05, 0.1, 0.2] {
        assert!(REQUEST_SECONDS.contains(&threshold), "{threshold}");
    }
    assert!(REQUEST_SECONDS.is_sorted());
    assert!(REFUSAL_SECONDS.is_sorted() && REFUSAL_SECONDS.contains(&0.001));
}

#[test]
fn names_that_strangers_make_up_share_one_series() {
    let metrics = Metrics::new(&catalogue());
    metrics.read(&outcome(ResultClass::Failed(Code::ModelNotFound)));
    let before = lines(&metrics).len();
    for number in 0..100 {
        let mut failed = outcome(ResultClass::Failed(Code::ModelNotFound));
        failed.model = format!("made-up-{number}").parse().ok();
        failed.version = None;
        metrics.read(&failed);
    }
    let lines = lines(&metrics);
    assert_eq!(lines.len(), before + 1);
    let took = r#"spinwell_refusal_duration_seconds_count{code="SPW-MODEL-NOT-FOUND"} 101"#;
    assert!(lines.iter().any(|line| line == took), "a code is one series, whatever the model is called");
    let wanted = r#"spinwell_requests_total{model="-",protocol="grpc",code="SPW-MODEL-NOT-FOUND"} 100"#;
    assert!(lines.iter().any(|line| line == wanted));
}

#[test]
fn what_waits_shows_by_version_and_only_while_the_version_is_there() {
    let metrics = Metrics::new(&catalogue());
    let waiting = |version, requests| WaitingFor {
        model: "taxi".parse().unwrap(),
        version: ModelVersion(version),
        requests,
    };
    let shown = |waiting: Vec<WaitingFor>| {
        metrics.encode(&NodeLoad { waiting, ..NodeLoad::default() }, &catalogue(), &[], None).unwrap()
    };
    let text = shown(vec![waiting(1, 0), waiting(2, 5)]);
    for wanted in [
        "# TYPE nv_inference_pending_request_count gauge",
        r#"nv_inference_pending_request_count{model="taxi",version="1"} 0"#,
        r#"nv_inference_pending_request_count{model="taxi",version="2"} 5"#,
    ] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
    }
    let text = shown(vec![waiting(1, 3)]);
    assert!(text.contains(r#"nv_inference_pending_request_count{model="taxi",version="1"} 3"#), "{text}");
    assert!(!text.contains(r#"pending_request_count{model="taxi",version="2""#), "{text}");
}

#[test]
fn cards_show_under_triton_s_names_and_only_where_there_are_any() {
    let metrics = Metrics::new(&catalogue());
    let gpu = GpuLoad {
        uuid: "GPU-1".into(),
        utilization: Some(0.25),
        memory_total_bytes: Some(4096),
        memory_used_bytes: Some(1024),
        power_watts: None,
    };
    let silent = GpuLoad {
        uuid: "GPU-2".into(),
        utilization: Some(0.5),
        memory_total_bytes: None,
        memory_used_bytes: None,
        power_watts: None,
    };
    let shown = |load: &NodeLoad| metrics.encode(load, &catalogue(), &[], None).unwrap();
    assert!(!shown(&NodeLoad::default()).contains("nv_gpu"));
    let text = shown(&NodeLoad { gpus: vec![gpu, silent], ..NodeLoad::default() });
    for wanted in [
        r#"nv_gpu_utilization{gpu_uuid="GPU-1"} 0.25"#,
        r#"nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 4096.0"#,
        r#"nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 1024.0"#,
        r#"nv_gpu_utilization{gpu_uuid="GPU-2"} 0.5"#,
    ] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
    }
    assert!(!text.contains("nv_gpu_power_usage{") && text.matches("GPU-2").count() == 1, "{text}");
    assert!(!shown(&NodeLoad::default()).contains("GPU-1"), "a card that is gone");
}

#[tokio::test]
async fn the_region_of_the_brief_shows_what_its_processing_clusters_carry() {
    let mut region = brief_region();
    let page = async |region: RegionStatus, path: &str| {
        let metrics = Arc::new(Metrics::new(&catalogue()));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let (head, body) =
            ops_router(gateway_of(region), metrics).oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        assert_documented(path, "GET", head.status.as_u16(), &head.headers, &body);
        String::from_utf8(body.to_vec()).unwrap()
    };
    let check = |text: &str, wanted: &[&str]| {
        for wanted in wanted {
            assert!(text.lines().any(|line| line == *wanted), "{wanted} is missing in\n{text}");
        }
    };
    check(
        &page(region.clone(), "/metrics").await,
        &[
            r#"spinwell_processing_cluster_nodes{cluster="cluster-1",state="serving"} 4"#,
            r#"spinwell_processing_cluster_nodes{cluster="cluster-3",state="unreachable"} 0"#,
            r#"spinwell_processing_cluster_capacity_per_second{cluster="cluster-2",kind="total"} 2000.0"#,
            r#"spinwell_processing_cluster_capacity_per_second{cluster="cluster-2",kind="effective"} 1320.0"#,
            r#"spinwell_region_capacity_per_second{kind="total"} 6000.0"#,
            r#"spinwell_region_capacity_per_second{kind="effective"} 3960.0"#,
            r#"spinwell_region_capacity_per_second{kind="without_largest"} 4000.0"#,
        ],
    );
    // A processing cluster fails.
    region.nodes[4..8].iter_mut().for_each(|node| node.standing.is_connected = false);
    check(
        &page(region.clone(), "/metrics").await,
        &[
            r#"spinwell_processing_cluster_nodes{cluster="cluster-2",state="serving"} 0"#,
            r#"spinwell_processing_cluster_nodes{cluster="cluster-2",state="unreachable"} 4"#,
            r#"spinwell_processing_cluster_capacity_per_second{cluster="cluster-2",kind="total"} 0.0"#,
            r#"spinwell_region_capacity_per_second{kind="total"} 4000.0"#,
            r#"spinwell_region_capacity_per_second{kind="without_largest"} 2000.0"#,
        ],
    );
    let shown: Value = serde_json::from_str(&page(region, "/v1/admin/cluster").await).unwrap();
    let cluster = &shown["processing_clusters"][1];
    assert_eq!((&cluster["name"], &cluster["nodes"]["unreachable"]), (&json!("cluster-2"), &json!(4)));
    assert_eq!(shown["capacity"]["without_largest_per_second"], 2000.0);
    // A process that is its own node has no processing clusters.
    assert!(
        !lines(&Metrics::new(&catalogue()))
            .iter()
            .any(|line| line.starts_with("spinwell_region_capacity_per_second{"))
    );
}
