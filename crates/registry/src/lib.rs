//! Who is in the region: the nodes and gateways that may be sent work, and where they are.
//!
//! A process announces itself through a [`Registry`] and withdraws when it drains; everybody watches the same list, a
//! [`View`]. Where the list is kept is an option: in this process (`local`), in the configuration (`static`), or in
//! Consul. **A registry that cannot be asked freezes the view, it does not empty it**: the machines that were there a
//! second ago are the best guess there is, and those who talk to them see for themselves who is gone. What the registry
//! does answer is believed, also where it is bad news.
//!
//! Decisions (when to ask Consul again, when to beat, what a processing cluster can carry, whether there are enough
//! nodes to start) are small machines and functions that get the time and the random numbers as arguments. Only
//! the executor, the `consul::service` module, has sockets.
//!
//! ```
//! use spinwell_registry::{Member, Options, Registry, Role};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (registry, _service) = Registry::new(Options::Local, 7)?;
//! registry.announce(Member::new(Role::Node, "node-1", "127.0.0.1:9001".parse()?))?;
//! let view = registry.watch().borrow().clone();
//! assert_eq!(view.usable(Role::Node).count(), 1);
//! # Ok(()) }
//! ```

mod address;
mod board;
mod capacity;
mod clock;
pub mod consul;
mod health;
mod local;
mod member;
mod registry;
mod sufficiency;
mod view;

pub use address::{Address, InvalidAddress};
pub use capacity::{Capacity, CapacityOptions, Carrier, ProcessingCluster};
pub use health::Health;
pub use local::Supervisor;
pub use member::{ClusterName, InvalidMember, Member, Role};
pub use registry::{Error, Options, Registry, Service};
pub use sufficiency::{InsufficientNodes, Sufficiency};
pub use view::{Listed, View};
