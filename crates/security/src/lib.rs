//! Who may do what, and what is kept secret.
//!
//! Bytes and moments in, decisions out: nothing here reads a clock, a file, the network, the environment or a random number. What
//! must be random or was fetched is an argument, so every refusal can be tested.
//!
//! - [`key`]: API keys, made and checked.
//! - [`token`]: JSON web tokens, checked against given keys.
//! - [`certificate`]: certificates that callers show, and whose they are.
//! - [`access`]: what an identity may do, decided by Cedar policies.
//! - [`guard`]: who comes in, by all of these together.
//! - [`tenant`]: whose models are whose, and how much each may ask for.
//! - [`envelope`]: encryption at rest under root, tenant and data keys.

pub mod access;
pub mod certificate;
pub mod envelope;
mod glob;
pub mod guard;
mod identity;
pub mod key;
mod secret;
pub mod tenant;
pub mod token;

pub use glob::{Glob, InvalidGlob};
pub use identity::{Grants, Identity, Scopes};
pub use secret::{Secret, SecretBytes, SecretText};
