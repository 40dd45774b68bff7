//! Build environments: the machine itself, and fresh roots of a suite made for each job.

mod user;

pub use user::BuildUser;
