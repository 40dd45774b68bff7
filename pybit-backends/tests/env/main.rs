//! Processes, environments and sources, with the machine's real tools.
#![expect(clippy::disallowed_methods, reason = "tests start programs to look at, and to kill")]

mod apt;
mod exec;
mod git;
mod host;
mod sbuild;
mod support;
mod upload;
