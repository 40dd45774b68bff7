//! The backends behind pybit's traits.

pub mod deb;
pub mod env;
pub mod exec;
mod lock;
pub mod publish;
pub mod source;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;
