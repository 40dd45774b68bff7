//! The repositories of this machine: when their keys and indices end.

use pybit::config::Config;
use pybit_backends::exec::{Exec, Supervisor};
use pybit_backends::publish::{MachineTools, inspect};
use pybit_core::Result;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{Health, RepositoryName};
use serde::Serialize;

use crate::cli::output;

/// One repository.
#[derive(Debug, Serialize)]
pub(super) struct State {
    name: RepositoryName,
    #[serde(flatten)]
    health: Health,
    /// The warnings for an operator.
    warnings: Vec<String>,
}

impl State {
    pub(super) fn lines(&self) -> Vec<String> {
        if !self.warnings.is_empty() {
            let note = |warning: &String| format!("note    {}", output::tame(warning));
            return self.warnings.iter().map(note).collect();
        }
        let end = |at: Option<_>| at.map_or("has no end".to_owned(), |at| format!("until {at}"));
        let (key, index) = (end(self.health.key_expires_at), end(self.health.valid_until));
        vec![format!("ok      the repository {}: key {key}; index {index}", self.name)]
    }
}

/// The configured repositories that were prepared on this machine.
pub(super) async fn states(config: &Config) -> Result<Vec<State>> {
    let Some(watch) = config.watch.given()? else { return Ok(Vec::new()) };
    let supervisor = Supervisor::this_program(pybit::roles::SUPERVISE)?;
    let tools = MachineTools::new(Exec::new(supervisor, None));
    let now = SystemClock.now();
    let mut states = Vec::new();
    for repository in &watch.repositories {
        let found = inspect(&repository.root, &repository.suite, &tools).await;
        let health = match found {
            Ok(None) => continue,
            Ok(Some(health)) => health,
            Err(error) => Health { trouble: Some(error.to_string()), ..Health::default() },
        };
        let name = repository.name.clone();
        states.push(State { warnings: health.warnings(name.as_str(), now), name, health });
    }
    Ok(states)
}
