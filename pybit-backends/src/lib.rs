//! The backends behind pybit's traits.

pub mod deb;
pub mod publish;
