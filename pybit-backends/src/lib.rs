//! The backends behind pybit's traits.

pub mod deb;
pub mod publish;
pub mod sql;
