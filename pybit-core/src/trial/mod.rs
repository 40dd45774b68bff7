//! Faults that a test build makes on request: ends at named points, rules left out, hints lost and doubled.
//!
//! Only the feature `trial` puts anything behind these functions; without it each is empty or `false` at compile time, and
//! an optimised build with it is refused. A process reads what it is to do wrong once, from its environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `PYBIT_TRIAL_CRASH=NAME:N` | the process ends at once, as by a crash, when it reaches that point for the `N`th time |
//! | `PYBIT_TRIAL_MUTATION=NAME` | one rule is left out: see [`Mutation`] |
//! | `PYBIT_TRIAL_STALL=NAME:MS:EVERY` | whoever reaches that point stands still there, at the first and each further `EVERY`th time |
//! | `PYBIT_TRIAL_HINTS=SEED:dup=30,reorder=20,delay=5000,drop=20` | hints go wrong by a seed: see [`hints`] |
//!
//! The variables do nothing else, and [`said`] tells of each, so that no test build is taken for another.

#[cfg(feature = "trial")]
mod orders;
mod points;
#[cfg(test)]
#[cfg(feature = "trial")]
mod tests;

pub use points::{Mutation, POINTS};

#[cfg(all(feature = "trial", not(debug_assertions)))]
compile_error!(
    "the feature `trial` makes faults on request: it is for test builds, never for a release"
);

/// Whether this is a test build.
pub const IS_ON: bool = cfg!(feature = "trial");

/// Ends the process here when it was told to; `name` is one of [`POINTS`].
#[cfg(feature = "trial")]
pub fn crash_point(name: &'static str) {
    orders::reached(name);
}

/// Ends the process here when it was told to; `name` is one of [`POINTS`].
#[cfg(not(feature = "trial"))]
#[inline]
pub const fn crash_point(_name: &'static str) {}

/// Whether the rule that `mutation` names is left out by this process.
#[cfg(feature = "trial")]
pub fn is_broken(mutation: Mutation) -> bool {
    orders::mutation() == Some(mutation)
}

/// Whether the rule that `mutation` names is left out by this process.
#[cfg(not(feature = "trial"))]
#[inline]
pub const fn is_broken(_mutation: Mutation) -> bool {
    false
}

/// The transport as this process is to use it: with faults where it was told so.
#[cfg(feature = "trial")]
pub fn hints(
    inner: std::sync::Arc<dyn crate::transport::Transport>,
) -> std::sync::Arc<dyn crate::transport::Transport> {
    match orders::hints() {
        Some(faults) => std::sync::Arc::new(crate::faults::Faulty::new(inner, faults)),
        None => inner,
    }
}

/// The transport as this process is to use it: as it is.
#[cfg(not(feature = "trial"))]
pub fn hints(
    inner: std::sync::Arc<dyn crate::transport::Transport>,
) -> std::sync::Arc<dyn crate::transport::Transport> {
    inner
}

/// What this test build was told to do wrong, for the first line of its log; `None` where nothing. An order that
/// names nothing is refused: it would test nothing.
pub fn said() -> crate::Result<Option<String>> {
    #[cfg(feature = "trial")]
    return orders::said();
    #[cfg(not(feature = "trial"))]
    Ok(None)
}
