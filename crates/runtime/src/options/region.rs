//! How the processes of a region find, know and hear each other.

use super::capacity::{self, RegionCapacity, is_processing_cluster};
use super::error::Error;
use super::sources::Layered;
use super::{id, is_id};
use spinwell_core::{Millis, ModelName, NodeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// How a node can be chosen.
const STRATEGIES: [&str; 5] =
    ["round_robin", "weighted_least_connections", "resource_aware", "predictive", "latency_optimized"];

/// A node that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticNode {
    /// Its name.
    pub id: NodeId,
    /// Where gateways reach it: host and port.
    pub address: String,
    /// How much work it takes in relation to the others; 100 is usual.
    pub weight: NonZeroU16,
}

/// Where a gateway learns of the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Here.
    Static(Vec<StaticNode>),
    /// From a Consul agent.
    Consul {
        /// The agent, such as `http://127.0.0.1:8500`.
        url: String,
        /// A file with what the agent knows us by; none where it does not ask.
        token_file: Option<PathBuf>,
        /// What the names of our services begin with.
        prefix: String,
    },
}

/// What a gateway or a node is in its region.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The gateway's name.
    pub gateway_id: NodeId,
    /// Where a gateway tells HAProxy's agent check how it is.
    pub agent_address: SocketAddr,
    /// Where a node takes the requests of gateways.
    pub node_address: SocketAddr,
    /// How much work the node takes in relation to the others; 100 is usual.
    pub node_weight: NonZeroU16,
    /// The processing cluster that the node is part of.
    pub processing_cluster: String,
    /// Predictions a second that the node says it can carry; none where it leaves that to the region.
    pub node_capacity_per_second: Option<f64>,
    /// What the capacity of the region is worked out with.
    pub capacity: RegionCapacity,
    /// The host under which others reach this process; empty where it is the address that it listens on.
    pub advertised_host: String,
    /// Where a gateway learns of the nodes, and where processes announce themselves.
    pub nodes: Nodes,
    /// The folder with the certificate, the key and the authority by which our processes know each other. Without one they
    /// speak in the clear, which only loopback addresses may.
    pub certificates: Option<PathBuf>,
    /// Node processes that `serve` starts beside its gateway; with none, it is a node itself.
    pub own_nodes: usize,
    /// Nodes that a gateway wants to begin with.
    pub min_nodes: usize,
    /// How long a gateway waits for them.
    pub start_timeout: Millis,
    /// How often a node says that it is alive.
    pub beat: Millis,
    /// How long a node may be silent before a gateway gives it up.
    pub silence: Millis,
    /// By when a request that a node did not answer must be at another one.
    pub failover_timeout: Millis,
    /// The name of the strategy by which a gateway chooses nodes.
    pub strategy: String,
    /// Those of models that have one of their own.
    pub routes: BTreeMap<ModelName, String>,
    /// Whether a gateway brings nodes the files of models that others have.
    pub spread_models: bool,
}

pub(super) fn region(layered: &Layered) -> Result<Region, Error> {
    let (beat, silence) = (layered.millis("cluster.beat_ms")?, layered.millis("cluster.silence_ms")?);
    if silence.0 < 2 * beat.0 {
        return Err(layered.invalid("cluster.silence_ms", "at least twice cluster.beat_ms"));
    }
    let processing_cluster = layered.text("node.processing_cluster");
    if !is_processing_cluster(processing_cluster) {
        return Err(layered.invalid("node.processing_cluster", "1 to 64 letters, digits, '.', '_' or '-'"));
    }
    let certificates = layered.text("tls.dir");
    Ok(Region {
        gateway_id: id(layered, "gateway.id")?,
        agent_address: layered.address("gateway.agent_address")?,
        node_address: layered.address("node.address")?,
        node_weight: weight(layered.text("node.weight"))
            .ok_or_else(|| layered.invalid("node.weight", "a whole number from 1 to 65535"))?,
        processing_cluster: processing_cluster.to_owned(),
        node_capacity_per_second: capacity::of_node(layered)?,
        capacity: capacity::capacity(layered)?,
        advertised_host: layered.text("registry.advertised_host").to_owned(),
        nodes: nodes(layered)?,
        certificates: (!certificates.is_empty()).then(|| PathBuf::from(certificates)),
        own_nodes: layered.number("cluster.nodes", 0..=64)?,
        min_nodes: layered.number("cluster.min_nodes", 1..=10_000)?,
        start_timeout: layered.millis("cluster.start_timeout_ms")?,
        beat,
        silence,
        failover_timeout: layered.millis("cluster.failover_timeout_ms")?,
        strategy: match layered.text("cluster.strategy") {
            known if STRATEGIES.contains(&known) => known.to_owned(),
            _ => return Err(layered.invalid("cluster.strategy", &STRATEGIES.join(", "))),
        },
        routes: routes(layered)?,
        spread_models: layered.flag("cluster.spread_models")?,
    })
}

fn routes(layered: &Layered) -> Result<BTreeMap<ModelName, String>, Error> {
    let wrong = |wanted: &str| layered.invalid("cluster.routes", wanted);
    let listed = layered.text("cluster.routes").split(',').map(str::trim).filter(|text| !text.is_empty());
    let mut routes = BTreeMap::new();
    for text in listed {
        let (model, strategy) = route(text).ok_or_else(|| {
            wrong(&format!(
                "MODEL=STRATEGY for each model, separated by commas, with one of {}",
                STRATEGIES.join(", ")
            ))
        })?;
        if routes.insert(model, strategy).is_some() {
            return Err(wrong("another model for each strategy"));
        }
    }
    Ok(routes)
}

fn route(text: &str) -> Option<(ModelName, String)> {
    let (model, strategy) = text.split_once('=')?;
    let strategy = STRATEGIES.into_iter().find(|known| *known == strategy.trim())?;
    Some((model.trim().parse().ok()?, strategy.to_owned()))
}

fn nodes(layered: &Layered) -> Result<Nodes, Error> {
    match layered.text("registry.kind") {
        "static" => static_nodes(layered).map(Nodes::Static),
        "consul" => Ok(Nodes::Consul {
            url: layered.text("registry.consul_url").to_owned(),
            token_file: match layered.text("registry.consul_token_file") {
                "" => None,
                path => Some(PathBuf::from(path)),
            },
            prefix: layered.text("registry.consul_prefix").to_owned(),
        }),
        _ => Err(layered.invalid("registry.kind", "static or consul")),
    }
}

fn static_nodes(layered: &Layered) -> Result<Vec<StaticNode>, Error> {
    let listed = layered.text("registry.nodes").split(',').map(str::trim).filter(|text| !text.is_empty());
    let nodes: Option<Vec<StaticNode>> = listed.map(node).collect();
    let wanted =
        "NAME=HOST:PORT for each node, separated by commas, with *W behind it for another weight than 100";
    let nodes = nodes.ok_or_else(|| layered.invalid("registry.nodes", wanted))?;
    let is_twice = |number: usize| nodes[..number].iter().any(|node| node.id == nodes[number].id);
    if (0..nodes.len()).any(is_twice) {
        return Err(layered.invalid("registry.nodes", "another name for each node"));
    }
    Ok(nodes)
}

fn node(text: &str) -> Option<StaticNode> {
    let (id, rest) = text.split_once('=')?;
    let (address, own) = rest.split_once('*').unwrap_or((rest, "100"));
    let (host, port) = address.rsplit_once(':')?;
    let is_of_a_host =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let is_address =
        !host.is_empty() && host.bytes().all(is_of_a_host) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let weight = weight(own)?;
    (is_id(id) && is_address).then(|| StaticNode {
        id: NodeId(id.into()),
        address: address.to_owned(),
        weight,
    })
}

fn weight(text: &str) -> Option<NonZeroU16> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Sources};
    use spinwell_core::Code;

    #[test]
    fn routes_are_models_with_strategies() {
        let check = |text: &str, wanted: Option<(&str, &str)>| {
            let got = route(text);
            assert_eq!(
                got.as_ref().map(|(model, strategy)| (model.as_str(), strategy.as_str())),
                wanted,
                "{text}"
            );
        };
        check("taxi=predictive", Some(("taxi", "predictive")));
        check("Taxi.h48 = round_robin", Some(("Taxi.h48", "round_robin")));
        for wrong in ["taxi", "taxi=", "=predictive", "taxi=fastest", "a b=predictive", "taxi=predictive=x"] {
            check(wrong, None);
        }
    }

    #[test]
    fn models_have_strategies_of_their_own_from_a_table_or_a_list() {
        let check = |sources: Sources, wanted: &[(&str, &str)]| {
            let routes = Options::load(&sources).unwrap().options.region.routes;
            let got: Vec<_> =
                routes.iter().map(|(model, strategy)| (model.as_str(), strategy.as_str())).collect();
            assert_eq!(got, wanted);
        };
        let variable = |text: &str| vec![("SPINWELL_CLUSTER_ROUTES".to_owned(), text.to_owned())];
        let sources = |file: &str, environment: Vec<(String, String)>| Sources {
            file: Some(("spinwell.toml".into(), file.to_owned())),
            environment,
            ..Sources::default()
        };
        let table = "[cluster.routes]\ntaxi = \"predictive\"\n\"Pump.2\" = \"round_robin\"\n";
        let both = [("Pump.2", "round_robin"), ("taxi", "predictive")];
        check(sources("", Vec::new()), &[]);
        check(sources(table, Vec::new()), &both);
        check(sources("[cluster]\nroutes = \"taxi=predictive, Pump.2=round_robin\"\n", Vec::new()), &both);
        // A later source replaces all of them, and nothing is a value, too.
        check(sources(table, variable("gait=resource_aware")), &[("gait", "resource_aware")]);
        check(sources(table, variable("")), &[]);
        let printed = Options::load(&sources(table, Vec::new())).unwrap().print();
        assert!(
            printed.contains("routes = \"Pump.2=round_robin,taxi=predictive\"  # spinwell.toml"),
            "{printed}"
        );
        for (wrong, words) in [
            ("[cluster.routes]\ntaxi = \"fastest\"\n", ["taxi=fastest", "latency_optimized"]),
            ("[cluster.routes]\na.b = \"predictive\"\n", ["cluster.routes", "quotation marks"]),
            ("[cluster.routes]\n\"a=predictive,b\" = \"predictive\"\n", ["cluster.routes", "NAME = VALUE"]),
            ("[cluster]\nroutes = \"a=predictive,a=round_robin\"\n", ["cluster.routes", "another model"]),
            ("[cluster]\nsilence_ms = { a = 1 }\n", ["cluster.silence_ms", "a single value"]),
        ] {
            let fault = Options::load(&sources(wrong, Vec::new())).unwrap_err().fault();
            assert_eq!(fault.code(), Code::ConfigInvalid);
            assert!(words.iter().all(|word| fault.message().contains(word)), "{fault}");
        }
    }

    #[test]
    fn nodes_are_named_with_addresses_and_weights() {
        let check = |text: &str, wanted: Option<(&str, &str, u16)>| {
            let got = node(text);
            let got = got.as_ref().map(|node| (&*node.id.0, node.address.as_str(), node.weight.get()));
            assert_eq!(got, wanted, "{text}");
        };
        check("n1=127.0.0.1:8104", Some(("n1", "127.0.0.1:8104", 100)));
        check("n-2=node-2.internal:80*250", Some(("n-2", "node-2.internal:80", 250)));
        check("n=[::1]:80", Some(("n", "[::1]:80", 100)));
        for wrong in
            ["", "n1", "n1=", "n1=host", "n1=:80", "n1=host:0", "n1=h:1*0", "n1=h:1*x", "a b=h:1", "n=h/x:1"]
        {
            check(wrong, None);
        }
    }
}
