//! Membership in Consul, through an agent's HTTP API.
//!
//! A member is a service instance with a check that must hear of it in time (a *beat*); who is there comes from blocking
//! queries of the two services' health. What is registered, and what an operator has to set up, is in
//! `deploy/consul/README.md`.
//!
//! | module | what it decides |
//! |---|---|
//! | `watch` | when to ask who is there, and what to believe of the answer |
//! | `announce` | what to tell the agent of ourselves, and when |
//! | `pace` | how often either is tried |
//! | `listing`, `names` | how a member is written in Consul |
//! | `client`, `service` | nothing: they carry it out |

mod announce;
mod client;
mod listing;
mod names;
mod options;
mod pace;
mod service;
mod watch;

pub use options::{InvalidOptions, Options, Token};

pub(crate) use announce::Wish;
pub(crate) use client::Client;
pub(crate) use service::{Service, Wanted, takes_connections};
