//! The validity of a repository for its readers, and the failure that keeps it from being renewed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The report of a watcher about the key and the index of its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// When the key that signs it expires; never, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key_expires_at: Option<Timestamp>,
    /// The date of the index that readers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub dated_at: Option<Timestamp>,
    /// Until when readers believe that index; for ever, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub valid_until: Option<Timestamp>,
    /// Why the repository could not be published into, or renewed, the last time that it was tried: a sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Health {
    /// The time before a key's end from which on it is told.
    pub const KEY_ALARM: Duration = Duration::from_hours(30 * 24);
    /// The longest `trouble` that is kept, in bytes.
    pub const MAX_TROUBLE: usize = 2000;

    /// Warnings for an operator, as sentences about the repository `name`.
    pub fn warnings(&self, name: &str, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(at) = self.key_expires_at {
            if at <= now {
                warnings.push(format!("the key of the repository {name} expired at {at}"));
            } else if at.since(now) < Self::KEY_ALARM {
                warnings.push(format!("the key of the repository {name} expires at {at}"));
            }
        }
        if let Some(until) = self.valid_until {
            let whole = self.dated_at.map_or(Duration::ZERO, |dated| until.since(dated));
            if until <= now {
                warnings.push(format!(
                    "the index of the repository {name} was valid until {until}: readers refuse it"
                ));
            } else if until.since(now) < whole / 3 {
                warnings.push(format!(
                    "the index of the repository {name} is valid until {until}, and was not renewed in time"
                ));
            }
        }
        if let Some(trouble) = &self.trouble {
            warnings.push(format!("the repository {name}: {trouble}"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_hours(24 * n))
    }

    fn health(key: u64, until: u64) -> Health {
        Health {
            key_expires_at: Some(day(key)),
            dated_at: Some(day(100)),
            valid_until: Some(day(until)),
            trouble: None,
        }
    }

    #[test]
    fn a_key_is_told_30_days_before_its_end_and_an_index_in_its_last_third() {
        let told = |health: &Health, now| health.warnings("bookworm", day(now)).len();
        assert_eq!(told(&health(131, 112), 101), 0);
        assert_eq!(told(&health(130, 112), 101), 1);
        assert_eq!(told(&health(500, 112), 108), 0);
        assert_eq!(told(&health(500, 112), 109), 1);
        assert!(health(100, 1000).warnings("b", day(101))[0].contains("expired at"));
        assert!(health(999, 110).warnings("b", day(110))[0].contains("readers refuse it"));
        let broken = Health { trouble: Some("no space".into()), ..Health::default() };
        assert_eq!(broken.warnings("b", day(0)), ["the repository b: no space"]);
        assert_eq!(told(&Health::default(), 9), 0);
    }
}
