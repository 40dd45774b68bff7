//! `pybit account`: who may do what with a password.

use std::path::PathBuf;

use pybit_core::Result;
use pybit_core::model::{Account, AccountName, NameGrant, Role};
use pybit_core::protocol::{NewAccountRequest, NewPassword};

use super::context::Context;
use super::{output, password};

/// Make, list, disable and remove accounts, whose passwords hooks and uploads take
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make an account
    #[command(after_help = "Example:\n  pybit account add archive --role submit")]
    Add {
        /// Its name
        name: AccountName,
        /// admin, submit or publish
        #[arg(long)]
        role: Role,
        /// A name of the distribution that sources may be submitted under: SOURCE or SOURCE@SUITE, * stands for any text; with --role submit.
        /// May be repeated
        #[arg(long = "may-replace", value_name = "SOURCE[@SUITE]")]
        names: Vec<NameGrant>,
        #[command(flatten)]
        password: From,
        /// Days until it ends by itself; never where left out
        #[arg(long, value_name = "DAYS")]
        expires_days: Option<u32>,
    },
    /// List accounts; passwords are not kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set an account's password; the former one ends at once
    Passwd {
        /// The account's name
        name: AccountName,
        #[command(flatten)]
        password: From,
    },
    /// Let an account's password open nothing, at once
    Disable {
        /// The account's name
        name: AccountName,
    },
    /// Let an account's password open again what it did
    Enable {
        /// The account's name
        name: AccountName,
    },
    /// Remove an account at once; its name is free then
    Remove {
        /// The account's name
        name: AccountName,
    },
}

/// Where the password comes from: never from an argument, which every user of the machine can read.
#[derive(Debug, clap::Args)]
struct From {
    /// A file whose first line is the password, - for standard input; asked for at the terminal where left out
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    let api = &context.api;
    match args.what {
        What::Add { name, role, names, password: from, expires_days } => {
            let password = password::take(&name, from.password_file.as_deref()).await?;
            let request =
                NewAccountRequest { name, role, names, password, expires_in_days: expires_days };
            let made = api.new_account(&request).await?;
            output::line(format!("account {} is made, for {}", made.name, made.role));
        }
        What::List { json } => list(&api.accounts().await?, json)?,
        What::Passwd { name, password: from } => {
            let password = password::take(&name, from.password_file.as_deref()).await?;
            api.set_password(&name, &NewPassword { password }).await?;
            output::line(format!("account {name} has its new password"));
        }
        What::Disable { name } => {
            api.disable_account(&name).await?;
            output::line(format!("account {name} is disabled"));
        }
        What::Enable { name } => {
            api.enable_account(&name).await?;
            output::line(format!("account {name} is enabled"));
        }
        What::Remove { name } => {
            api.remove_account(&name).await?;
            output::line(format!("account {name} is removed"));
        }
    }
    Ok(())
}

fn list(accounts: &[Account], json: bool) -> Result<()> {
    if json {
        return output::json(&accounts);
    }
    let row = |a: &Account| {
        let state = if a.disabled_at.is_some() { "disabled" } else { "valid" };
        let expires = a.expires_at.map_or_else(|| "never".to_owned(), output::moment);
        vec![
            a.name.to_string(),
            a.role.to_string(),
            output::grants(&a.names),
            state.to_owned(),
            output::moment(a.password_at),
            expires,
        ]
    };
    let rows = accounts.iter().map(row).collect();
    output::table(&["account", "role", "may replace", "state", "password set", "expires"], rows);
    Ok(())
}
