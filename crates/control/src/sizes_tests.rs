//! A control of a machine in memory, over a real store.

use super::*;
use crate::control::tests::{Machine, Region, control_of, run, store, until};
use spinwell_core::NodeId;
use std::sync::Arc;

const PATIENCE: Millis = Millis(60_000);

fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(|number| NodeId(format!("n{number}").into())).collect()
}

#[tokio::test]
async fn a_size_is_followed_and_outlives_its_control() {
    let folder = tempfile::tempdir().unwrap();
    let (store, region, machine) = (store(folder.path()).await, Region::of(3), Arc::new(Machine::default()));
    let control = control_of("c1", &store, &region, &machine, nodes(1));
    let (stop, running) = run(&control);
    let size = async || control.status().await.unwrap()["size"].clone();
    assert_eq!(size().await, Value::Null);
    control.resize(3, PATIENCE).await.unwrap();
    until("three serve", async || size().await["is_over"] == true).await;
    let shown = size().await;
    assert_eq!((&shown["wanted"], &shown["failed"]), (&json!(["n0", "n1", "n2"]), &json!([])));
    assert_eq!(control.resize(3, PATIENCE).await.unwrap()["wanted"], shown["wanted"]);

    // The nodes n1 and n2 are there until somebody has them stop.
    let begun = control.resize(1, PATIENCE).await.unwrap();
    assert_eq!((&begun["before"], &begun["is_over"]), (&shown["wanted"], &json!(false)));
    region.lives.lock().unwrap().truncate(1);
    until("one is left", async || size().await["is_over"] == true).await;
    assert_eq!(*machine.said.lock().unwrap(), [nodes(1), nodes(3), nodes(1)], "each was said once");

    control.resize(2, PATIENCE).await.unwrap();
    stop.pull();
    running.await.unwrap();
    // The next one goes on with it, as long as nobody has configured another number.
    let id = NodeId("c1".into());
    assert_eq!(wanted_at_start(&store, &id, nodes(1)).await.unwrap(), nodes(2));
    assert_eq!(wanted_at_start(&store, &id, nodes(3)).await.unwrap(), nodes(3));
    assert_eq!(wanted_at_start(&store, &NodeId("c2".into()), nodes(1)).await.unwrap(), nodes(1));
    *region.lives.lock().unwrap() = vec![10; 2];
    let next = control_of("c1", &store, &region, &machine, nodes(2));
    let configured = control_of("c1", &store, &region, &machine, nodes(3));
    let (stop, running) = run(&configured);
    until("it is no more", async || configured.status().await.unwrap()["size"]["is_over"] == true).await;
    let failed = configured.status().await.unwrap()["size"]["failed"].clone();
    assert_eq!(failed, json!([{"what": "Superseded"}]), "three are configured by now");
    stop.pull();
    running.await.unwrap();
    drop(next);
}

#[tokio::test]
async fn what_is_wanted_last_counts_and_what_fails_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (store, region, machine) = (store(folder.path()).await, Region::of(2), Arc::new(Machine::default()));
    let control = control_of("c1", &store, &region, &machine, nodes(1));
    let refused = control.resize(10, PATIENCE).await.unwrap_err();
    assert_eq!(refused.code(), Code::ConfigInvalid, "{refused}");
    assert_eq!(control.status().await.unwrap()["size"], Value::Null, "nothing is begun");
    let (stop, running) = run(&control);
    let first = control.resize(3, PATIENCE).await.unwrap();
    let second = control.resize(2, PATIENCE).await.unwrap();
    assert!(second["id"].as_u64() > first["id"].as_u64());
    let size = async || control.status().await.unwrap()["size"].clone();
    until("two serve", async || size().await["is_over"] == true).await;
    assert_eq!(size().await["failed"], json!([]));
    control.resize(3, Millis(300)).await.unwrap();
    until("the third has had its time", async || size().await["is_over"] == true).await;
    assert_eq!(size().await["failed"], json!([{"what": "NodeAdditionFailed", "node": "n2"}]));
    assert_eq!(machine.said.lock().unwrap().last().unwrap(), &nodes(3), "and stays wanted");
    stop.pull();
    running.await.unwrap();
}

#[test]
fn a_size_is_read_back_and_what_is_none_is_told() {
    let failed = vec![
        Failure::NodeAdditionFailed(NodeId("n1".into())),
        Failure::NodeRemovalFailed(NodeId("n2".into())),
        Failure::Superseded,
    ];
    let sizing = Sizing::new(nodes(2), nodes(3), By::Operator, UnixMillis(1), Millis(2));
    let sizing = Sizing { ended: Some(UnixMillis(3)), failed, ..sizing };
    let text = to_json(&Kept { sizing: sizing.clone(), configured: 4 }).to_string();
    let kept = of_text(&text).unwrap();
    assert_eq!((kept.sizing, kept.configured), (sizing, 4));
    for wrong in ["", "{}", &text.replace("operator", "nobody"), &text.replace("Superseded", "Lost")] {
        assert!(of_text(wrong).is_none(), "{wrong}");
    }
}
