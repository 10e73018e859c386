//! Options that the processes which answer have in common.

use super::process::Given;
use clap::Args;
use spinwell_runtime::options::Device;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of all of them. What a command has of its own stands between them in its help.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Allow addresses that other machines can reach also without encryption (edge.certificate, edge.key) or without identities
    /// (access.required).
    #[arg(long, display_order = 100)]
    pub(super) insecure: bool,
    /// Print the effective configuration, with the source of each value, and exit.
    #[arg(long, display_order = 101)]
    pub(super) print_config: bool,
    /// Print it as one JSON document: each key with `value` and `source`.
    #[arg(long, display_order = 102, requires = "print_config")]
    pub(super) json: bool,
}

/// Where callers are answered.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaneArgs {
    /// Address for inference over HTTP; port 0 takes any free one [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    http: Option<SocketAddr>,
    /// Address for inference over gRPC [default: 127.0.0.1:8001].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    grpc: Option<SocketAddr>,
    /// Address for metrics and health [default: 127.0.0.1:8002].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    ops: Option<SocketAddr>,
}

impl PlaneArgs {
    /// What they say, beside what was said before.
    pub(super) fn given(self, given: Given) -> Given {
        let given = given.text("http.address", self.http, "--http").text("grpc.address", self.grpc, "--grpc");
        given.text("ops.address", self.ops, "--ops")
    }
}

/// Reads `--device`.
pub(crate) fn device(text: &str) -> Result<Device, String> {
    text.parse().map_err(|()| format!("use {}", Device::FORMS))
}

/// Reads an address.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8000")
}
