//! Processes of a region, each with its own handle, and what they see.

use crate::agent::{Agent, BOUND};
use spinwell_core::{Millis, NodeId};
use spinwell_registry::consul::{self, Token};
use spinwell_registry::{Health, Listed, Member, Options, Registry, Role, View};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The shortest that is allowed.
pub(crate) const TTL: Millis = Millis(2000);

/// A process of the region.
pub(crate) struct Process {
    pub(crate) registry: Registry,
    view: watch::Receiver<Arc<View>>,
    running: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// What processes of these tests are set up with.
pub(crate) fn options(url: String) -> consul::Options {
    consul::Options { url, ttl: TTL, timeout: Millis(1000), ..consul::Options::default() }
}

/// A node that says nothing but where it is.
pub(crate) fn node(id: &str) -> Member {
    Member::new(Role::Node, id, "127.0.0.1:9001".parse().unwrap())
}

impl Process {
    /// A process that only looks.
    pub(crate) fn watching(agent: &Agent) -> Self {
        Self::with(options(agent.url()))
    }

    /// A process that announces itself.
    pub(crate) fn announcing(agent: &Agent, member: Member) -> Self {
        let process = Self::watching(agent);
        process.registry.announce(member).unwrap();
        process
    }

    /// A process with options of its own.
    pub(crate) fn with(options: consul::Options) -> Self {
        let (registry, service) = Registry::new(Options::Consul(options), 11).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(service.run(async move { drop(stopped.await) }));
        Self { view: registry.watch(), registry, running, stop }
    }

    /// The same with a token.
    pub(crate) fn with_token(agent: &Agent, token: &str) -> Self {
        Self::with(consul::Options { token: Some(Token::new(token)), ..options(agent.url()) })
    }

    /// Ends it without a word, as a kill does.
    pub(crate) fn kill(self) {
        self.running.abort();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(BOUND, self.running).await.expect("an end").unwrap();
    }

    /// Who watches what this process sees.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Waits until it sees what is wanted, and gives it.
    pub(crate) async fn sees(&self, what: &str, wanted: impl Fn(&View) -> bool) -> Arc<View> {
        let mut view = self.view.clone();
        let seen = tokio::time::timeout(BOUND, view.wait_for(|view| wanted(view))).await;
        let seen = seen.map(|seen| seen.expect("a registry").clone());
        seen.unwrap_or_else(|_| panic!("{what}: not seen, but {:?}", self.view.borrow()))
    }

    /// Waits until it sees exactly these as usable nodes, and that is no guess.
    pub(crate) async fn sees_nodes(&self, wanted: &[&str]) -> Arc<View> {
        self.sees(&format!("{wanted:?}"), |view| !view.is_frozen() && nodes(view) == wanted).await
    }
}

/// Ids of the usable nodes.
pub(crate) fn nodes(view: &View) -> Vec<String> {
    view.usable(Role::Node).map(|member| member.id.to_string()).collect()
}

/// How a node is.
pub(crate) fn health(view: &View, id: &str) -> Option<Health> {
    listed(view, id).map(|listed| listed.health)
}

/// A node with its health.
pub(crate) fn listed<'v>(view: &'v View, id: &str) -> Option<&'v Listed> {
    view.get(Role::Node, &NodeId(id.into()))
}
