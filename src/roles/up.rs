//! The whole farm in one process: what `pybit up` runs.

use std::net::SocketAddr;
use std::sync::Arc;

use pybit_client::config::{ClientConfig, OfferConfig, machine_arch};
use pybit_client::{Api, Secret, Shutdown};
use pybit_core::model::{Grant, RepositoryName, Role};
use pybit_core::{Error, Farm, Result};
use pybit_watch::{RepositoryConfig, WatchConfig};
use pybit_web::suites::{self, EnvConfig, SuiteConfig};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Backends, DataDir, run_client, run_watch, server};
use crate::config::Config;

/// The user that builds run as where a farm is started as root and none is configured.
pub const BUILD_USER: &str = "pybit-build";

/// The name of the build client in the farm's own process.
const CLIENT: &str = "local";

/// A farm that answers.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its address.
    pub url: String,
    /// Where everything lies.
    pub dir: DataDir,
    /// The administrator's token, at the first start only.
    pub new_token: Option<Secret>,
    /// What it serves.
    pub suites: Vec<SuiteConfig>,
}

/// A farm that runs beside the program that has started it. It ends when this is dropped; [`stop`](Self::stop) waits for that.
#[derive(Debug)]
pub struct Running {
    /// Where it answers, and what it serves.
    pub ready: Ready,
    shutdown: CancellationToken,
    farm: JoinHandle<Result<()>>,
}

impl Running {
    /// The farm's API, as its administrator.
    pub fn api(&self) -> Result<Api> {
        Api::new(&self.ready.url, Some(&Secret::read(&self.ready.dir.admin_token())?))
    }

    /// Ends the farm, and its builds with it; what is unfinished goes on when a farm is started on its data again.
    ///
    /// Fails with what a part of the farm had failed with, if one had.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.cancel();
        ended((&mut self.farm).await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn ended(farm: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    farm.map_err(|e| Error::internal("the farm panicked").with_source(e))?
}

/// Starts server, build client and watcher, and returns when the server answers. What the configuration leaves out is
/// filled in as `pybit up` does; `config.web.listen` with port 0 takes a free port.
pub async fn start(config: Config, backends: Backends) -> Result<Running> {
    let shutdown = CancellationToken::new();
    let (tell, told) = oneshot::channel();
    let ready = move |ready| drop(tell.send(ready));
    let farm = tokio::spawn(run(config, None, backends, ready, shutdown.clone()));
    match told.await {
        Ok(ready) => Ok(Running { ready, shutdown, farm }),
        Err(_) => Err(ended(farm.await)
            .err()
            .unwrap_or_else(|| Error::internal("the farm ended before it answered"))),
    }
}

/// Runs server, build client and watcher until `shutdown`, or until one of them ends with a failure. `ready` is called
/// once the server answers.
pub async fn run(
    mut config: Config,
    listen: Option<SocketAddr>,
    backends: Backends,
    ready: impl FnOnce(Ready) + Send,
    shutdown: CancellationToken,
) -> Result<()> {
    // Before anything is made or started.
    config.client.given()?;
    config.watch.given()?;
    let dir = server::data_dir(&config)?;
    config.suites = suites::resolve(&config.suites)?;
    config.web.listen = listen.unwrap_or(config.web.listen);
    config.web.repositories.get_or_insert_with(|| dir.repositories());
    let farm = server::open_farm(&config, &dir, &backends).await?;
    if config.suites.is_empty() {
        config.suites = usual_suites(&farm).await?;
    }
    let new_token = server::admin_token(&farm, &dir).await?;
    let drops = config.watch.given()?.is_some_and(|watch| !watch.drops.is_empty());
    let tokens = Tokens::ensure(&farm, &dir, drops).await?;
    let mut parts = JoinSet::new();
    let address =
        server::start_web(&config, farm.clone(), &dir, &mut parts, shutdown.clone()).await?;
    let url = format!("http://{address}");
    dir.write_url(&url)?;
    ready(Ready { url: url.clone(), dir: dir.clone(), new_token, suites: config.suites.clone() });
    let client = client_config(&config, &dir, &url, &tokens)?;
    let stop = shutdown.clone();
    let transport = Arc::clone(farm.transport());
    parts.spawn(async move {
        let told = async move {
            stop.cancelled().await;
            Shutdown::Fast
        };
        run_client(client, Some(transport), told).await
    });
    let watch = watch_config(&config, &dir, &url, &tokens)?;
    parts.spawn(run_watch(watch, shutdown.clone()));
    let ended = first_failure(&mut parts).await;
    shutdown.cancel();
    while parts.join_next().await.is_some() {}
    farm.transport().close().await;
    ended
}

/// The secrets that the farm's own client and watcher use.
struct Tokens {
    client: std::path::PathBuf,
    publish: std::path::PathBuf,
    /// What comes to drop directories is submitted with this.
    submit: Option<std::path::PathBuf>,
}

impl Tokens {
    async fn ensure(farm: &Farm, dir: &DataDir, drops: bool) -> Result<Self> {
        let (client, publish) = (dir.role_token("client"), dir.role_token("publish"));
        let name = CLIENT.parse()?;
        server::role_token(farm, &client, &Grant { client: Some(name), ..Grant::of(Role::Client) })
            .await?;
        server::role_token(farm, &publish, &Grant::of(Role::Publish)).await?;
        let submit = drops.then(|| dir.role_token("submit"));
        if let Some(file) = &submit {
            server::role_token(farm, file, &Grant::of(Role::Submit)).await?;
        }
        Ok(Self { client, publish, submit })
    }
}

/// Waits until every part has ended, or the first one has failed.
async fn first_failure(parts: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = parts.join_next().await {
        ended.map_err(|e| Error::internal("a part of the farm panicked").with_source(e))??;
    }
    Ok(())
}

/// What a farm serves whose configuration says nothing of it: what `pybit apply` has put into the catalogue, else this machine's
/// own suite.
async fn usual_suites(farm: &Farm) -> Result<Vec<SuiteConfig>> {
    let catalogue = farm.storage().catalogue().await?;
    let applied = suites::suites_of(&catalogue);
    if !applied.is_empty() {
        return Ok(applied);
    }
    let own = vec![own_suite()?];
    suites::seed(farm.storage().as_ref(), &own, farm.clock().now()).await?;
    Ok(own)
}

/// This machine's own suite and architecture, from os-release(5): what a farm serves where nothing is configured.
fn own_suite() -> Result<SuiteConfig> {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map(|v| v.trim_matches('"').to_owned())
    };
    let (id, codename) = (field("ID"), field("VERSION_CODENAME"));
    let (dist, suite) = match (id.as_deref(), codename) {
        (Some("debian"), Some(codename)) => ("Debian".to_owned(), codename),
        (Some("ubuntu"), Some(codename)) => ("Ubuntu".to_owned(), codename),
        _ => {
            let message = "this machine runs neither Debian nor Ubuntu: say in [[suites]] what the farm serves";
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
    };
    let format = "deb".parse()?;
    let arch =
        machine_arch(&format).ok_or_else(|| Error::internal("this machine has an architecture"))?;
    let env = |name: &str, weight| Ok::<_, Error>(EnvConfig::new(name.parse()?, weight));
    Ok(SuiteConfig {
        dist: dist.parse()?,
        repository: Some(suite.parse()?),
        name: suite.parse()?,
        format,
        like: None,
        arches: vec![arch],
        envs: vec![env("sbuild", 10)?, env("host", 0)?],
        overlay: false,
        moves: Vec::new(),
    })
}

/// The client of a farm whose configuration has no `[client]`: sources may lie on this machine, which is its user's own. Not for a farm
/// that others can reach.
pub fn own_client() -> ClientConfig {
    ClientConfig { allow_file: true, ..ClientConfig::default() }
}

/// The configured client; what it leaves out is that every suite is built on this machine's architecture, in isolated roots.
fn client_config(
    config: &Config,
    dir: &DataDir,
    url: &str,
    tokens: &Tokens,
) -> Result<ClientConfig> {
    let mut client = config.client.given()?.cloned().unwrap_or_else(|| {
        // Whoever submits over the network must not name what lies on this machine.
        ClientConfig { allow_file: config.web.is_private(), ..own_client() }
    });
    client.name = Some(CLIENT.parse()?);
    url.clone_into(&mut client.url);
    client.token = None;
    client.token_file = Some(tokens.client.clone());
    client.build_user.get_or_insert_with(|| BUILD_USER.to_owned());
    if client.work_dir.as_os_str().is_empty() {
        client.work_dir = dir.work("client");
    }
    if client.offers.is_empty() {
        client.offers = config.suites.iter().map(|s| offer(s, client.allow_host)).collect();
    }
    Ok(client)
}

fn offer(suite: &SuiteConfig, allow_host: bool) -> OfferConfig {
    let envs = suite.envs.iter().map(|e| e.name.clone());
    OfferConfig {
        dist: suite.dist.clone(),
        suite: suite.name.clone(),
        format: suite.format.clone(),
        arches: Vec::new(),
        // mock is offered by [[client.mock]].
        envs: envs
            .filter(|e| (allow_host || e.as_str() != "host") && e.as_str() != "mock")
            .collect(),
        weight: 0,
    }
}

/// The configured watcher; what it leaves out is that every suite that names a repository is published.
fn watch_config(config: &Config, dir: &DataDir, url: &str, tokens: &Tokens) -> Result<WatchConfig> {
    let mut watch = config.watch.given()?.cloned().unwrap_or_default();
    watch.url = Some(url.to_owned());
    watch.token = None;
    watch.token_file = Some(tokens.publish.clone());
    watch.submit_token_file.clone_from(&tokens.submit);
    if watch.work_dir.as_os_str().is_empty() {
        watch.work_dir = dir.work("watch");
    }
    if watch.repositories.is_empty() {
        let named = config.suites.iter().filter_map(|s| Some((s, s.repository.as_ref()?)));
        watch.repositories = named.map(|(suite, name)| repository(suite, name, dir, url)).collect();
    }
    Ok(watch)
}

fn repository(
    suite: &SuiteConfig,
    name: &RepositoryName,
    dir: &DataDir,
    url: &str,
) -> RepositoryConfig {
    let target = (suite.dist.clone(), suite.name.clone(), suite.format.clone());
    let root = dir.repositories().join(name.as_str());
    let public_url = format!("{url}/repositories/{name}");
    RepositoryConfig::new(name.clone(), target, suite.arches.clone(), root, public_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_that_others_can_reach_builds_no_source_of_its_own_machine() {
        let dir = DataDir::at(std::path::Path::new("/nowhere")).unwrap();
        let file = || dir.role_token("one");
        let tokens = Tokens { client: file(), publish: file(), submit: None };
        for (listen, proxies, allowed) in [
            ("127.0.0.1:8080", &[][..], true),
            ("[::1]:0", &[], true),
            ("127.0.0.1:8080", &["127.0.0.1"], false),
            ("0.0.0.0:80", &[], false),
        ] {
            let mut config = Config::default();
            config.web.listen = listen.parse().unwrap();
            config.web.proxies = proxies.iter().map(|p| p.parse().unwrap()).collect();
            assert_eq!(super::super::server::policy(&config).file_sources, Some(allowed));
            let client = client_config(&config, &dir, "http://127.0.0.1", &tokens).unwrap();
            assert_eq!(client.allow_file, allowed, "{listen}");
        }
    }
}
