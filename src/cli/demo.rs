//! `pybit up --demo`: one package from source to an `apt-get` that takes it.

use std::path::Path;
use std::time::{Duration, Instant};

use pybit::config::{Config, Table};
use pybit::roles::SUPERVISE;
use pybit::roles::up::{Ready, own_client};
use pybit::source;
use pybit_backends::exec::{Cmd, Exec, Supervisor};
use pybit_client::{Api, Secret};
use pybit_core::model::{JobKind, NewSubmission};
use pybit_core::protocol::SubmissionReply;
use pybit_core::{Error, ErrorKind, Result};
use pybit_web::SuiteConfig;

use super::{follow, output};

/// Lets the demo's client build on the machine itself: its sample is trusted, and an isolated root takes a while to make.
pub(super) fn allow_host(config: &mut Config) {
    if config.client.is_absent() {
        config.client = Table::Given(own_client());
    }
    // An incomplete table is refused by the farm itself.
    if let Table::Given(client) = &mut config.client {
        client.allow_host = true;
    }
}

/// Builds the sample, waits for its publication, and fetches it as a user would.
pub(super) async fn show(ready: &Ready, sample: &Path) -> Result<()> {
    let start = Instant::now();
    let token = Secret::read(&ready.dir.admin_token())?;
    let api = Api::new(&ready.url, Some(&token))?;
    let suite = ready.suites.first().ok_or_else(|| Error::internal("the farm serves a suite"))?;
    output::line(format!("building:  {} for {}", sample.display(), suite.name));
    let reply = build(&api, sample, suite).await?;
    if !follow::all_done(&reply) {
        return Err(Error::new(
            ErrorKind::Conflict,
            "the sample was not built; `pybit jobs` says why",
        ));
    }
    prove(ready, suite, &api, &reply).await?;
    output::line(format!(
        "done:      from source to installable in {:.1} s",
        start.elapsed().as_secs_f32()
    ));
    Ok(())
}

async fn build(api: &Api, sample: &Path, suite: &SuiteConfig) -> Result<SubmissionReply> {
    let local = source::local(&sample.display().to_string())?.ok_or_else(|| {
        Error::not_found(format!(
            "there is no sample at {}; name one with --sample",
            sample.display()
        ))
    })?;
    let source = local.send(api).await?;
    let request = NewSubmission {
        dist: Some(suite.dist.clone()),
        format: Some(suite.format.clone()),
        env: Some("host".parse()?),
        ..NewSubmission::new(source, suite.name.clone())
    };
    // A demo that is started again shows what it has built, rather than that it is built already.
    let key = format!("demo-{}", local.files[0].0.sha256);
    let reply = api.submit(&request, Some(&key)).await?;
    follow::wait(api, reply.submission.id, true).await
}

/// `apt-get` in a root of its own fetches the index, checks its signature and downloads the package.
async fn prove(
    ready: &Ready,
    suite: &SuiteConfig,
    api: &Api,
    reply: &SubmissionReply,
) -> Result<()> {
    let name =
        suite.repository.as_ref().ok_or_else(|| Error::internal("the suite has a repository"))?;
    let catalogue = api.catalogue().await?;
    let repository = catalogue.repositories.iter().find(|r| r.name == *name);
    let access = repository.and_then(|r| Some((r.url.clone()?, r.public_key.clone()?)));
    let (url, key) =
        access.ok_or_else(|| Error::internal("a published repository has an address and a key"))?;
    let job = reply.jobs.iter().find(|j| j.kind == JobKind::Binary);
    let job = job.ok_or_else(|| Error::internal("the sample has a binary job"))?;
    let own = job.produced.iter().find(|p| p.name == job.package).or(job.produced.first());
    let package = own.ok_or_else(|| Error::internal("the sample makes a package"))?;
    let root = tempfile::tempdir()
        .map_err(|e| Error::internal("no temporary directory").with_source(e))?;
    let line = write_root(root.path(), &url, suite, &key)
        .map_err(|e| Error::internal("cannot write apt's root").with_source(e))?;
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    let apt = async |words: &[&str]| {
        let cmd =
            Cmd::new(apt_argv(root.path(), words), root.path()).within(Duration::from_mins(1));
        exec.check(&cmd, 1 << 20).await
    };
    apt(&["-o", "APT::Update::Error-Mode=any", "update"]).await?;
    output::line(format!("apt-get:   fetched the index of {url} and checked its signature"));
    apt(&["download", package.name.as_str()]).await?;
    let deb = downloaded(root.path())?;
    output::line(format!("apt-get:   downloaded {deb}"));
    output::line(format!("install:   {line}"));
    output::line(format!("key:       {url}/pybit.asc"));
    output::line(format!("job:       {}/jobs/{}", ready.url, job.id));
    Ok(())
}

/// An apt that knows this repository and its key, and nothing of the machine's own. Returns the `sources.list` line.
fn write_root(root: &Path, url: &str, suite: &SuiteConfig, key: &str) -> std::io::Result<String> {
    for dir in [
        "etc/apt/sources.list.d",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/lib/dpkg",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "")?;
    let key_file = root.join("repository.asc");
    std::fs::write(&key_file, key)?;
    let place = format!("{url} {} main", suite.name);
    let line = format!("deb [signed-by={}] {place}\n", key_file.display());
    std::fs::write(root.join("etc/apt/sources.list"), line)?;
    Ok(format!("deb [signed-by=/etc/apt/keyrings/pybit.asc] {place}"))
}

fn apt_argv(root: &Path, words: &[&str]) -> Vec<String> {
    let root = root.display();
    let options = [
        format!("Dir={root}"),
        format!("Dir::State::status={root}/var/lib/dpkg/status"),
        "Dir::Etc::main=/dev/null".to_owned(),
        "Dir::Etc::parts=/dev/null".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ];
    let mut argv = vec!["apt-get".to_owned(), "-q".to_owned()];
    argv.extend(options.into_iter().flat_map(|o| ["-o".to_owned(), o]));
    argv.extend(words.iter().map(|w| (*w).to_owned()));
    argv
}

fn downloaded(root: &Path) -> Result<String> {
    let entries = std::fs::read_dir(root)
        .map_err(|e| Error::internal("apt's root is gone").with_source(e))?;
    let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    names
        .into_iter()
        .find(|n| Path::new(n).extension().is_some_and(|e| e == "deb"))
        .ok_or_else(|| Error::not_found("apt-get downloaded no package"))
}
