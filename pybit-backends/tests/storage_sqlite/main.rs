//! SQLite keeps what the storage traits promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod changes;
mod claims;
mod farm;
mod lists;
mod streams;
mod submissions;
