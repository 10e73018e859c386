//! How the processes of a region find and hear each other.

use super::error::Error;
use super::sources::Layered;
use super::{id, is_id};
use spinwell_core::{Millis, NodeId};
use std::net::SocketAddr;

/// How a node can be chosen.
const STRATEGIES: [&str; 5] =
    ["round_robin", "weighted_least_connections", "resource_aware", "predictive", "latency_optimized"];

/// A node that the configuration names.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticNode {
    /// Its name.
    pub id: NodeId,
    /// Where gateways reach it: host and port.
    pub address: String,
    /// How much work it takes in relation to the others, above 0.
    pub weight: f64,
}

/// What a gateway or a node is in its region.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The gateway's name.
    pub gateway_id: NodeId,
    /// Where a node takes the requests of gateways.
    pub node_address: SocketAddr,
    /// The nodes.
    pub nodes: Vec<StaticNode>,
    /// Node processes that `serve` starts beside its gateway; with none, it is a node itself.
    pub own_nodes: usize,
    /// How often a node says that it is alive.
    pub beat: Millis,
    /// How long a node may be silent before a gateway gives it up.
    pub silence: Millis,
    /// By when a request that a node did not answer must be at another one.
    pub failover_timeout: Millis,
    /// The name of the strategy by which a gateway chooses nodes.
    pub strategy: String,
}

pub(super) fn region(layered: &Layered) -> Result<Region, Error> {
    let (beat, silence) = (layered.millis("cluster.beat_ms")?, layered.millis("cluster.silence_ms")?);
    if silence.0 < 2 * beat.0 {
        return Err(layered.invalid("cluster.silence_ms", "at least twice cluster.beat_ms"));
    }
    let listed = layered.text("registry.nodes").split(',').map(str::trim).filter(|text| !text.is_empty());
    let nodes: Option<Vec<StaticNode>> = listed.map(node).collect();
    let wanted = "NAME=HOST:PORT for each node, separated by commas, with *W behind it for one that takes W times as much work";
    let nodes = nodes.ok_or_else(|| layered.invalid("registry.nodes", wanted))?;
    let is_twice = |number: usize| nodes[..number].iter().any(|node| node.id == nodes[number].id);
    if (0..nodes.len()).any(is_twice) {
        return Err(layered.invalid("registry.nodes", "another name for each node"));
    }
    Ok(Region {
        gateway_id: id(layered, "gateway.id")?,
        node_address: layered.address("node.address")?,
        nodes,
        own_nodes: layered.number("cluster.nodes", 0..=64)?,
        beat,
        silence,
        failover_timeout: layered.millis("cluster.failover_timeout_ms")?,
        strategy: match layered.text("cluster.strategy") {
            known if STRATEGIES.contains(&known) => known.to_owned(),
            _ => return Err(layered.invalid("cluster.strategy", &STRATEGIES.join(", "))),
        },
    })
}

fn node(text: &str) -> Option<StaticNode> {
    let (id, rest) = text.split_once('=')?;
    let (address, weight) = rest.split_once('*').unwrap_or((rest, "1"));
    let (host, port) = address.rsplit_once(':')?;
    let is_address = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    let weight = weight.parse::<f64>().ok().filter(|weight| (1e-3..=1e3).contains(weight))?;
    (is_id(id) && is_address).then(|| StaticNode {
        id: NodeId(id.into()),
        address: address.to_owned(),
        weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_with_addresses_and_weights() {
        let check = |text: &str, wanted: Option<(&str, &str, f64)>| {
            let got = node(text);
            let got = got.as_ref().map(|node| (&*node.id.0, node.address.as_str(), node.weight));
            assert_eq!(got, wanted, "{text}");
        };
        check("n1=127.0.0.1:8103", Some(("n1", "127.0.0.1:8103", 1.0)));
        check("n-2=node-2.internal:80*2.5", Some(("n-2", "node-2.internal:80", 2.5)));
        check("n=[::1]:80", Some(("n", "[::1]:80", 1.0)));
        for wrong in
            ["", "n1", "n1=", "n1=host", "n1=:80", "n1=host:0", "n1=h:1*0", "n1=h:1*x", "a b=h:1", "n=h/x:1"]
        {
            check(wrong, None);
        }
    }
}
