//! The typed API client of a pybit farm, and the build client.
//!
//! | to know | open |
//! |---|---|
//! | how to talk to a farm's server | [`Api`] |

pub mod api;
mod backoff;
pub mod journal;
pub mod machine;
#[cfg(test)]
mod samples;
mod secret;
mod shipper;
mod spool;

pub use api::{Api, ApiError, ApiResult, Destination, LogEvent, LogStream};
pub use backoff::{Backoff, Retry};
pub use secret::Secret;
