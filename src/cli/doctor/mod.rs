//! `pybit doctor`: what the roles need on this machine, and the command that installs what is missing.

mod mock;
mod needs;
mod packages;
mod repositories;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use pybit::config::Config;
use pybit_backends::env::BuildUser;
use pybit_core::base::BaseStatus;
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use serde::Serialize;

use super::context::{Context, USUAL_DATA_DIR, Where};
use super::output;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use super::storage;

/// Check what the roles need on this machine
///
/// Exit code 1 says that something is missing; the last line is then the command that installs it. Whether a server
/// and a transport answer is told too, and is nothing to install.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  pybit doctor\n  pybit doctor --role client,watch --json")]
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
    /// The web server: a directory that it can write to
    Web,
    /// The build client
    Client,
    /// The watcher
    Watch,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether everything is there that the roles need.
    fine: bool,
    checks: Vec<Check>,
    /// The command that installs and sets up everything that is missing, for a shell.
    install: Option<String>,
    /// The address of the server that answers.
    server: Option<String>,
    /// Why no server is known or answers.
    no_server: Option<String>,
    /// The indices of the base distributions' names, as the server tells of them.
    names: Vec<BaseStatus>,
    /// The farm's database, where the server is among the roles.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    storage: Option<storage::State>,
    /// How hints travel, where that is configured.
    transports: Vec<TransportReport>,
    /// Where logs and files are kept, where that is configured.
    blobs: Option<BlobsReport>,
    /// The repositories of `[[watch.repositories]]` that are on this machine.
    repositories: Vec<repositories::State>,
}

/// The blob store, tried by writing, reading and removing a small object.
#[derive(Debug, Serialize)]
struct BlobsReport {
    /// Without options.
    url: String,
    /// Why it does not work.
    trouble: Option<String>,
}

/// One end of a transport.
#[derive(Debug, Serialize)]
struct TransportReport {
    role: Role,
    /// Without user and password.
    url: String,
    /// Why no hint comes through now; it is tried again while the role runs.
    trouble: Option<String>,
}

/// One thing that a role needs.
#[derive(Debug, Serialize)]
struct Check {
    role: Role,
    what: String,
    fine: bool,
    /// What makes it fine.
    #[serde(flatten)]
    mend: Option<Mend>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mend {
    /// The package to install, by Debian's name.
    Package(&'static str),
    /// The command to run.
    Run(String),
    /// What no command of this machine does.
    Note(String),
}

impl Check {
    fn new(role: Role, what: String, mend: Option<Mend>) -> Self {
        Self { role, what, fine: mend.is_none(), mend }
    }
}

/// How long a transport gets to connect.
const TRANSPORT: Duration = Duration::from_secs(3);

pub(super) async fn run(args: &Args, place: &Where) -> Result<ExitCode> {
    let config = place.load()?;
    let checks = needs::checks(&config, |role| args.role.is_empty() || args.role.contains(&role));
    let (server, no_server, names) = server(place).await;
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let storage = if args.role.is_empty() || args.role.contains(&Role::Web) {
        Some(storage::State::of(&config).await?)
    } else {
        None
    };
    let transports =
        transports(&config, |role| args.role.is_empty() || args.role.contains(&role)).await;
    let blobs = blobs(&config, args.role.is_empty() || args.role.contains(&Role::Web)).await;
    let repositories = if args.role.is_empty() || args.role.contains(&Role::Watch) {
        repositories::states(&config).await?
    } else {
        Vec::new()
    };
    let fine = checks.iter().all(|c| c.fine);
    let install = install(&checks);
    let report = Report {
        fine,
        checks,
        install,
        server,
        no_server,
        names,
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        storage,
        transports,
        blobs,
        repositories,
    };
    if args.json {
        output::json(&report)?;
    } else {
        show(&report);
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file that a Debian package brings.
fn present(role: Role, (path, package): (&str, &'static str)) -> Check {
    let mend = (!Path::new(path).is_file()).then_some(Mend::Package(package));
    Check::new(role, format!("the file {path}"), mend)
}

/// Whether the directory, or the one that it will be made in, can be written to.
fn data_dir(dir: &Path) -> Check {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = absolute.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/"));
    let mend = tempfile::tempfile_in(there).is_err().then(|| {
        let path = absolute.display();
        Mend::Run(format!("install -d -o \"$(id -un)\" '{path}'"))
    });
    Check::new(Role::Web, format!("the data directory {}, writable", absolute.display()), mend)
}

fn program(role: Role, (name, package): (&str, &'static str)) -> Check {
    let mend = (!is_there(name)).then_some(Mend::Package(package));
    Check::new(role, format!("the program {name}"), mend)
}

/// Whether a program is where programs are.
fn is_there(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|dir| dir.join(name).is_file())
}

/// Builds run as this user, whose subordinate ids isolated roots need.
fn build_user(name: &str) -> Check {
    let mend = match BuildUser::find(name) {
        Err(_) => Some(make_user(name)),
        Ok(user) if user.sub_uids().is_err() || user.sub_gids().is_err() => {
            Some(format!("usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {name}"))
        }
        Ok(_) => None,
    };
    let what = format!("the build user {name} with subordinate ids");
    Check::new(Role::Client, what, mend.map(Mend::Run))
}

fn make_user(name: &str) -> String {
    format!("useradd --create-home --shell /usr/sbin/nologin {name}")
}

/// One command for everything that is missing and that a command brings.
fn install(checks: &[Check]) -> Option<String> {
    let root = BuildUser::current().is_ok_and(|user| user.uid.is_root());
    let sudo = if root { "" } else { "sudo " };
    let mends = || checks.iter().filter_map(|c| c.mend.as_ref());
    let mut packages: Vec<_> = mends()
        .filter_map(|m| match m {
            Mend::Package(name) => Some(*name),
            Mend::Run(_) | Mend::Note(_) => None,
        })
        .collect();
    let installer = packages::Installer::of_this_machine();
    for name in &mut packages {
        *name = installer.name(name);
    }
    packages.sort_unstable();
    packages.dedup();
    let mut commands = Vec::new();
    if !packages.is_empty() {
        commands.push(format!("{sudo}{} install {}", installer.command(), packages.join(" ")));
    }
    commands.extend(mends().filter_map(|m| match m {
        Mend::Run(command) => Some(format!("{sudo}{command}")),
        Mend::Package(_) | Mend::Note(_) => None,
    }));
    (!commands.is_empty()).then(|| commands.join(" && "))
}

/// The server that answers, or why there is none.
async fn server(place: &Where) -> (Option<String>, Option<String>, Vec<BaseStatus>) {
    let context = match Context::open(place) {
        Ok(context) => context,
        Err(error) => return (None, Some(error.to_string()), Vec::new()),
    };
    match context.api.ready().await {
        Ok(()) => {
            let names = context.api.names().await.unwrap_or_default();
            (Some(context.api.url().to_string()), None, names)
        }
        Err(error) => (None, Some(error.to_string()), Vec::new()),
    }
}

/// The configured transports of the roles, each asked whether it works.
async fn transports(config: &Config, wanted: impl Fn(Role) -> bool) -> Vec<TransportReport> {
    let ends = [
        (Role::Web, config.transport.clone()),
        (
            Role::Client,
            pybit::roles::client_settings(config).filter(|_| !config.client.is_absent()),
        ),
    ];
    let mut reports = Vec::new();
    for (role, settings) in ends {
        let Some(settings) = settings.filter(|_| wanted(role)) else { continue };
        let trouble = transport_trouble(&settings).await.map(|e| e.to_string());
        reports.push(TransportReport { role, url: settings.shown(), trouble });
    }
    reports
}

async fn transport_trouble(settings: &Settings) -> Option<Error> {
    // A server that runs has its address: binding it here too would only show that.
    if settings.scheme() == "zmq+bind" {
        return None;
    }
    let transport = match pybit::roles::transports().open(settings).await {
        Ok(transport) => transport,
        Err(error) => return Some(error),
    };
    let deadline = Instant::now() + TRANSPORT;
    let trouble = loop {
        match transport.health().await {
            Err(error) if Instant::now() > deadline => break Some(error),
            // A connection takes a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(()) => break None,
        }
    };
    transport.close().await;
    trouble
}

/// The configured blob store, tried.
async fn blobs(config: &Config, wanted: bool) -> Option<BlobsReport> {
    let settings = config.blobs.as_ref().filter(|_| wanted)?;
    let tried = async {
        let blobs = pybit::roles::open_blobs(config, Path::new(USUAL_DATA_DIR))?;
        blobs.check().await
    };
    let trouble = tried.await.err().map(|e| e.to_string());
    Some(BlobsReport { url: settings.shown(), trouble })
}

/// One line about the index of a base distribution's names.
fn index_line(index: &BaseStatus) -> String {
    let BaseStatus { dist, suite, names, .. } = index;
    let why = index.error.as_ref().map(|why| format!(": {}", output::tame(why)));
    let why = why.unwrap_or_default();
    match index.fetched_at {
        Some(at) if index.error.is_none() => {
            format!("ok      the names of {dist} {suite}: {names}, of {}", output::moment(at))
        }
        Some(at) => format!(
            "note    the names of {dist} {suite} are those of {} and cannot be renewed{why}",
            output::moment(at)
        ),
        None => format!("note    the names of {dist} {suite} are not known yet{why}"),
    }
}

fn show(report: &Report) {
    for check in &report.checks {
        let note = match &check.mend {
            Some(Mend::Note(note)) => format!(": {note}"),
            _ => String::new(),
        };
        output::line(format!(
            "{} {}{note}",
            if check.fine { "ok     " } else { "missing" },
            check.what
        ));
    }
    match (&report.server, &report.no_server) {
        (Some(url), _) => output::line(format!("ok      the server {url} answers")),
        (None, why) => {
            output::line(format!(
                "note    no server: {}",
                output::tame(why.as_deref().unwrap_or("unknown"))
            ));
        }
    }
    for index in &report.names {
        output::line(index_line(index));
    }
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    if let Some(storage) = &report.storage {
        output::line(storage.line());
    }
    for TransportReport { role, url, trouble } in &report.transports {
        let who = if *role == Role::Web { "the server's hints" } else { "the client's hints" };
        output::line(match trouble {
            None => format!("ok      {who} over {url}"),
            Some(why) => format!("note    {who}: {}", output::tame(why)),
        });
    }
    if let Some(BlobsReport { url, trouble }) = &report.blobs {
        output::line(match trouble {
            None => format!("ok      logs and files in {url}: written, read, removed"),
            Some(why) => format!("note    logs and files: {}", output::tame(why)),
        });
    }
    for repository in &report.repositories {
        repository.lines().into_iter().for_each(output::line);
    }
    if let Some(command) = &report.install {
        output::line(format!("\nThis installs what is missing:\n{command}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_installs_all_that_is_missing_each_package_once() {
        let check = |mend| Check::new(Role::Client, String::new(), mend);
        let checks = [
            check(Some(Mend::Package("sbuild"))),
            check(Some(Mend::Run("useradd x".to_owned()))),
            check(None),
            check(Some(Mend::Package("dpkg-dev"))),
            check(Some(Mend::Package("sbuild"))),
        ];
        let command = install(&checks).unwrap().replace("sudo ", "");
        assert_eq!(command, "apt-get install dpkg-dev sbuild && useradd x");
        assert_eq!(install(&[check(None)]), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_missing() {
        let there = program(Role::Watch, ("sh", "dash"));
        assert!(there.fine && there.mend.is_none());
        let missing = program(Role::Watch, ("pybit-no-such-program", "none"));
        assert_eq!(missing.mend, Some(Mend::Package("none")));
    }
}
