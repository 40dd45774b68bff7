//! Pushes that GitHub, GitLab, Gitea and Forgejo tell of: who sent one, what it says, and what is built for it.
//!
//! | to know | open |
//! |---|---|
//! | what a `[[web.hooks]]` table says | `config.rs` |
//! | whether a delivery is from whom it says | `signature.rs` |
//! | what a delivery says | `push.rs` |
//! | what is built for it | `rules.rs` |
//!
//! The route is in `api/webhook.rs`.

mod config;
mod push;
mod rules;
mod signature;

pub use config::{HookConfig, Service};
pub(crate) use push::Push;
pub use rules::check;
pub(crate) use signature::{Delivery, SignatureError};

use pybit_core::model::{HookRule, NameGrant, NewSubmission};
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};

use rules::Rule;

/// The configured hooks, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Hooks(Vec<Hook>);

/// One hook: a service that sends deliveries to `/hooks/NAME`, its secret and its rules.
pub(crate) struct Hook {
    /// Its name in the address.
    pub(crate) name: String,
    /// Who sends.
    pub(crate) service: Service,
    /// The names of the base distribution that its pushes may build sources under.
    pub(crate) names: Vec<NameGrant>,
    secret: Vec<u8>,
    rules: Vec<Rule>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, service, rules, .. } = self;
        f.debug_struct("Hook")
            .field("name", name)
            .field("service", service)
            .field("rules", rules)
            .finish_non_exhaustive()
    }
}

impl Hooks {
    /// Reads every secret and every pattern; refuses, `Invalid`, what could never match and names that are there twice.
    pub(crate) fn open(configs: &[HookConfig]) -> Result<Self> {
        config::check_names(configs)?;
        configs.iter().map(Hook::open).collect::<Result<_>>().map(Self)
    }

    /// The hook of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Hook> {
        self.0.iter().find(|h| h.name == name)
    }
}

impl Hook {
    fn open(config: &HookConfig) -> Result<Self> {
        Ok(Self {
            name: config.name.clone(),
            service: config.service,
            names: config.names.clone(),
            secret: config.secret()?,
            rules: config
                .rules
                .iter()
                .map(|r| Rule::open(&config.name, r))
                .collect::<Result<_>>()?,
        })
    }

    /// Whether the delivery was made with this hook's secret.
    pub(crate) fn verify(
        &self,
        delivery: &Delivery<'_>,
    ) -> std::result::Result<(), SignatureError> {
        delivery.verify(self.service, &self.secret)
    }

    /// The header that names what a delivery is about.
    pub(crate) fn event_header(&self) -> &'static str {
        push::event_header(self.service)
    }

    /// Whether an event is a push; others, such as a service's test, are answered and forgotten.
    pub(crate) fn is_push(&self, event: &str) -> bool {
        push::is_push(self.service, event)
    }

    /// What is to be built for a push by the hook's own rules and by those of the catalogue, each with the rule's mark: the same as
    /// long as the rule is.
    pub(crate) fn wanted(
        &self,
        push: &Push,
        catalogue: &[HookRule],
    ) -> Result<Vec<(String, NewSubmission)>> {
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(push));
        let mut wanted: Vec<_> =
            matching.map(|(place, rule)| (place.to_string(), rule.submission(push))).collect();
        for HookRule { rule, .. } in catalogue.iter().filter(|r| r.hook == self.name) {
            let opened = Rule::open(&self.name, rule)?;
            if opened.matches(push) {
                let text = serde_json::to_string(rule).map_err(|e| {
                    Error::internal("a rule cannot be written as JSON").with_source(e)
                })?;
                let mark = hex::encode(&Sha256::digest(text)[..8]);
                wanted.push((mark, opened.submission(push)));
            }
        }
        Ok(wanted)
    }
}
