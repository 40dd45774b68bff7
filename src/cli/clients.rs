//! `pybit clients`: build clients.

use pybit_core::Result;
use pybit_core::model::{BuildClient, ClientName};

use super::context::Context;
use super::output;

/// List build clients, or tell one to take no more jobs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell a client to take no more jobs
    Drain {
        /// The client's name
        client: ClientName,
    },
    /// Tell a client to take jobs again
    Resume {
        /// The client's name
        client: ClientName,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    match args.what {
        Some(What::Drain { client }) => {
            context.api.drain(&client).await?;
            output::line(format!("{client} takes no more jobs"));
        }
        Some(What::Resume { client }) => {
            context.api.resume(&client).await?;
            output::line(format!("{client} takes jobs again"));
        }
        None => {
            let clients = context.api.clients().await?;
            if args.json {
                return output::json(&clients);
            }
            print(&clients);
        }
    }
    Ok(())
}

fn print(clients: &[BuildClient]) {
    if clients.is_empty() {
        output::note("No build client has reported yet.");
        return;
    }
    let row = |c: &BuildClient| {
        let offers = c.offers.iter().filter(|o| !o.arch.is_source());
        let offers: Vec<_> = offers.map(|o| format!("{}/{}/{}", o.suite, o.arch, o.env)).collect();
        let state = if c.draining {
            "draining"
        } else if c.holds > 0 {
            "building"
        } else {
            "free"
        };
        vec![
            c.name.to_string(),
            state.to_owned(),
            format!("{}/{}", c.holds, c.slots),
            offers.join(" "),
            output::moment(c.seen_at),
        ]
    };
    output::table(
        &["client", "state", "slots", "builds", "heard of"],
        clients.iter().map(row).collect(),
    );
}
