//! `pybit load`: how quick a farm is, measured with simulated clients and builds.

use std::process::ExitCode;

use pybit_core::Result;

use super::context::{Context, Where};
use super::output;
use crate::load::{self, Measure, Options, Scale, Servers};

/// Measure a farm with simulated clients and builds (benches/README.md)
///
/// Without --url the farms that are measured are started here, each a `pybit web` with a new database, and ended again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to measure; everything where left out
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    measure: Vec<Measure>,
    /// An empty PostgreSQL server, of whose superuser this is the URL: every farm gets a database of its own
    #[arg(long, env = "PYBIT_TEST_POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    postgres: Option<String>,
    /// A RabbitMQ broker: every farm gets names of its own
    #[arg(long, env = "PYBIT_TEST_AMQP_URL", hide_env_values = true, value_name = "URL")]
    amqp: Option<String>,
    /// Measure little: whether everything works, not how quick it is
    #[arg(long)]
    quick: bool,
    /// Print only one line of JSON for each figure
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, place: &Where) -> Result<ExitCode> {
    super::roles::log_to_stderr(super::roles::QUIET);
    let running = place.url.as_ref().map(|_| Context::open(place)).transpose()?;
    let options = Options {
        measures: args.measure,
        servers: Servers { postgres: args.postgres, amqp: args.amqp },
        running: running.map(|context| context.api),
        scale: if args.quick { Scale::quick() } else { Scale::full() },
    };
    let mut rows = Vec::new();
    let told = |figure: &load::Figure| {
        output::json(figure)?;
        rows.push(figure.row());
        Ok(())
    };
    load::run(&options, told).await?;
    if !args.json {
        output::line("");
        output::table(&["measure", "farm", "figure", "value", "must reach"], rows);
    }
    Ok(ExitCode::SUCCESS)
}
