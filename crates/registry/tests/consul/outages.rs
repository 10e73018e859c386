//! Consul goes away, hangs, forgets, and comes back; the region does not notice.

use crate::agent::{Agent, until};
use crate::region::{Process, health, node, nodes, options};
use spinwell_core::Millis;
use spinwell_registry::{Health, View, consul};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Writes down every set of usable nodes that a process sees from now on.
fn recorded(mut view: watch::Receiver<Arc<View>>) -> Arc<Mutex<Vec<Vec<String>>>> {
    let seen = Arc::new(Mutex::new(vec![nodes(&view.borrow_and_update())]));
    let writer = Arc::clone(&seen);
    tokio::spawn(async move {
        while view.changed().await.is_ok() {
            let now = nodes(&view.borrow_and_update());
            writer.lock().unwrap().push(now);
        }
    });
    seen
}

/// Waits until the agent itself says that both nodes are registered and passing.
async fn both_are_registered(agent: &Agent) {
    until("both registered", || async {
        let list = agent.get("/v1/health/service/spinwell-node?passing").await;
        list.is_ok_and(|list| list.as_array().is_some_and(|list| list.len() == 2))
    })
    .await;
}

/// Two nodes and a looker; the agent is killed and comes back with or without what it knew.
async fn an_agent_comes_back(keeps_its_data: bool) {
    let mut agent = Agent::start().await;
    let nodes = [Process::announcing(&agent, node("n1")), Process::announcing(&agent, node("n2"))];
    let looker = Process::watching(&agent);
    let before = looker.sees_nodes(&["n1", "n2"]).await;
    let seen = recorded(looker.view());

    agent.kill().await;
    let frozen = looker.sees("a frozen view", View::is_frozen).await;
    assert_eq!((frozen.version(), frozen.listed()), (before.version(), before.listed()));
    if keeps_its_data {
        agent.restart().await;
    } else {
        agent.restart_empty().await;
    }
    both_are_registered(&agent).await;
    looker.sees_nodes(&["n1", "n2"]).await;
    // It still hears of what happens.
    let [first, _second] = nodes;
    first.registry.set_health(Health::Critical);
    looker.sees("critical", |view| health(view, "n1") == Some(Health::Critical)).await;
    let seen = seen.lock().unwrap().clone();
    let (last, held) = seen.split_last().unwrap();
    assert!(held.iter().all(|nodes| nodes == &["n1", "n2"]), "the view was emptied: {seen:?}");
    assert_eq!(last, &["n2"]);
}

#[tokio::test]
async fn an_agent_that_restarts_does_not_empty_the_view() {
    an_agent_comes_back(true).await;
}

#[tokio::test]
async fn an_agent_that_has_lost_everything_does_not_empty_the_view() {
    an_agent_comes_back(false).await;
}

#[tokio::test]
async fn an_agent_that_has_forgotten_one_member_hears_of_it_again() {
    let agent = Agent::start().await;
    let process = Process::announcing(&agent, node("n1"));
    process.sees_nodes(&["n1"]).await;
    agent.forget("spinwell-node:n1").await;
    until("registered again", || async { !agent.services().await.is_empty() }).await;
    process.sees_nodes(&["n1"]).await;
    process.registry.withdraw().await.unwrap();
    assert_eq!(agent.services().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_region_that_starts_before_its_consul_finds_together_when_it_comes() {
    let place = Agent::reserve();
    let first = Process::with(options(place.url()));
    let second = Process::with(options(place.url()));
    first.registry.announce(node("n1")).unwrap();
    second.registry.announce(node("n2")).unwrap();
    let view = first.view().borrow().clone();
    assert_eq!((view.version(), view.is_frozen()), (0, true));
    let _agent = place.start().await;
    first.sees_nodes(&["n1", "n2"]).await;
    second.sees_nodes(&["n1", "n2"]).await;
}

#[tokio::test]
async fn a_member_that_changed_its_mind_during_an_outage_is_not_registered_after_it() {
    let mut agent = Agent::start().await;
    let process = Process::announcing(&agent, node("n1"));
    process.sees_nodes(&["n1"]).await;
    agent.kill().await;
    assert!(process.registry.withdraw().await.is_err());
    agent.restart().await;
    // The process goes on trying until the agent hears of it.
    until("deregistered", || async { agent.services().await.is_empty() }).await;
}

#[tokio::test]
async fn an_agent_that_hangs_freezes_the_view() {
    let agent = Agent::start().await;
    let _process = Process::announcing(&agent, node("n1"));
    let looker = Process::with(consul::Options { wait: Millis(1000), ..options(agent.url()) });
    looker.sees_nodes(&["n1"]).await;
    agent.hang();
    let frozen = looker.sees("a frozen view", View::is_frozen).await;
    assert_eq!(nodes(&frozen), ["n1"]);
    agent.go_on();
    looker.sees_nodes(&["n1"]).await;
}
