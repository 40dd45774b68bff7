//! The HTTP API over a real server, by noun.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod builds;
mod files;
mod full_disk;
mod jobs;
mod logs;
mod names;
mod server;
mod submissions;
mod tokens;
mod vcshook;
mod watcher;
mod webhook;
