//! The region, as operators see and change it: its nodes and what they can carry, draining one, and the strategies by which they are chosen.

use crate::api::{Content, Operation, Parameter, Route, Schema};
use crate::capacity::{ClusterCapacity, RegionCapacity};
use crate::door::Need;
use crate::http::{fault_response, json_response};
use crate::ops::Operations;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Map, Value, json};
use spinwell_core::{Code, Fault, ModelName, NodeId};
use spinwell_protocol::{Caller, NodeStatus, RegionStatus, quoted};
use spinwell_security::access::Action;

/// What whoever chooses strategies needs.
const STRATEGY: Need = Need::Region(Action::StrategyWrite);

/// The routes.
pub(crate) fn routes() -> Vec<Route<Operations>> {
    let status = Operation::new("region", "The nodes of the region", Need::Region(Action::ClusterRead))
        .about("What this gateway knows of them: whether they can be asked, how busy they are, and by which strategies they are chosen; and what \
            its processing clusters can carry.")
        .gives(Content::json(Schema::named("Region"), example()))
        .fails(&[Code::NotOffered]);
    let drain = Operation::new("drainNode", "Has a node stop in good order", Need::Region(Action::ClusterWrite))
        .about("It takes nothing new, answers what it has, copies its sequences and ends. Whoever looks after it may start it again. \
            The last node that serves is refused.")
        .query(Parameter {
            name: "force",
            about: "`true` where the last node that serves may stop as well.",
            is_required: false,
            example: "true",
        })
        .gives(Content::json(Schema::map(Schema::any(""), "Which node."), json!({"draining": "n1"})))
        .fails(&[
            Code::NotOffered,
            Code::RequestInvalid,
            Code::NodeUnknown,
            Code::LastNode,
            Code::NodeUnreachable,
            Code::QueueFull,
        ]);
    let choose = Operation::new("chooseStrategy", "Chooses nodes by another strategy from now on", STRATEGY)
        .about(
            "At this gateway, until it ends, for the requests of one model or of all that have no strategy of their own: \
             `round_robin`, `weighted_least_connections`, `resource_aware`, `predictive`, `latency_optimized`.",
        )
        .query(of_model())
        .gives(Content::json(Schema::named("ChosenStrategy"), json!({"strategy": "predictive"})))
        .fails(&[Code::NotOffered, Code::RequestInvalid, Code::ModelNotFound]);
    let as_usual = Operation::new("chooseAsUsual", "Chooses nodes for a model as for all others again", STRATEGY)
        .about("At this gateway, until it ends; a strategy that its configuration names for the model is back when it begins anew.")
        .query(Parameter { is_required: true, ..of_model() })
        .gives(Content::json(Schema::map(Schema::any(""), "Which model."), json!({"model": "taxi"})))
        .fails(&[Code::NotOffered, Code::RequestInvalid]);
    vec![
        Route::get("/v1/admin/cluster", region, status),
        Route::post("/v1/admin/cluster/nodes/{node}/drain", drain_node, drain),
        Route::put("/v1/admin/cluster/strategy/{strategy}", choose_strategy, choose),
        Route::delete("/v1/admin/cluster/strategy", choose_as_usual, as_usual),
    ]
}

fn of_model() -> Parameter {
    let about = "For the requests of this model alone.";
    Parameter { name: "model", about, is_required: false, example: "taxi" }
}

async fn region(State(operations): State<Operations>) -> Response {
    match operations.gateway().nodes().region() {
        Some(region) => json_response(&document(&region, &operations.gateway().capacity_of(&region))),
        None => fault_response(&Fault::new(
            Code::NotOffered,
            "this is a node, or a server that is one process, and has no nodes of its own; ask a gateway",
        )),
    }
}

async fn drain_node(
    State(operations): State<Operations>,
    Path(node): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let nodes = operations.gateway().nodes();
    let region = nodes.region();
    let may_stop = match is_forced(query.as_deref()) {
        Ok(true) => Ok(()),
        Ok(false) => region.as_ref().map_or(Ok(()), |region| is_spare(region, &node)),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = may_stop {
        return fault_response(&fault);
    }
    match nodes.drain(NodeId(node.as_str().into()), None).await {
        Ok(()) => {
            tracing::info!(node, "a node was asked to stop in good order");
            json_response(&json!({"draining": node}))
        }
        Err(fault) => fault_response(&fault),
    }
}

/// Whether a query says so.
fn is_forced(query: Option<&str>) -> Result<bool, Fault> {
    match query.unwrap_or_default() {
        "" | "force=false" => Ok(false),
        "force=true" => Ok(true),
        other => {
            let message = format!("the query is {}; say ?force=true, or nothing", quoted(other));
            Err(Fault::new(Code::RequestInvalid, message))
        }
    }
}

/// Whether requests are served when a node stops. One that does not serve is not missed, and where it is the only node there is, whoever
/// has it stop means the region.
fn is_spare(region: &RegionStatus, id: &str) -> Result<(), Fault> {
    let serving = || region.nodes.iter().filter(|node| state(node) == "serving");
    let is_own = |node: &NodeStatus| *node.standing.id.0 == *id;
    if region.nodes.len() > 1 && serving().any(is_own) && serving().all(is_own) {
        let message = format!("{id} is the last node that serves; have another one serve first, or force it");
        return Err(Fault::new(Code::LastNode, message));
    }
    Ok(())
}

async fn choose_strategy(
    State(operations): State<Operations>,
    Path(strategy): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let nodes = operations.gateway().nodes();
    let chosen = named_model(query.as_deref()).and_then(|model| {
        nodes.choose_by(&strategy, model.as_ref())?;
        Ok(model)
    });
    match chosen {
        Ok(None) => {
            tracing::info!(strategy, "nodes are chosen by another strategy");
            json_response(&json!({"strategy": strategy}))
        }
        Ok(Some(model)) => {
            tracing::info!(strategy, %model, "nodes are chosen by another strategy for a model");
            json_response(&json!({"strategy": strategy, "model": model.as_str()}))
        }
        Err(fault) => fault_response(&fault),
    }
}

async fn choose_as_usual(State(operations): State<Operations>, RawQuery(query): RawQuery) -> Response {
    let nodes = operations.gateway().nodes();
    let freed = named_model(query.as_deref()).and_then(|model| {
        let unnamed = || Fault::new(Code::RequestInvalid, "say of which model: ?model=NAME");
        let model = model.ok_or_else(unnamed)?;
        nodes.choose_as_usual(&model)?;
        Ok(model)
    });
    match freed {
        Ok(model) => {
            tracing::info!(%model, "nodes are chosen for a model as for others again");
            json_response(&json!({"model": model.as_str()}))
        }
        Err(fault) => fault_response(&fault),
    }
}

/// The model that a query names; none where there is no query. A query that says something else would change more than was meant.
fn named_model(query: Option<&str>) -> Result<Option<ModelName>, Fault> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    // Names of models have nothing that would have to be encoded.
    let model = query.strip_prefix("model=").and_then(|name| name.parse().ok());
    let wrong = || format!("the query is {}; say ?model=NAME, or nothing", quoted(query));
    model.map(Some).ok_or_else(|| Fault::new(Code::RequestInvalid, wrong()))
}

fn document(region: &RegionStatus, capacity: &RegionCapacity) -> Value {
    let nodes: Vec<Value> = region.nodes.iter().map(node).collect();
    let clusters: Vec<Value> = capacity.clusters.iter().map(cluster).collect();
    let routes = region.routes.iter().map(|(model, strategy)| (model.to_string(), strategy.as_str().into()));
    json!({
        "strategy": region.strategy,
        "routes": routes.collect::<Map<_, _>>(),
        "nodes": nodes,
        "processing_clusters": clusters,
        "capacity": {
            "total_per_second": capacity.total_per_second,
            "effective_per_second": capacity.effective_per_second,
            "without_largest_per_second": capacity.without_largest_per_second,
        },
    })
}

fn cluster(cluster: &ClusterCapacity) -> Value {
    let nodes: Map<String, Value> =
        cluster.nodes.iter().map(|(state, count)| ((*state).to_owned(), json!(count))).collect();
    json!({
        "name": cluster.name.as_str(),
        "nodes": nodes,
        "total_per_second": cluster.total_per_second,
        "effective_per_second": cluster.effective_per_second,
    })
}

/// How a node can stand. Only the first gets requests.
pub(crate) const STATES: [&str; 4] = ["serving", "leaving", "distrusted", "unreachable"];

/// The state of a node in a word, one of [`STATES`].
pub(crate) fn state(node: &NodeStatus) -> &'static str {
    let standing = &node.standing;
    match (standing.is_connected, standing.is_leaving, standing.is_trusted) {
        (false, ..) => "unreachable",
        (true, true, _) => "leaving",
        (true, false, false) => "distrusted",
        (true, false, true) => "serving",
    }
}

fn node(node: &NodeStatus) -> Value {
    let load = node.load.as_ref().map(|load| {
        json!({
            "queue_len": load.queue_len,
            "batches_executing": load.batches_executing,
            "executors": load.executors,
            "cpu_free": load.cpu_free,
            "memory_free": load.memory_free,
            "sequences_in_memory": load.sequences.in_memory,
        })
    });
    json!({
        "id": node.standing.id.to_string(),
        "state": state(node),
        "address": node.address,
        "processing_cluster": node.cluster,
        "weight": node.weight,
        "capacity_per_second": node.capacity_per_second,
        "life": node.life.map(life),
        "shares_sequences": node.shares_sequences,
        "gateways": node.gateways.as_ref().map(|all| all.iter().map(caller).collect::<Vec<_>>()),
        "unreachable": node.unreachable,
        "load": load,
    })
}

fn caller(caller: &Caller) -> Value {
    json!({"name": caller.name, "life": caller.life.map(life)})
}

/// As text: a number of 64 bits is more than many readers of JSON keep.
fn life(life: u64) -> String {
    format!("{life:016x}")
}

fn example() -> Value {
    json!({"strategy": "weighted_least_connections", "routes": {"taxi": "predictive"}, "nodes": [{
        "id": "n1", "state": "serving", "address": "127.0.0.1:8104", "processing_cluster": "gpu-1", "weight": 1.0,
        "capacity_per_second": null, "life": "00c0ffee00c0ffee", "shares_sequences": true,
        "gateways": [{"name": "g1", "life": "0ddba11000000001"}],
        "unreachable": null,
        "load": {"queue_len": 0, "batches_executing": 1, "executors": 2, "cpu_free": 0.5, "memory_free": 0.8,
            "sequences_in_memory": 17}}],
        "processing_clusters": [{"name": "gpu-1", "total_per_second": 500.0, "effective_per_second": 330.0,
            "nodes": {"serving": 1, "leaving": 0, "distrusted": 0, "unreachable": 0}}],
        "capacity": {"total_per_second": 500.0, "effective_per_second": 330.0, "without_largest_per_second": 0.0}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_node_that_serves_is_not_spare() {
        let check = |leaving: &[usize], node: &str, wanted: Result<(), Code>| {
            let mut region = crate::example::brief_region();
            region.nodes.truncate(3);
            leaving.iter().for_each(|number| region.nodes[*number].standing.is_leaving = true);
            assert_eq!(is_spare(&region, node).map_err(|fault| fault.code()), wanted, "{leaving:?} {node}");
        };
        check(&[], "n00", Ok(()));
        check(&[0], "n01", Ok(()));
        check(&[0, 1], "n02", Err(Code::LastNode));
        // It stops already.
        check(&[0, 1], "n01", Ok(()));
        check(&[0, 1], "n7", Ok(()));
        let mut alone = crate::example::brief_region();
        alone.nodes.truncate(1);
        assert_eq!(is_spare(&alone, "n00"), Ok(()));
    }

    #[tokio::test]
    async fn a_gateway_that_starts_says_how_many_nodes_it_has_reached() {
        let mut region = crate::example::brief_region();
        region.nodes.truncate(3);
        region.nodes[1].standing.is_connected = false;
        let fault = crate::example::starting_gateway_of(region).ready().unwrap_err();
        assert_eq!(fault.code(), Code::Starting);
        assert!(fault.message().contains("2 of the 3 nodes"), "{fault}");
    }

    #[test]
    fn only_a_plain_word_forces() {
        let check = |query: Option<&str>, wanted: Result<bool, Code>| {
            assert_eq!(is_forced(query).map_err(|fault| fault.code()), wanted, "{query:?}");
        };
        check(None, Ok(false));
        check(Some("force=false"), Ok(false));
        check(Some("force=true"), Ok(true));
        check(Some("force"), Err(Code::RequestInvalid));
        check(Some("forced=true"), Err(Code::RequestInvalid));
    }

    #[test]
    fn a_query_names_a_model_or_nothing() {
        let check = |query: Option<&str>, wanted: Result<Option<&str>, Code>| {
            let got = named_model(query);
            let got = got.as_ref().map(|model| model.as_ref().map(ModelName::as_str)).map_err(Fault::code);
            assert_eq!(got, wanted, "{query:?}");
        };
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("model=taxi-h48"), Ok(Some("taxi-h48")));
        for wrong in ["mode=taxi", "model", "model=", "model=a%20b", "model=a&model=b", "x=1"] {
            check(Some(wrong), Err(Code::RequestInvalid));
        }
    }
}
