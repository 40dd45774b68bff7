//! Choosing backends by URL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// How to open a backend: its URL chooses which, the other keys are its own.
#[derive(Clone, Deserialize)]
pub struct Settings {
    /// `sqlite:///var/lib/pybit/farm.db`, `memory:`.
    pub url: String,
    /// The backend's own keys; each backend refuses those it does not know.
    #[serde(flatten)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Settings of nothing but a URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self { url: url.into(), options: serde_json::Map::new() }
    }

    /// The URL's scheme: what stands before the first `:`.
    pub fn scheme(&self) -> &str {
        self.url.split(':').next().unwrap_or_default()
    }

    /// The backend's own keys as its configuration; an unknown key is refused by name.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(serde_json::Value::Object(self.options.clone())).map_err(|e| {
            Error::invalid(format!("the settings of {}: {e}", self.shown()))
                .with_code("invalid_configuration")
        })
    }

    /// The URL without user name, password and query, fit for a message. Where its `//` was forgotten nobody can tell what
    /// in it is a password: then nothing of it is shown but the scheme.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once(':').unwrap_or((self.url.as_str(), ""));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let Some(body) = rest.strip_prefix("//") else {
            let told = if rest.contains([':', '@']) { "…" } else { rest };
            return format!("{scheme}:{told}");
        };
        let (authority, path) =
            body.split_once('/').map_or((body, String::new()), |(a, p)| (a, format!("/{p}")));
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}{path}")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.options.keys().collect();
        f.debug_struct("Settings").field("url", &self.shown()).field("options", &keys).finish()
    }
}

/// Opens one kind of backend.
#[async_trait]
pub trait Factory<B: ?Sized + Send + Sync>: Send + Sync {
    /// The URL schemes that it serves.
    fn schemes(&self) -> &'static [&'static str];

    /// Opens it.
    async fn open(&self, settings: &Settings) -> Result<Arc<B>>;
}

/// The backends of one kind that a program knows: a value, built in `main` and passed down.
pub struct Registry<B: ?Sized> {
    what: &'static str,
    factories: BTreeMap<&'static str, Arc<dyn Factory<B>>>,
}

impl<B: ?Sized + Send + Sync + 'static> Registry<B> {
    /// Knows nothing yet; `what` names the kind in messages: `storage`, `transport`.
    pub fn new(what: &'static str) -> Self {
        Self { what, factories: BTreeMap::new() }
    }

    /// Knows this factory too; one added later wins for a scheme that both serve.
    pub fn with(mut self, factory: impl Factory<B> + 'static) -> Self {
        let factory: Arc<dyn Factory<B>> = Arc::new(factory);
        for scheme in factory.schemes() {
            self.factories.insert(scheme, Arc::clone(&factory));
        }
        self
    }

    /// Opens the backend that the URL chooses; an unknown scheme is refused with the known ones.
    pub async fn open(&self, settings: &Settings) -> Result<Arc<B>> {
        let Some(factory) = self.factories.get(settings.scheme()) else {
            let known =
                self.factories.keys().map(|s| format!("{s}:")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "there is no {} for {}; this program knows {known}",
                self.what,
                settings.shown()
            );
            return Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_scheme"));
        };
        factory.open(settings).await
    }
}

impl<B: ?Sized> fmt::Debug for Registry<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("what", &self.what)
            .field("schemes", &self.factories.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://pybit:hunter2@db/farm?password=hunter2",
            "amqp://u:hunter2@h",
            "amqp:u:hunter2",
            "postgres:u:hunter2@db/farm",
            "postgres:/u:hunter2@db/farm",
            "amqp:hunter2@h",
        ] {
            let settings = Settings::url(url);
            assert!(!format!("{settings:?} {}", settings.shown()).contains("hunter2"));
        }
        assert_eq!(Settings::url("sqlite:///var/lib/x.db").shown(), "sqlite:///var/lib/x.db");
        assert_eq!(Settings::url("memory:").shown(), "memory:");
        assert_eq!(Settings::url("sqlite:farm.db").shown(), "sqlite:farm.db");
        assert_eq!(Settings::url("amqp:u:hunter2").shown(), "amqp:…");
    }
}
