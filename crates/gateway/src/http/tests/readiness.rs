//! Whether the gateway says that it should be sent requests.

use super::{INFER, good, request, send};
use crate::{Metrics, example, http_router, ops_router};
use std::sync::Arc;

#[tokio::test]
async fn a_gateway_that_is_cut_off_is_not_ready_for_now_and_lives() {
    let gateway = example::gateway_of(example::brief_region());
    let probes = [
        (http_router(gateway.clone()), "/v2/health/ready", "/v2/health/live"),
        (ops_router(gateway.clone(), Arc::new(Metrics::new(&example::catalogue()))), "/readyz", "/livez"),
    ];
    for (is_cut_off, wanted) in [(false, 200), (true, 503), (false, 200)] {
        gateway.health().set_cut_off(is_cut_off);
        for (router, ready, live) in &probes {
            let answer = send(router, request("GET", ready, "")).await;
            assert_eq!(answer.status, wanted, "{ready}");
            if is_cut_off {
                assert_eq!(answer.code(), "SPW-NODE-UNREACHABLE");
                assert_eq!(answer.json()["retry_after_ms"], 1000);
            }
            assert_eq!(send(router, request("GET", live, "")).await.status, 200, "{live}");
        }
        // Who comes all the same is sent to whatever node there is.
        assert_eq!(send(&probes[0].0, request("POST", INFER, good().to_string())).await.status, 200);
    }
}
