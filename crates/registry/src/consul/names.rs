//! What things of ours are called in Consul.

use crate::{Member, Role};

/// The names, all of which begin with the same prefix: regions that share a Consul have different ones.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) prefix: String,
}

impl Names {
    /// The service that members of a role are instances of, such as `spinwell-node`.
    pub(super) fn service(&self, role: Role) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// The service that the gRPC listeners of members are instances of, such as `spinwell-gateway-grpc`.
    pub(super) fn grpc_service(&self, role: Role) -> String {
        format!("{}-{role}-grpc", self.prefix)
    }

    /// The instance that a member is. Ids of members hold no `:`, so no two things have the same name.
    pub(super) fn id(&self, member: &Member) -> String {
        format!("{}:{}", self.service(member.role), member.id)
    }

    /// The instance that a member's gRPC listener is.
    pub(super) fn grpc_id(&self, member: &Member) -> String {
        format!("{}:{}", self.grpc_service(member.role), member.id)
    }

    /// The check that a member's beats pass.
    pub(super) fn check(&self, member: &Member) -> String {
        format!("{}:beat", self.id(member))
    }

    /// The check of a member's gRPC listener.
    pub(super) fn grpc_check(&self, member: &Member) -> String {
        format!("{}:alias", self.grpc_id(member))
    }
}
