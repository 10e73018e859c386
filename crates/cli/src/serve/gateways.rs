//! Where control reads of gateways: the operations planes of those in the registry, and of those that `control.gateways` lists.

use super::region::TLS;
use spinwell_registry::{Role, View};
use std::collections::BTreeSet;

/// The operations planes of all gateways that are known now.
pub(super) fn operations_planes(view: &View, configured: &[String]) -> BTreeSet<String> {
    let gateways = view.listed().iter().map(|listed| &listed.member);
    let listed = gateways.filter(|member| member.role == Role::Gateway).filter_map(|member| {
        let scheme = if member.meta.contains_key(TLS) { "https" } else { "http" };
        member.ops.as_ref().map(|ops| format!("{scheme}://{ops}"))
    });
    listed.chain(configured.iter().map(|address| url(address))).collect()
}

/// An address as it is asked: in the clear where it does not say otherwise.
fn url(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}
