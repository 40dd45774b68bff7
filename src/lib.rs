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
//! | [`roles`] | the three roles put together from a configuration; [`Backends`] says which storages and transports there are |
//! | [`roles::up`] | the whole farm in one process |
//! | [`source`] | sources that lie on this machine |
//!
//! A whole farm in a program of its own; `examples/embed` is one that builds a package and follows its log:
//!
//! ```no_run
//! use pybit::{Backends, Config, roles};
//!
//! fn main() -> std::process::ExitCode {
//!     // The supervisor of a build is this program once more.
//!     if let Some(code) = roles::supervised() {
//!         return code;
//!     }
//!     let runtime = tokio::runtime::Runtime::new().expect("threads");
//!     runtime.block_on(serve()).expect("a farm");
//!     std::process::ExitCode::SUCCESS
//! }
//!
//! async fn serve() -> pybit::Result<()> {
//!     let config = Config { data_dir: Some("farm".into()), ..Config::default() };
//!     let farm = roles::up::start(config, Backends::default()).await?;
//!     println!("{} serves {} suites", farm.ready.url, farm.ready.suites.len());
//!     farm.stop().await
//! }
//! ```
//!
//! How a storage, a transport, a package format or a publisher of your own is written and made known stands in
//! `docs/writing-a-backend.md`.

pub mod config;
pub mod farm_file;
pub mod roles;
pub mod source;

pub use config::Config;
pub use pybit_backends as backends;
pub use pybit_client as client;
pub use pybit_client::Api;
pub use pybit_core as core;
pub use pybit_core::storage::Storage;
pub use pybit_core::transport::Transport;
pub use pybit_core::{Error, ErrorKind, Farm, Policy, Result};
pub use pybit_watch as watch;
pub use pybit_web as web;
pub use roles::Backends;
