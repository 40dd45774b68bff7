//! The backends behind pybit's traits.

pub mod sql;
