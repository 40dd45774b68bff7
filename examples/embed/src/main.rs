//! A program with a whole farm in it: builds a source package, shows its log, and says where apt finds the result.
//!
//!     cargo run -p pybit-embed -- farm-data examples/packages/pybit-greeting

use std::io::Write;
use std::process::ExitCode;

use pybit::config::Table;
use pybit::core::model::{JobStatus, NewSubmission};
use pybit::{Backends, Config, Error, Result, roles, source};

fn main() -> Result<ExitCode> {
    // The supervisor of a build is this program once more; it starts before there are any threads.
    if let Some(code) = roles::supervised() {
        return Ok(code);
    }
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [data, source] = words.as_slice() else {
        return Err(Error::invalid("usage: pybit-embed DATA_DIR SOURCE"));
    };
    tokio::runtime::Runtime::new().expect("threads").block_on(build(data, source))
}

async fn build(data: &str, words: &str) -> Result<ExitCode> {
    let mut config = Config { data_dir: Some(data.into()), ..Config::default() };
    config.web.listen = ([127, 0, 0, 1], 0).into();
    // The source is trusted: it is built on this machine itself, not in an isolated root.
    let mut client = roles::up::own_client();
    client.allow_host = true;
    config.client = Table::Given(client);
    let farm = roles::up::start(config, Backends::default()).await?;
    let (api, suite) = (farm.api()?, &farm.ready.suites[0].name);

    let source = match source::local(words)? {
        Some(local) => local.send(&api).await?,
        None => words.parse()?,
    };
    let wish = NewSubmission::new(source, suite.clone());
    let wish = NewSubmission { env: Some("host".parse()?), ..wish };
    let submission = api.submit(&wish, None).await?.submission.id;
    let show = |_: &_, log: &[u8]| drop(std::io::stdout().write_all(log));
    let jobs = api.follow_submission(submission, show).await?.jobs;
    for job in &jobs {
        println!("job {} {} {}: {}", job.id, job.package, job.target.arch, job.status);
    }
    for repository in api.catalogue().await?.repositories {
        let url = repository.url.unwrap_or_default();
        println!("deb [signed-by=/etc/apt/keyrings/pybit.asc] {url} {suite} main");
        println!("key: {url}/pybit.asc");
    }
    farm.stop().await?;
    let done = jobs.iter().all(|job| job.status == JobStatus::Done);
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
