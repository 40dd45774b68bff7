//! The build client.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pybit_backends::env::{
    BuildUser, HostEnvironment, MockConfig, MockEnvironment, SbuildConfig, SbuildEnvironment,
};
use pybit_backends::exec::{Exec, Holds, Supervisor, supervise};
use pybit_backends::source::{
    AllowedHost, AptConfig, AptFetcher, Credential, GitConfig, GitFetcher, SvnConfig, SvnFetcher,
    UploadConfig, UploadFetcher,
};
use pybit_client::config::CredentialConfig;
use pybit_client::{ClientConfig, Secret, Shutdown, Toolbox};
use pybit_core::build::BuildEnvironment;
use pybit_core::transport::Transport;
use pybit_core::{Error, ErrorKind, Result};

use super::formats::{formats, root_packages};

/// The hidden verb of the `pybit` command that every build and every publisher's tool runs under.
pub const SUPERVISE: &str = "supervise";

/// Runs the supervisor of a build where that is what this process was started for; `None` in every other process.
///
/// Builds and publishers' tools run under a process that dies with its whole tree: the program itself, started once more
/// with the verb [`SUPERVISE`]. So a program that runs a build client or a watcher asks this first in its `main`, before it
/// starts any thread, and returns the exit code that it gets.
pub fn supervised() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    let asked = args.next().as_deref() == Some(SUPERVISE);
    asked.then(|| supervise::main(args))
}

/// What this machine can build with: packages of every known format from git, svn, apt and uploads, in isolated roots and on the
/// host; in mock, where its configurations are named. `Unsupported` where they are and mock cannot be used.
pub fn toolbox(config: &ClientConfig) -> Result<Toolbox> {
    let user = config.build_user.as_deref().map(BuildUser::find).transpose()?;
    let holds = Holds::find();
    if config.limits.require && !holds.is_whole() {
        let message = format!(
            "client.limits.require is set, and the processes of a build cannot be held together here: {}",
            holds.why.join("; ")
        );
        return Err(Error::new(ErrorKind::Unsupported, message).with_code("no_limits"));
    }
    tracing::info!(by = %holds, "builds are held to their limits");
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, user).held_by(holds.hold);
    let sbuild = SbuildConfig {
        max_age: Duration::from_secs(u64::from(config.sbuild.max_age_days) * 86_400),
        mirror: config.sbuild.mirror.clone(),
        packages: root_packages(),
        ..SbuildConfig::new(config.work_dir.join("roots"))
    };
    let allow_hosts: Vec<AllowedHost> =
        config.allow_hosts.iter().map(|h| h.parse()).collect::<Result<_>>()?;
    let (allow_file, hosts) = (config.allow_file, allow_hosts.clone());
    let credentials: Vec<_> = config.credentials.iter().map(credential).collect::<Result<_>>()?;
    let git = GitConfig {
        allow_file,
        allow_hosts: hosts,
        credentials: credentials.clone(),
        uscan: config.uscan,
        ..GitConfig::default()
    };
    let svn = SvnConfig { allow_file, allow_hosts, credentials, ..SvnConfig::default() };
    let mut environments: Vec<Arc<dyn BuildEnvironment>> = vec![
        Arc::new(SbuildEnvironment::new(sbuild, exec.clone())),
        Arc::new(HostEnvironment::new(exec.clone(), config.allow_host)),
    ];
    if !config.mock.is_empty() {
        let mock = MockConfig::new(config.work_dir.join("mock"), config.mock_roots());
        environments.push(Arc::new(MockEnvironment::new(mock, exec.clone())?));
    }
    Ok(Toolbox {
        formats: formats(),
        fetchers: vec![
            Arc::new(GitFetcher::new(git, exec.clone())),
            Arc::new(SvnFetcher::new(svn, exec.clone())),
            Arc::new(AptFetcher::new(AptConfig::new(config.work_dir.join("apt")), exec.clone())),
            Arc::new(UploadFetcher::new(UploadConfig::default(), exec)),
        ],
        environments,
    })
}

/// A configured credential with its secret.
fn credential(config: &CredentialConfig) -> Result<Credential> {
    let url = &config.url;
    match (&config.username, &config.password_file, &config.key_file) {
        (Some(user), Some(file), None) => {
            Credential::password(url, user, Secret::read(file)?.expose())
        }
        (None, None, Some(key)) => Credential::key(url, key.clone()),
        _ => {
            let message =
                "in [[client.credentials]] an address has username and password_file, or key_file";
            Err(Error::invalid(message).with_code("invalid_configuration"))
        }
    }
}

/// Runs the build client until `shutdown`; `transport` brings hints, where there is one.
pub async fn run_client(
    config: ClientConfig,
    transport: Option<Arc<dyn Transport>>,
    shutdown: impl Future<Output = Shutdown>,
) -> Result<()> {
    let toolbox = toolbox(&config)?;
    pybit_client::run(config, toolbox, transport, shutdown).await
}
