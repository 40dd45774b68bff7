//! The web server of a pybit farm: the HTTP API (`docs/api.md`), the pages, the published repositories' files, and the
//! background of the farm.
//!
//! | to know | open |
//! |---|---|
//! | which routes there are, and who may use them | `router.rs` |
//! | what a route does | `api/` |
//! | who a token or a password proves to be | `auth.rs`, `accounts/` |
//! | how a failure is answered | `error.rs` |
//! | what happens to every request | `front.rs`, `operation.rs` |
//! | what a farm serves, in a file's words | `suites/` |
//! | what a webhook's delivery leads to | `hooks/` |
//! | what an upload of `dput` leads to | `dput/` |
//! | how bytes arrive and are read | `streams/`, `blobs.rs` |
//! | what the server does by itself | `tasks.rs` |
//!
//! [`serve()`] runs one; any number may run on the same storage, transport and blobs.

mod acceptor;
mod accounts;
mod api;
mod app;
mod auth;
mod blobs;
mod body;
mod call;
pub mod config;
mod dput;
mod error;
mod follow;
mod front;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod hooks;
mod json;
mod known;
mod metrics;
mod open_files;
mod openapi;
mod operation;
mod pages;
mod peer;
mod private_file;
mod repositories;
mod router;
mod serve;
mod statics;
mod streams;
pub mod suites;
mod tasks;
mod tokens;

pub use blobs::Blobs;
pub use config::WebConfig;
pub use dput::{DputConfig, DputSuite};
pub use hooks::{HookConfig, Service, check as check_hook_rules};
pub use open_files::raise_open_files;
pub use serve::{WebParts, serve};
pub use suites::{SuiteConfig, seed};
pub use tokens::{ensure_admin_token, ensure_role_token};
