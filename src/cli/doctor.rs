//! `pybit doctor`: what the roles need on this machine, and the command that installs what is missing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use pybit_backends::env::BuildUser;
use pybit_core::Result;
use serde::Serialize;

use super::context::{Context, Where};
use super::output;

/// Check what the roles need on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The roles to check; all where left out
    #[arg(long, value_delimiter = ',')]
    role: Vec<Role>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// The web server: nothing but a directory
    Web,
    /// The build client
    Client,
    /// The watcher
    Watch,
}

/// One thing that a role needs.
#[derive(Debug, Serialize)]
struct Check {
    role: Role,
    what: String,
    fine: bool,
    /// The command that mends it.
    mend: Option<String>,
}

/// Programs, each with the Debian package that has it.
const CLIENT_TOOLS: [(&str, &str); 8] = [
    ("sbuild", "sbuild"),
    ("mmdebstrap", "mmdebstrap"),
    ("newuidmap", "uidmap"),
    ("unshare", "util-linux"),
    ("git", "git"),
    ("apt-get", "apt"),
    ("dpkg-source", "dpkg-dev"),
    ("dpkg-buildpackage", "dpkg-dev"),
];
const WATCH_TOOLS: [(&str, &str); 2] = [("reprepro", "reprepro"), ("gpg", "gnupg")];

pub(super) async fn run(args: &Args, place: &Where) -> Result<ExitCode> {
    let config = place.load()?;
    let wants = |role| args.role.is_empty() || args.role.contains(&role);
    let mut checks = Vec::new();
    if wants(Role::Client) {
        checks.extend(CLIENT_TOOLS.map(|tool| program(Role::Client, tool)));
        let user = config.client.as_ref().and_then(|c| c.build_user.clone());
        checks.push(build_user(&user.unwrap_or_else(|| pybit::roles::up::BUILD_USER.to_owned())));
    }
    if wants(Role::Watch) {
        checks.extend(WATCH_TOOLS.map(|tool| program(Role::Watch, tool)));
    }
    if wants(Role::Web) {
        checks.push(server(place).await);
    }
    let fine = checks.iter().filter(|c| c.role != Role::Web).all(|c| c.fine);
    if args.json {
        output::json(&checks)?;
    } else {
        show(&checks);
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn program(role: Role, (name, package): (&str, &str)) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    let fine = dirs.map(|d| d.join(name)).any(|f| f.is_file());
    let mend = (!fine).then(|| format!("apt-get install {package}"));
    Check { role, what: format!("the program {name}"), fine, mend }
}

/// Builds run as this user, whose subordinate ids isolated roots need.
fn build_user(name: &str) -> Check {
    let what = format!("the build user {name} with subordinate ids");
    let check = |mend: Option<String>| Check {
        role: Role::Client,
        what: what.clone(),
        fine: mend.is_none(),
        mend,
    };
    match BuildUser::find(name) {
        Err(_) => check(Some(format!("useradd --create-home --shell /usr/sbin/nologin {name}"))),
        Ok(user) if user.sub_uids().is_err() || user.sub_gids().is_err() => check(Some(format!(
            "usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {name}"
        ))),
        Ok(_) => check(None),
    }
}

async fn server(place: &Where) -> Check {
    let reached = match Context::open(place) {
        Ok(context) => context.api.ready().await.map_err(Into::into),
        Err(error) => Err(error),
    };
    let (fine, what) = match reached {
        Ok(()) => (true, "a server answers".to_owned()),
        Err(error) => (false, format!("no server answers ({error})")),
    };
    Check { role: Role::Web, what, fine, mend: (!fine).then(|| "pybit up".to_owned()) }
}

fn show(checks: &[Check]) {
    for check in checks {
        let mark = if check.fine { "ok     " } else { "missing" };
        let mend = check.mend.as_ref().map(|m| format!("  ->  {m}")).unwrap_or_default();
        output::line(format!("{mark} {}{mend}", check.what));
    }
}
