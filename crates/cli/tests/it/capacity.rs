//! What the processing clusters of a region can carry.

use crate::cluster::{Node, gateway_command, wait_for_nodes};
use crate::support::{Server, json, said};

#[test]
fn processing_clusters_are_shown_by_what_their_nodes_say_of_themselves() {
    let mut one = Node::start_with("n1", &[("SPINWELL_NODE_PROCESSING_CLUSTER", "gpu-1")]);
    let own = [("SPINWELL_NODE_PROCESSING_CLUSTER", "gpu-2"), ("SPINWELL_NODE_CAPACITY_PER_SECOND", "2000")];
    let two = Node::start_with("n2", &own);
    let mut command = gateway_command(&[&one, &two]);
    command.env("SPINWELL_CLUSTER_PROCESSING_CLUSTERS", "gpu-1,gpu-2,gpu-3");
    let gateway = Server::run(command, tempfile::tempdir().unwrap());
    wait_for_nodes(&gateway, 2);
    let nodes = |cluster: &str, state: &str| {
        let (cluster, state) = (format!("cluster=\"{cluster}\""), format!("state=\"{state}\""));
        gateway.metric("spinwell_processing_cluster_nodes", &[&cluster, &state])
    };
    let of_region =
        |kind: &str| gateway.metric("spinwell_region_capacity_per_second", &[&format!("kind=\"{kind}\"")]);
    assert_eq!(
        (nodes("gpu-1", "serving"), nodes("gpu-2", "serving"), nodes("gpu-3", "serving")),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(
        (of_region("total"), of_region("effective"), of_region("without_largest")),
        (2500.0, 1650.0, 500.0)
    );
    one.kill();
    wait_for_nodes(&gateway, 1);
    assert_eq!(
        (nodes("gpu-1", "serving"), nodes("gpu-1", "unreachable")),
        (0.0, 1.0),
        "it is remembered where it was"
    );
    assert_eq!((of_region("total"), of_region("without_largest")), (2000.0, 0.0));
    let url = format!("http://{}", gateway.ops);
    let shown = json(&["cluster", "status", "--url", &url, "--json"]);
    let names: Vec<_> =
        shown["processing_clusters"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["gpu-1", "gpu-2", "gpu-3"]);
    assert_eq!(shown["nodes"][1]["capacity_per_second"], 2000.0);
    let table = said(&["cluster", "status", "--url", &url]);
    let line = table
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("region "))
        .unwrap_or_else(|| panic!("{table}"));
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["region", "1", "2", "2000", "1320", "0"],
        "{table}"
    );
}
