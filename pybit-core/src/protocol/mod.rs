//! What build clients, watchers, people's tools and the server say to each other over the HTTP API (`docs/api.md`).
//!
//! Every message that changes something on behalf of an attempt carries its number: the server refuses an older one
//! with 409 and code `stale_attempt`, and the client then stops that build and cleans up.

mod client;
mod content_digest;
mod packages;
mod people;

pub use client::*;
pub use content_digest::{CONTENT_DIGEST, DAMAGED, content_digest, is_as_sent};
pub use packages::*;
pub use people::*;
