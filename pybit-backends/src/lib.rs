//! The backends behind pybit's traits.

pub mod env;
pub mod exec;
pub mod source;
