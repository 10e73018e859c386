//! Two processes under one id.

use crate::agent::{Agent, BOUND, until};
use crate::region::{Process, listed, node};
use spinwell_registry::Member;
use tokio::net::TcpListener;

/// A node that takes connections, at an address of its own.
async fn living(id: &str) -> (TcpListener, Member) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, Member { address, ..node(id) })
}

async fn is_registered_at(agent: &Agent, wanted: &Member) -> bool {
    let service = agent.get("/v1/agent/service/spinwell-node:n1").await;
    service.is_ok_and(|service| service["Port"] == wanted.address.port())
}

#[tokio::test]
async fn who_has_the_id_of_one_that_lives_has_a_rival_until_that_one_is_gone() {
    let agent = Agent::start().await;
    let ((one, first), (_two, second)) = (living("n1").await, living("n1").await);
    let process = Process::announcing(&agent, first.clone());
    process.sees_nodes(&["n1"]).await;
    let newcomer = Process::watching(&agent);
    assert_eq!(newcomer.registry.rival(&second).await, Some(first.address.clone()));
    // One that starts again at its own address has none, and neither has another id.
    assert_eq!(newcomer.registry.rival(&first).await, None);
    assert_eq!(newcomer.registry.rival(&node("n2")).await, None);
    // One that was killed may be passing still, and is none.
    process.kill();
    drop(one);
    assert_eq!(newcomer.registry.rival(&second).await, None);
}

#[tokio::test]
async fn a_place_that_another_one_took_and_left_is_taken_again() {
    let agent = Agent::start().await;
    let ((_one, first), (two, second)) = (living("n1").await, living("n1").await);
    drop(two);
    let process = Process::announcing(&agent, first.clone());
    process.sees_nodes(&["n1"]).await;
    let passer_by = Process::announcing(&agent, second.clone());
    until("it has the place", || is_registered_at(&agent, &second)).await;
    passer_by.kill();
    until("it is where it was", || is_registered_at(&agent, &first)).await;
    let is_back = |view: &spinwell_registry::View| {
        listed(view, "n1").is_some_and(|listed| listed.member.address == first.address)
    };
    process.sees("itself again", is_back).await;
}

#[tokio::test]
async fn who_was_replaced_by_one_that_lives_says_so_and_beats_no_more() {
    let agent = Agent::start().await;
    let ((_one, first), (_two, second)) = (living("n1").await, living("n1").await);
    let process = Process::announcing(&agent, first.clone());
    process.sees_nodes(&["n1"]).await;
    let newcomer = Process::announcing(&agent, second.clone());
    let other = tokio::time::timeout(BOUND, process.registry.replaced()).await.expect("a word");
    assert_eq!(other, second.address);
    // Its end does not take the other one off the list.
    process.stop().await;
    assert!(is_registered_at(&agent, &second).await);
    newcomer.stop().await;
    assert_eq!(agent.services().await, Vec::<String>::new());
}
