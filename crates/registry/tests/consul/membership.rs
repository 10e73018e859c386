//! Members come, beat, change and go, and everybody sees it.

use crate::agent::{Agent, until};
use crate::region::{Process, TTL, health, listed, node, nodes, options};
use serde_json::json;
use spinwell_core::{Millis, NodeId};
use spinwell_registry::{Health, Member, Role, View, consul};
use std::num::NonZeroU16;
use std::time::Duration;

#[tokio::test]
async fn a_member_is_seen_as_it_announced_itself_and_goes_when_it_withdraws() {
    let agent = Agent::start().await;
    let looker = Process::watching(&agent);
    looker.sees_nodes(&[]).await;
    let member = Member {
        ops: Some("127.0.0.1:8002".parse().unwrap()),
        processing_cluster: "gpu-1".parse().unwrap(),
        weight: NonZeroU16::new(7).unwrap(),
        capacity_per_second: Some(2000.0),
        meta: [("gpu".to_owned(), "RTX 5070 ×4".to_owned())].into(),
        ..node("n1")
    };
    let process = Process::announcing(&agent, member.clone());
    let view = looker.sees_nodes(&["n1"]).await;
    assert_eq!(listed(&view, "n1").map(|listed| &listed.member), Some(&member));
    // Who announces itself sees itself, too.
    process.sees_nodes(&["n1"]).await;

    process.registry.withdraw().await.unwrap();
    assert_eq!(agent.services().await, Vec::<String>::new());
    let gone = looker.sees_nodes(&[]).await;
    assert!(gone.listed().is_empty() && gone.version() > view.version());
}

#[tokio::test]
async fn who_beats_stays_and_who_does_not_becomes_critical() {
    let agent = Agent::start().await;
    let looker = Process::watching(&agent);
    let (killed, _other) = (Process::announcing(&agent, node("n1")), Process::announcing(&agent, node("n2")));
    looker.sees_nodes(&["n1", "n2"]).await;
    // Not one of three periods passes without a beat.
    let mut view = looker.view();
    let missed =
        tokio::time::timeout(3 * Duration::from(TTL), view.wait_for(|view| nodes(view).len() < 2)).await;
    assert!(missed.is_err(), "{:?}", looker.view().borrow());

    killed.kill();
    let view = looker.sees_nodes(&["n2"]).await;
    assert_eq!(health(&view, "n1"), Some(Health::Critical));
}

#[tokio::test]
async fn what_a_member_says_of_its_health_is_seen() {
    let agent = Agent::start().await;
    let looker = Process::watching(&agent);
    let process = Process::announcing(&agent, node("n1"));
    for wanted in [Health::Passing, Health::Warning, Health::Critical, Health::Passing] {
        process.registry.set_health(wanted);
        let view = looker.sees("health", |view| health(view, "n1") == Some(wanted)).await;
        assert_eq!(nodes(&view).len(), usize::from(wanted != Health::Critical), "{wanted}");
    }
    // It stays what it is over beats, each of which says it again.
    process.registry.set_health(Health::Warning);
    looker.sees("warning", |view| health(view, "n1") == Some(Health::Warning)).await;
    let mut view = looker.view();
    let other = view.wait_for(|view| health(view, "n1") != Some(Health::Warning));
    assert!(tokio::time::timeout(2 * Duration::from(TTL), other).await.is_err());
}

/// With queries that wait for a minute, only a query that a change wakes shows it within the bound.
#[tokio::test]
async fn a_change_wakes_who_waits() {
    let agent = Agent::start().await;
    let looker = Process::with(consul::Options { wait: Millis(600_000), ..options(agent.url()) });
    let first = Process::announcing(&agent, node("n1"));
    looker.sees_nodes(&["n1"]).await;
    // Three changes, so that no burst of tokens can stand for being woken.
    for (id, seen) in
        [("n2", &["n1", "n2"][..]), ("n3", &["n1", "n2", "n3"]), ("n4", &["n1", "n2", "n3", "n4"])]
    {
        let started = tokio::time::Instant::now();
        let process = Process::announcing(&agent, node(id));
        looker.sees_nodes(seen).await;
        println!("{id} was seen after {:?}", started.elapsed());
        // It goes on beating.
        std::mem::forget(process);
    }
    first.stop().await;
    looker.sees_nodes(&["n2", "n3", "n4"]).await;
}

#[tokio::test]
async fn a_process_that_stops_takes_itself_off_the_list() {
    let agent = Agent::start().await;
    let process = Process::announcing(&agent, node("n1"));
    process.sees_nodes(&["n1"]).await;
    process.stop().await;
    assert_eq!(agent.services().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_gateways_grpc_is_a_service_as_healthy_as_the_gateway() {
    let agent = Agent::start().await;
    let gateway = Member {
        grpc: Some("127.0.0.1:8001".parse().unwrap()),
        ..Member::new(Role::Gateway, "g1", "127.0.0.1:8000".parse().unwrap())
    };
    let process = Process::announcing(&agent, gateway.clone());
    let id = NodeId("g1".into());
    let view = process.sees("a gateway", |view| view.get(Role::Gateway, &id).is_some()).await;
    assert_eq!(view.get(Role::Gateway, &id).map(|listed| &listed.member), Some(&gateway));

    process.registry.set_health(Health::Critical);
    for (wanted, set) in [("critical", Health::Passing), ("passing", Health::Critical)] {
        until(wanted, || async {
            let list = agent.get("/v1/health/service/spinwell-gateway-grpc").await.unwrap();
            let checks = list[0]["Checks"].as_array().into_iter().flatten();
            let mut own = checks.filter(|check| check["CheckID"] != "serfHealth");
            list[0]["Service"]["Port"] == json!(8001) && own.any(|check| check["Status"] == wanted)
        })
        .await;
        process.registry.set_health(set);
    }
    process.registry.withdraw().await.unwrap();
    assert_eq!(agent.services().await, Vec::<String>::new());
}

/// What is delivered as the policy of Spinwell's token.
const POLICY: &str = include_str!("../../../../deploy/consul/spinwell.policy.hcl");

#[tokio::test]
async fn the_delivered_policy_is_enough_for_gateways_and_nodes_and_for_nothing_else() {
    let agent = Agent::start_with_acl().await;
    let token = agent.token_with(POLICY).await;
    let (gateway, node_of_it) = (Process::with_token(&agent, &token), Process::with_token(&agent, &token));
    let grpc = Some("127.0.0.1:8001".parse().unwrap());
    let member = Member { grpc, ..Member::new(Role::Gateway, "g1", "127.0.0.1:8000".parse().unwrap()) };
    gateway.registry.announce(member).unwrap();
    node_of_it.registry.announce(node("n1")).unwrap();
    let is_there = |view: &View| view.get(Role::Gateway, &NodeId("g1".into())).is_some();
    for process in [&gateway, &node_of_it] {
        process.sees_nodes(&["n1"]).await;
        process.sees("the gateway", is_there).await;
    }
    let mut services = agent.services().await;
    services.sort();
    assert_eq!(services, ["spinwell-gateway-grpc:g1", "spinwell-gateway:g1", "spinwell-node:n1"]);
    // Beats, and the end.
    node_of_it.registry.set_health(Health::Critical);
    gateway.sees("critical", |view| health(view, "n1") == Some(Health::Critical)).await;
    node_of_it.registry.withdraw().await.unwrap();
    gateway.sees("withdrawn", |view| view.get(Role::Node, &NodeId("n1".into())).is_none()).await;
    let foreign = json!({"ID": "db", "Name": "database", "Port": 1});
    assert_eq!(agent.register_with(&foreign, &token).await, 403, "what is not Spinwell's");
}

#[tokio::test]
async fn without_the_right_token_nothing_is_told_and_nothing_known() {
    let agent = Agent::start_with_acl().await;
    let trusted = Process::with_token(&agent, &agent.token_with(POLICY).await);
    let stranger = Process::with_token(&agent, "00000000-1111-2222-3333-444444444444");
    stranger.registry.announce(node("stranger")).unwrap();
    trusted.registry.announce(node("n1")).unwrap();
    trusted.sees_nodes(&["n1"]).await;
    assert_eq!(agent.services().await, ["spinwell-node:n1"]);
    // Consul filters what may not be read: an unknown token is an error, and the view stays unknown.
    let view = stranger.view().borrow().clone();
    assert!(view.is_frozen() && view.listed().is_empty(), "{view:?}");
}

#[tokio::test]
async fn services_that_are_no_members_are_left_out() {
    let agent = Agent::start().await;
    agent.register(&json!({"ID": "other", "Name": "spinwell-node", "Port": 1})).await;
    agent.register(&json!({"ID": "worse", "Name": "spinwell-node", "Meta": {"spinwell-id": "../x"}})).await;
    let _process = Process::announcing(&agent, node("n1"));
    let view = _process.sees_nodes(&["n1"]).await;
    assert_eq!(view.listed().len(), 1);
}

/// Two regions in one Consul do not see each other.
#[tokio::test]
async fn regions_with_other_prefixes_do_not_meet() {
    let agent = Agent::start().await;
    let here = Process::announcing(&agent, node("n1"));
    let there = Process::with(consul::Options { prefix: "eu-2".to_owned(), ..options(agent.url()) });
    there.registry.announce(node("n2")).unwrap();
    there.sees_nodes(&["n2"]).await;
    here.sees_nodes(&["n1"]).await;
}
