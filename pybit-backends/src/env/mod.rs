//! Build environments: the machine itself, and fresh roots of a suite made for each job.

pub(crate) mod apt_sources;
mod host;
mod sbuild;
mod user;

pub use host::HostEnvironment;
pub use sbuild::{SbuildConfig, SbuildEnvironment};
pub use user::{BuildUser, SubIds};
