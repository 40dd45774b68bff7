//! Processes, environments and sources, with the machine's real tools.
#![expect(clippy::disallowed_methods, reason = "tests start programs to look at, and to kill")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod apt;
mod exec;
mod files_server;
mod git;
mod host;
mod limits;
mod mock;
mod roots;
mod sbuild;
mod support;
mod svn;
mod upload;
mod upstream;
