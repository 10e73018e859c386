use super::*;
use std::time::Duration;

fn node(id: &str) -> Member {
    Member::new(Role::Node, id, "127.0.0.1:9001".parse().unwrap())
}

fn ids(registry: &Registry) -> Vec<String> {
    registry.watch().borrow().usable(Role::Node).map(|member| member.id.to_string()).collect()
}

fn local() -> Registry {
    Registry::new(Options::Local, 1).unwrap().0
}

#[tokio::test]
async fn a_supervisor_says_who_is_there() {
    let registry = local();
    let supervisor = registry.supervisor().unwrap();
    let mut watch = registry.watch();
    assert!(!watch.borrow_and_update().is_frozen());
    supervisor.join(node("b")).unwrap();
    supervisor.join(node("a")).unwrap();
    assert!(watch.has_changed().unwrap());
    assert_eq!(ids(&registry), ["a", "b"]);
    let a = NodeId("a".into());
    supervisor.set_health(Role::Node, &a, Health::Critical);
    assert_eq!(ids(&registry), ["b"]);
    supervisor.join(node("a")).unwrap();
    assert_eq!(ids(&registry), ["a", "b"], "who joins again is passing");
    watch.mark_unchanged();
    supervisor.set_health(Role::Gateway, &a, Health::Critical);
    supervisor.leave(Role::Gateway, &a);
    assert!(!watch.has_changed().unwrap(), "a gateway of that id is not there");
    supervisor.leave(Role::Node, &a);
    assert_eq!(ids(&registry), ["b"]);
}

#[tokio::test]
async fn the_process_itself_may_be_on_a_local_list() {
    let registry = local();
    registry.set_health(Health::Warning);
    registry.announce(node("a")).unwrap();
    assert_eq!(ids(&registry), ["a"]);
    registry.announce(node("b")).unwrap();
    assert_eq!(ids(&registry), ["b"], "it takes the place of what was announced before");
    registry.set_health(Health::Critical);
    assert!(ids(&registry).is_empty());
    registry.withdraw().await.unwrap();
    registry.withdraw().await.unwrap();
    assert!(registry.watch().borrow().listed().is_empty());
}

#[tokio::test]
async fn a_configured_list_never_changes() {
    let (registry, service) = Registry::new(Options::Static(vec![node("b"), node("a")]), 1).unwrap();
    registry.announce(node("c")).unwrap();
    registry.set_health(Health::Critical);
    registry.withdraw().await.unwrap();
    service.run(std::future::ready(())).await;
    assert_eq!(ids(&registry), ["a", "b"]);
    let view = registry.watch().borrow().clone();
    assert_eq!((view.version(), view.is_frozen()), (1, false));
}

#[test]
fn what_cannot_be_a_list_is_refused() {
    let gateway = Member { role: Role::Gateway, ..node("a") };
    for (members, is_right) in [
        (vec![], true),
        (vec![node("a"), gateway], true),
        (vec![node("a"), node("a")], false),
        (vec![node("")], false),
    ] {
        assert_eq!(Registry::new(Options::Static(members.clone()), 1).is_ok(), is_right, "{members:?}");
    }
    let consul = consul::Options { url: "nowhere".to_owned(), ..consul::Options::default() };
    assert!(matches!(Registry::new(Options::Consul(consul), 1), Err(Error::Consul(_))));
    assert!(local().announce(node("a/b")).is_err());
}

/// Nobody listens on the agent's port, and time is tokio's own.
#[tokio::test(start_paused = true)]
async fn without_an_agent_the_view_is_unknown_and_the_end_comes_in_time() {
    let consul = consul::Options { url: "http://127.0.0.1:1".to_owned(), ..consul::Options::default() };
    let (registry, service) = Registry::new(Options::Consul(consul), 1).unwrap();
    registry.announce(node("a")).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(service.run(async move { drop(stopped.await) }));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let view = registry.watch().borrow().clone();
    assert_eq!((view.version(), view.is_frozen(), view.listed().len()), (0, true, 0));
    assert!(matches!(registry.withdraw().await, Err(Error::NotWithdrawn(_))));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("an end").unwrap();
}
