//! RPM builds where `mock` makes the roots: its commands, and what its exit codes mean.
//!
//! Read of mock's manual page and source, up to version 6; mock itself has not been run with this
//! (`docs/decisions/0011-rpm-in-debian-roots.md`).

mod classify;
mod steps;

pub(super) use classify::{classify, is_step};
pub(super) use steps::Mock;
