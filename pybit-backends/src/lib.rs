//! The backends behind pybit's traits.

pub mod publish;
pub mod sql;
