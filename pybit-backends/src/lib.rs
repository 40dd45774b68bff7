//! The backends behind pybit's traits.

pub mod deb;
pub mod env;
pub mod exec;
mod lock;
pub mod publish;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod source;
pub mod sql;
