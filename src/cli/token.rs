//! `pybit token`: who may do what.

use pybit_core::Result;
use pybit_core::model::{ClientName, NameGrant, Role, TokenId};
use pybit_core::protocol::NewTokenRequest;

use super::context::Context;
use super::output;

/// Make, list and revoke access tokens
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token; its secret is shown once
    #[command(
        after_help = "Example:\n  pybit token create --name builder-1 --role client --client builder-1\n  pybit token create --name kernel-ci --role submit --may-replace 'linux*@bookworm'"
    )]
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// admin, submit, client or publish
        #[arg(long)]
        role: Role,
        /// The build client that it belongs to, with --role client
        #[arg(long)]
        client: Option<ClientName>,
        /// A name of the distribution that sources may be submitted under: SOURCE or SOURCE@SUITE, * stands for any text; with --role submit.
        /// May be repeated
        #[arg(long = "may-replace", value_name = "SOURCE[@SUITE]")]
        names: Vec<NameGrant>,
        /// Days until it ends by itself; never where left out
        #[arg(long, value_name = "DAYS")]
        expires_days: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens; secrets are not kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token at once
    Revoke {
        /// The token's number
        #[arg(value_name = "NUMBER")]
        id: TokenId,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    match args.what {
        What::Create { name, role, client, names, expires_days, json } => {
            let request =
                NewTokenRequest { name, role, client, names, expires_in_days: expires_days };
            let reply = context.api.new_token(&request).await?;
            if json {
                return output::json(&reply);
            }
            output::note(format!(
                "token {} for {}; it is not shown again:",
                reply.token.id, reply.token.grant.role
            ));
            output::line(&reply.secret);
        }
        What::List { json } => {
            let tokens = context.api.tokens().await?;
            if json {
                return output::json(&tokens);
            }
            let row = |t: &pybit_core::model::Token| {
                let state = if t.revoked_at.is_some() { "revoked" } else { "valid" };
                let expires = t.expires_at.map_or_else(|| "never".to_owned(), output::moment);
                vec![
                    t.id.to_string(),
                    output::tame(&t.name),
                    t.grant.role.to_string(),
                    output::grants(&t.grant.names),
                    state.to_owned(),
                    expires,
                ]
            };
            output::table(
                &["token", "name", "role", "may replace", "state", "expires"],
                tokens.iter().map(row).collect(),
            );
        }
        What::Revoke { id } => {
            context.api.revoke_token(id).await?;
            output::line(format!("token {id} is revoked"));
        }
    }
    Ok(())
}
