//! pybit, a distributed package build farm: source goes in; built, signed, installable repositories come out.
//!
//! This crate is the facade that other programs embed; the `pybit` command is built on it. The parts:
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | the domain model, the state machine, the traits, [`Farm`] |
//! | [`backends`] | what is behind the traits |
//! | [`web`], [`client`], [`watch`] | server, build client and watcher, each with a function that runs it |
//! | [`config`] | `pybit.toml` |
//! | [`roles`] | the three roles put together from a configuration |

pub mod config;
pub mod roles;

pub use pybit_backends as backends;
pub use pybit_client as client;
pub use pybit_core as core;
pub use pybit_core::storage::Storage;
pub use pybit_core::transport::Transport;
pub use pybit_core::{Error, ErrorKind, Farm, Policy, Result};
pub use pybit_watch as watch;
pub use pybit_web as web;
