//! The backends behind pybit's traits.

pub mod archive;
mod artifact;
mod build_log;
mod build_repository;
pub mod deb;
mod description;
pub mod env;
pub mod exec;
#[cfg(any(feature = "rabbitmq", feature = "zeromq"))]
mod foreign;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gpgv;
mod lock;
pub mod publish;
pub mod python;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod rpm;
pub mod source;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;
#[cfg(feature = "zeromq")]
pub mod zeromq;
