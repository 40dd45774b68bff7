//! The typed API client of a pybit farm, and the build client.
//!
//! | to know | open |
//! |---|---|
//! | how to talk to a farm's server | [`Api`] |
//! | what a build client does with a job | [`machine`] |
//! | what survives the end of its process | [`journal`] |
//! | how it is set up | [`ClientConfig`] |
//! | how it is run | [`run`] |
//!
//! The server is the only thing that a build client talks to; it may be away at any time. Builds go on then, their logs
//! and results wait on disk, and everything is sent when it is back. Every report carries the attempt number, so that a
//! client that was given up changes nothing.
//!
//! ```no_run
//! # async fn example() -> pybit_core::Result<()> {
//! let api = pybit_client::Api::new("http://127.0.0.1:8080", None)?;
//! for client in api.clients().await? {
//!     println!("{} holds {} jobs", client.name, client.holds);
//! }
//! # Ok(())
//! # }
//! ```

pub mod api;
mod backoff;
mod claimer;
mod client;
pub mod config;
mod hands;
mod heartbeat;
mod hints;
pub mod journal;
pub mod machine;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod samples;
mod secret;
mod shipper;
mod spool;
mod status;
mod task;
#[cfg(test)]
mod tests;
pub mod toolbox;
mod user;

pub use api::{Api, ApiError, ApiResult, Destination, LogEvent, LogStream};
pub use backoff::{Backoff, Retry};
pub use client::{Shutdown, run, signalled};
pub use config::ClientConfig;
pub use secret::{Secret, read_private};
pub use toolbox::Toolbox;
