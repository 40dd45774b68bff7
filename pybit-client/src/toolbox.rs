//! What a build client can do: the formats, fetchers and environments that its program gave it.

use std::sync::Arc;

use pybit_core::build::{BuildEnvironment, SourceFetcher};
use pybit_core::format::PackageFormat;
use pybit_core::model::{EnvName, FormatName, Target};
use pybit_core::{Error, ErrorKind, Result};

/// The tools of a build client, by name.
#[derive(Debug, Clone, Default)]
pub struct Toolbox {
    /// Package formats.
    pub formats: Vec<Arc<dyn PackageFormat>>,
    /// Ways to get source.
    pub fetchers: Vec<Arc<dyn SourceFetcher>>,
    /// Kinds of build environment; the name is the catalogue's environment name.
    pub environments: Vec<Arc<dyn BuildEnvironment>>,
}

impl Toolbox {
    /// The format of this name; `Unsupported` where there is none.
    pub fn format(&self, name: &FormatName) -> Result<Arc<dyn PackageFormat>> {
        let found = self.formats.iter().find(|f| f.name() == name);
        found.cloned().ok_or_else(|| missing("package format", name.as_str(), &self.format_names()))
    }

    /// The fetcher of this method; `Unsupported` where there is none.
    pub fn fetcher(&self, method: &str) -> Result<Arc<dyn SourceFetcher>> {
        let found = self.fetchers.iter().find(|f| f.method() == method);
        let known: Vec<_> = self.fetchers.iter().map(|f| f.method()).collect();
        found.cloned().ok_or_else(|| missing("way to fetch source", method, &known))
    }

    /// The environment of this name; `Unsupported` where there is none.
    pub fn environment(&self, name: &EnvName) -> Result<Arc<dyn BuildEnvironment>> {
        let found = self.environments.iter().find(|e| e.name() == name.as_str());
        let known: Vec<_> = self.environments.iter().map(|e| e.name()).collect();
        found.cloned().ok_or_else(|| missing("build environment", name.as_str(), &known))
    }

    /// Whether everything that the offers need is here; else the first thing that is not.
    pub fn check(&self, offers: &[Target]) -> Result<()> {
        offers.iter().try_for_each(|offer| {
            self.format(&offer.format)?;
            self.environment(&offer.env).map(|_| ())
        })
    }

    fn format_names(&self) -> Vec<&str> {
        self.formats.iter().map(|f| f.name().as_str()).collect()
    }
}

fn missing(what: &str, name: &str, known: &[&str]) -> Error {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let message = format!("this build client has no {what} \"{name}\"; it has {known}");
    Error::new(ErrorKind::Unsupported, message)
}
