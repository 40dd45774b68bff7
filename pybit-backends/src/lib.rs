//! The backends behind pybit's traits.

pub mod env;
pub mod exec;
mod lock;
pub mod source;
