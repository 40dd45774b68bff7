//! A whole farm is checked, and copied from one engine to the other and back, without loss.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

#[path = "upkeep/check.rs"]
mod check;
#[path = "upkeep/copy.rs"]
mod copy;
#[path = "upkeep/farm.rs"]
mod farm;
#[path = "upkeep/schema.rs"]
mod schema;
