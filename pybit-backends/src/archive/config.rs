//! `[names]` in the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use pybit_core::model::Suite;
use serde::Deserialize;

/// The table `[names]`: the index of the base distributions' names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamesConfig {
    /// Whether the indices are fetched. Default: yes for the command, no for a program that embeds a farm.
    pub enabled: Option<bool>,
    /// The archives of a suite as lines of `sources.list(5)`. Default: those that the roots are made from.
    pub mirror: BTreeMap<Suite, Vec<String>>,
    /// The hours after which an index is fetched anew.
    pub refresh_hours: u32,
    /// The rule for questions before the first index of a suite is there.
    pub unavailable: Unavailable,
}

impl Default for NamesConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            mirror: BTreeMap::new(),
            refresh_hours: 12,
            unavailable: Unavailable::Allow,
        }
    }
}

impl NamesConfig {
    /// The age at which an index is fetched anew.
    pub(super) fn max_age(&self) -> Duration {
        Duration::from_hours(u64::from(self.refresh_hours.max(1)))
    }
}

/// The rule for questions about a suite without an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unavailable {
    /// Every name is free.
    #[default]
    Allow,
    /// Submissions and publications wait.
    Refuse,
}
