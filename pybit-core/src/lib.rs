//! The heart of pybit, a distributed package build farm: the domain model, the state machine, the planner, the traits
//! that backends implement, and [`Farm`], the use cases over those traits. It does no I/O.
//!
//! | to know | open |
//! |---|---|
//! | which status may follow which | [`model::JobStatus::next`] |
//! | which jobs a submission becomes | [`farm::plan`] |
//! | what a report does to a job | [`farm::machine`] |
//! | who may publish which package | [`owners`] |
//! | who may submit under a name of the distribution | [`base`] |
//! | what a storage must promise | [`storage`] |
//! | what clients and server say | [`protocol`] |

pub mod base;
pub mod build;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod error;
pub mod farm;
#[cfg(any(feature = "conformance", feature = "trial"))]
pub mod faults;
pub mod format;
#[cfg(feature = "memory")]
pub mod memory;
pub mod model;
pub mod owners;
pub mod protocol;
pub mod publish;
pub mod resources;
pub mod settings;
pub mod storage;
pub mod traced;
pub mod transport;
pub mod trial;
pub mod upload;
pub mod version;

pub use error::{Error, ErrorKind, Result};
pub use farm::{Farm, Policy};
