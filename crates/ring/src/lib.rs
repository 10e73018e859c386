//! The real gateway and the real node, over a simulated network and on a simulated clock.
//!
//! Real are: the gateway's service over HTTP (requests go through its router, so tickets and outcomes are inside), `Cluster`
//! with its peers, retries, breakers and balancer; the stream of messages between gateway and node, with HTTP/2 below it; the
//! node's exchange, its queue with deadlines and refusals, its models, its drain. Not real are three things. The network is
//! [turmoil]'s: TCP connections that delay, lose and hold back, in one thread. The node's executors are tasks that take a batch,
//! wait as long as the seed says, and run it then, since threads follow no simulated clock
//! ([`spinwell_node::stepped`]). And nothing is kept on disks: requests have no sequences, whose faults
//! `spinwell-sim` looks at. Nor is control here: what it supervises are processes of an operating system, and its lease is a row of a
//! database; a node that crashes or has drained is started again by the scenario.
//!
//! A run is fixed by its [`Scenario`], the seed among it: the network's delays, the order in which hosts run, the load and the
//! services' own randomness come from there, and the clock of all is tokio's, which stands still unless the simulation moves it. After each run
//! invariants are checked ([`invariants`]). That the harness finds what breaks them is shown by planted bugs ([`Plant`]).
//!
//! ```
//! use spinwell_ring::{Kind, invariants, run, scenario};
//! let scenario = scenario(Kind::Calm, 7);
//! let history = run(&scenario).unwrap();
//! assert_eq!(invariants::check(&scenario, &history), []);
//! ```

mod callers;
mod gateway;
mod history;
pub mod invariants;
mod model;
mod network;
mod node;
mod scenario;
mod world;

pub use history::{Asked, Ended, History, Told};
pub use scenario::{Kind, Plant, Scenario, Trouble, What, scenario};
pub use world::run;
