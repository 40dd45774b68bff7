//! A build client whose builds take no compiler: the ordinary client library with tools of our own.

pub(crate) mod bytes;
mod deb;
mod fetch;
mod format;
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pybit::Result;
use pybit::client::{Shutdown, Toolbox};
use pybit::config::Config;

/// The variable that says how many times as long every build takes.
pub(crate) const SLOW: &str = "CHAOS_SLOW";

/// What such a client can do.
fn toolbox() -> Toolbox {
    Toolbox {
        formats: vec![Arc::new(format::Fake::new())],
        fetchers: vec![Arc::new(fetch::Courier)],
        environments: vec![Arc::new(stage::Stage)],
    }
}

/// Runs a client until it is asked to end.
pub(crate) async fn run(config: &Path) -> Result<()> {
    let config = Config::load(Some(config))?;
    let transport = pybit::roles::client_transport(&config, &pybit::Backends::default()).await?;
    let asked = async {
        let asked = pybit::client::signalled(Duration::ZERO).await;
        asked.unwrap_or(Shutdown::Fast)
    };
    let client = config.client_role()?;
    stage::Diary(client.work_dir.join("stage")).note("boot");
    pybit::client::run(client, toolbox(), transport, asked).await
}
