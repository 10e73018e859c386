//! A process in its region: how it is found, finds others, and is known.

use anyhow::Result;
use spinwell_core::{Code, Fault, NodeId};
use spinwell_gateway::{Cluster, Member};
use spinwell_registry::{
    Address, CapacityOptions, Health, Options as RegistryOptions, Registry, Role, Service, View, consul,
};
use spinwell_runtime::options::{Exposure, Nodes, Options, Region, RegionCapacity, StaticNode};
use spinwell_runtime::shutdown::{self, Trigger};
use spinwell_runtime::tls::{self, Acceptor, Connector, Files, Mutual};
use spinwell_runtime::transport::{Dial, Door};
use spinwell_runtime::{entropy, telemetry};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a handshake between our own processes may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the last word to the registry may take. Where it does not get through, missed beats say the same.
const LAST_BEAT: Duration = Duration::from_millis(300);
/// By this key the registry says of a member that its addresses for callers and operators are spoken to over TLS.
pub(super) const TLS: &str = "tls";
/// How often to look whether there are new certificates.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// By what our processes know each other.
pub(super) struct Known {
    mutual: Option<Mutual>,
    /// Ends the watch over the files with this.
    _watched: Trigger,
}

impl Known {
    /// The certificates of a process of that role and name, where the options have any. They are watched from now on.
    ///
    /// # Errors
    /// Where they cannot be used, or are of another process.
    pub(super) fn of(region: &Region, role: tls::Role, id: &NodeId) -> Result<Self, Fault> {
        let (watched, ends) = shutdown::channel();
        let Some(folder) = &region.certificates else { return Ok(Self { mutual: None, _watched: watched }) };
        let mutual = Mutual::load(Files::in_folder(folder)).map_err(|error| error.fault())?;
        let own = mutual.identity();
        if own.role != role || own.id.as_str() != &*id.0 {
            let message =
                format!("the certificate in {} is of {own}, and this is the {role} {id}", folder.display());
            return Err(Fault::new(Code::CertificateInvalid, message));
        }
        tokio::spawn(tls::watch(mutual.clone(), LOOK_EVERY, ends));
        Ok(Self { mutual: Some(mutual), _watched: watched })
    }

    /// The certificate, where there is one.
    pub(super) fn certificate(&self) -> Option<&Mutual> {
        self.mutual.as_ref()
    }

    /// How this process is called, by gateways and control.
    pub(super) fn door(&self) -> Door {
        match &self.mutual {
            Some(mutual) => {
                Door::Mutual(Acceptor::new(mutual, &[tls::Role::Gateway, tls::Role::Control], HANDSHAKE))
            }
            None => Door::Clear,
        }
    }

    /// How this process calls nodes.
    pub(super) fn dial(&self, exposure: Exposure) -> Dial {
        match &self.mutual {
            Some(mutual) => Dial::Mutual(Connector::new(mutual, &[tls::Role::Node], HANDSHAKE)),
            None => Dial::Clear(exposure),
        }
    }

    /// Who may reach a listener for our own processes.
    pub(super) fn exposure(&self, otherwise: Exposure) -> Exposure {
        if self.mutual.is_some() { Exposure::Certified } else { otherwise }
    }
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct GatewayPlanes {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) ops: SocketAddr,
    /// Whether callers are shown a certificate at all of them.
    pub(super) is_encrypted: bool,
}

/// The place in the region's registry.
pub(super) struct Place {
    registry: Registry,
    stop: Trigger,
    /// What runs behind the registry, until it has been waited for.
    service: Mutex<Option<JoinHandle<()>>>,
}

impl Place {
    /// Connects to the registry of the options.
    ///
    /// # Errors
    /// Where they are not valid.
    pub(super) fn open(region: &Region) -> Result<Self, Fault> {
        let options = registry_options(region)?;
        let invalid =
            |error: spinwell_registry::Error| Fault::new(Code::ConfigInvalid, telemetry::chain(&error));
        let (registry, service) = Registry::new(options, entropy::seed()).map_err(invalid)?;
        let (stop, mut stops) = shutdown::channel();
        let service = tokio::spawn(service_until(service, async move { stops.wait().await }));
        Ok(Self { registry, stop, service: Mutex::new(Some(service)) })
    }

    /// Puts a node on the list.
    ///
    /// # Errors
    /// Where what it says of itself is not valid, or another one lives under its id.
    pub(super) async fn announce_node(
        &self,
        options: &Options,
        address: SocketAddr,
        ops: SocketAddr,
    ) -> Result<(), Fault> {
        let region = &options.region;
        let mut member = self.member(region, Role::Node, &options.node_id, address)?;
        member.ops = Some(advertised(region, ops)?);
        member.weight = region.node_weight;
        member.processing_cluster =
            region.processing_cluster.parse().map_err(|error| config_invalid(&error))?;
        member.capacity_per_second = region.node_capacity_per_second;
        if options.edge.is_some() {
            member.meta.insert(TLS.to_owned(), "true".to_owned());
        }
        self.announce(member, "node.id").await
    }

    /// Puts a gateway on the list.
    ///
    /// # Errors
    /// Where what it says of itself is not valid, or another one lives under its id.
    pub(super) async fn announce_gateway(
        &self,
        region: &Region,
        GatewayPlanes { http, grpc, ops, is_encrypted }: GatewayPlanes,
    ) -> Result<(), Fault> {
        let mut member = self.member(region, Role::Gateway, &region.gateway_id, http)?;
        member.grpc = Some(advertised(region, grpc)?);
        member.ops = Some(advertised(region, ops)?);
        if is_encrypted {
            member.meta.insert(TLS.to_owned(), "true".to_owned());
        }
        self.announce(member, "gateway.id").await
    }

    async fn announce(&self, member: spinwell_registry::Member, key: &str) -> Result<(), Fault> {
        if let Some(other) = self.registry.rival(&member).await {
            let message = format!(
                "{} {} serves at {other} already; give this one an id of its own ({key})",
                member.role, member.id
            );
            return Err(Fault::new(Code::IdInUse, message));
        }
        self.registry.announce(member).map_err(|error| config_invalid(&error))
    }

    /// Comes when another process has registered under this one's id, and lives.
    pub(super) async fn replaced(&self) -> Fault {
        let other = self.registry.replaced().await;
        let message = format!(
            "a process at {other} has registered under the id of this one, and is found in its place; give each an id of its own"
        );
        Fault::new(Code::IdInUse, message)
    }

    fn member(
        &self,
        region: &Region,
        role: Role,
        id: &NodeId,
        address: SocketAddr,
    ) -> Result<spinwell_registry::Member, Fault> {
        Ok(spinwell_registry::Member::new(role, &id.0, advertised(region, address)?))
    }

    /// The members, now and as they change.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.registry.watch()
    }

    /// The registry, to say how this process is.
    pub(super) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Says that this process is not to be sent anything, and stays on the list: the sequences of a node that is started again
    /// soon wait for it. The registry forgets it when it does not come back.
    pub(super) async fn stay_listed(&self) {
        self.registry.set_health(Health::Critical);
        tokio::time::sleep(LAST_BEAT).await;
        if let Some(service) = self.service.lock().unwrap_or_else(PoisonError::into_inner).take() {
            service.abort();
        }
    }

    /// Takes this process off the list.
    pub(super) async fn close(&self) {
        self.stop.pull();
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(service) = service
            && service.await.is_err()
        {
            tracing::warn!("this process may stay in the registry until its beats are missed");
        }
    }
}

async fn service_until(service: Service, shutdown: impl Future<Output = ()> + Send) {
    service.run(shutdown).await;
}

fn registry_options(region: &Region) -> Result<RegistryOptions, Fault> {
    match &region.nodes {
        Nodes::Static(nodes) => {
            let members = nodes.iter().map(configured).collect::<Result<_, Fault>>()?;
            Ok(RegistryOptions::Static(members))
        }
        Nodes::Consul { url, token_file, prefix } => {
            let token = token_file.as_deref().map(token).transpose()?;
            let (url, prefix) = (url.clone(), prefix.clone());
            Ok(RegistryOptions::Consul(consul::Options { url, token, prefix, ..consul::Options::default() }))
        }
    }
}

fn token(file: &Path) -> Result<consul::Token, Fault> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Fault::new(
            Code::Io,
            format!("{} (registry.consul_token_file) cannot be read: {error}", file.display()),
        )
    })?;
    Ok(consul::Token::new(text.trim()))
}

fn configured(node: &StaticNode) -> Result<spinwell_registry::Member, Fault> {
    let address = node.address.parse().map_err(|error| config_invalid(&error))?;
    let mut member = spinwell_registry::Member::new(Role::Node, &node.id.0, address);
    member.weight = node.weight;
    Ok(member)
}

/// The address under which others reach what listens here.
fn advertised(region: &Region, address: SocketAddr) -> Result<Address, Fault> {
    let host = match region.advertised_host.as_str() {
        "" if address.ip().is_unspecified() => {
            let message = format!(
                "{address} is every address of this machine; say under which one others reach it \
                 (registry.advertised_host)"
            );
            return Err(Fault::new(Code::ConfigInvalid, message));
        }
        "" => address.ip().to_string(),
        host => host.to_owned(),
    };
    Address::new(&host, address.port()).map_err(|error| config_invalid(&error))
}

/// What the capacity of the region is worked out with.
pub(super) fn capacity_options(region: &Region) -> Result<CapacityOptions, Fault> {
    let RegionCapacity { predictions_per_node, target_utilization, processing_clusters } = &region.capacity;
    let names = processing_clusters.iter().map(|name| name.parse().map_err(|error| config_invalid(&error)));
    Ok(CapacityOptions {
        predictions_per_node: *predictions_per_node,
        target_utilization: *target_utilization,
        processing_clusters: names.collect::<Result<_, Fault>>()?,
    })
}

fn config_invalid(error: &dyn std::error::Error) -> Fault {
    Fault::new(Code::ConfigInvalid, telemetry::chain(error))
}

/// Tells a gateway's cluster who the nodes are, as long as anybody can know. Those that are listed stay members, whatever
/// their health: whether they answer, the gateway sees itself, and their sequences wait for them.
pub(super) async fn follow(cluster: Arc<Cluster>, mut view: watch::Receiver<Arc<View>>) {
    loop {
        let known = view.borrow_and_update().clone();
        let nodes =
            known.listed().iter().map(|listed| &listed.member).filter(|member| member.role == Role::Node);
        let members = nodes.map(|member| Member {
            id: member.id.clone(),
            address: member.address.to_string(),
            weight: f64::from(member.weight.get()),
            cluster: member.processing_cluster.clone(),
            capacity_per_second: member.capacity_per_second,
        });
        // Before anything is known, nobody is told to go.
        if known.version() > 0 {
            cluster.set_members(members.collect());
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}
