//! A node that alone has lost the store, over a network that delivers nothing to it any more.

use crate::cluster::{Node, gateway, steps_go_on, wait_for_nodes};
use spinwell_store::testing::{Server, Way};

#[test]
fn a_node_that_alone_has_lost_the_store_holds_nobody_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(Server::shared().database());
    let way = Way::to(&url);
    let nodes = [("n1", url.as_str()), ("n2", way.url())]
        .map(|(id, url)| Node::start_with(id, &[("SPINWELL_STORE_URL", url)]));
    let gateway = gateway(&nodes.iter().collect::<Vec<_>>());
    wait_for_nodes(&gateway, 2);
    let sources = steps_go_on(&gateway, 16, |step| match step {
        4 => way.cut(),
        9 => way.mend(),
        _ => {}
    });
    let moved: usize = ["standby", "snapshot"].iter().filter_map(|source| sources.get(*source)).sum();
    assert!(moved > 0, "sequences have changed their nodes: {sources:?}");
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
}
