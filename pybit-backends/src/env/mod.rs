//! Build environments: the machine itself, fresh roots of a suite made for each job, and those that `mock` makes.

pub(crate) mod apt_sources;
mod home;
mod host;
mod mock;
mod sbuild;
mod user;

pub use host::HostEnvironment;
pub use mock::{MockConfig, MockEnvironment, MockName, MockRoots};
pub use sbuild::{SbuildConfig, SbuildEnvironment};
pub use user::{BuildUser, SubIds};
