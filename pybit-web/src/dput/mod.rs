//! Uploads of `dput` and `dput-ng`: file after file by `PUT`, the signed description last.
//!
//! | to know | open |
//! |---|---|
//! | what a `[web.dput]` table says | `config.rs` |
//! | where files wait for their description, how many and how long | `staging.rs` |
//! | why two that come at once do not share one place | `on_the_way.rs` |
//! | what a description leads to | `arrival.rs` |
//!
//! The route is in `api/dput.rs`.

mod arrival;
mod config;
mod on_the_way;
mod staging;

pub(crate) use arrival::arrived;
pub use config::{DputConfig, DputSuite};
pub(crate) use staging::{Staging, expire};

use std::sync::Arc;

use on_the_way::OnTheWay;
use pybit_core::model::{FileName, Suite};
use pybit_core::upload::UploadReader;
use pybit_core::{Error, ErrorKind, Result};

/// The configured uploads, ready to be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dput {
    config: DputConfig,
    reader: Option<Arc<dyn UploadReader>>,
    on_the_way: OnTheWay,
}

impl Dput {
    /// Refuses, `Invalid`, suites that are there twice, keyrings that cannot be read, and uploads in a program that cannot
    /// read any.
    pub(crate) fn open(config: &DputConfig, reader: Option<Arc<dyn UploadReader>>) -> Result<Self> {
        config::check(config)?;
        match &reader {
            Some(reader) => {
                config.suites.iter().try_for_each(|s| reader.check_keyring(&s.keyring))?;
            }
            None if config.suites.is_empty() => {}
            None => {
                let message = "web.dput is configured, and this program reads no uploads";
                return Err(Error::invalid(message).with_code("invalid_configuration"));
            }
        }
        Ok(Self { config: config.clone(), reader, on_the_way: OnTheWay::default() })
    }

    /// Who reads uploads; nobody, `NotFound`, where no suite takes any.
    pub(crate) fn reader(&self) -> Result<&dyn UploadReader> {
        let reader = self.reader.as_deref().filter(|_| !self.config.suites.is_empty());
        reader.ok_or_else(|| {
            let message = "this farm takes no uploads of dput; web.dput.suites names none";
            Error::not_found(message).with_code("no_uploads")
        })
    }

    /// Whether this file is the last one of its upload.
    pub(crate) fn is_description(&self, name: &FileName) -> Result<bool> {
        Ok(self.reader()?.is_description(name))
    }

    fn suite(&self, wanted: &Suite) -> Result<&DputSuite> {
        let found = self.config.suites.iter().find(|s| s.suite == *wanted);
        found.ok_or_else(|| {
            let message = format!("no uploads are taken for the suite {wanted}");
            Error::new(ErrorKind::Denied, message).with_code("suite_closed")
        })
    }
}
