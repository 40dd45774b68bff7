//! A table of `pybit.toml` that only some verbs need.

use std::path::Path;

use figment::Figment;
use figment::error::Kind;
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny};

use super::{describe, lacking, refuse};

/// What the configuration says about one role. What is missing in it concerns nobody but the verbs that run the role.
#[derive(Debug, Clone, Default)]
pub enum Table<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Too little; the missing key and the file, in words.
    Incomplete(String),
    /// Enough to be read.
    Given(T),
}

impl<T> Table<T> {
    /// Whether the configuration says nothing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The table, where it can be read.
    pub fn readable(&self) -> Option<&T> {
        match self {
            Self::Given(table) => Some(table),
            Self::Absent | Self::Incomplete(_) => None,
        }
    }

    /// The table, if there is one; refuses an incomplete one: `Invalid`, code `invalid_configuration`.
    pub fn given(&self) -> Result<Option<&T>> {
        match self {
            Self::Absent => Ok(None),
            Self::Incomplete(why) => Err(refuse(why.clone())),
            Self::Given(table) => Ok(Some(table)),
        }
    }

    /// Picks the table out of the part `P` of the configuration; what is wrong in it, rather than missing, is refused.
    pub(super) fn read<P: DeserializeOwned>(
        figment: &Figment,
        file: Option<&Path>,
        pick: impl FnOnce(P) -> Option<T>,
    ) -> Result<Self> {
        match figment.extract::<P>() {
            Ok(part) => Ok(pick(part).map_or(Self::Absent, Self::Given)),
            Err(error) => match &error.kind {
                Kind::MissingField(name) => {
                    let mut key = error.path.clone();
                    key.push(name.to_string());
                    let why: Error = lacking(file, &key.join("."));
                    Ok(Self::Incomplete(why.message().to_owned()))
                }
                _ => Err(refuse(describe(&error))),
            },
        }
    }
}

/// Leaves the table for [`Table::read`].
pub(super) fn later<'de, D: Deserializer<'de>, T>(
    deserializer: D,
) -> std::result::Result<Table<T>, D::Error> {
    Deserialize::deserialize(deserializer).map(|IgnoredAny| Table::Absent)
}

/// `[blobs]` without a URL is the folder in the data directory, and then has no other key either.
pub(super) fn blobs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Settings>, D::Error> {
    #[derive(Deserialize)]
    struct Blobs {
        url: Option<String>,
        #[serde(flatten)]
        options: serde_json::Map<String, serde_json::Value>,
    }
    let Some(Blobs { url, options }) = Option::deserialize(deserializer)? else { return Ok(None) };
    match url {
        Some(url) => Ok(Some(Settings { url, options })),
        None if options.is_empty() => Ok(None),
        None => Err(D::Error::missing_field("url")),
    }
}
