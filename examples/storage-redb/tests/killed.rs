//! What a storage has confirmed is there after signal 9, in the middle of whatever it was writing, and nothing is half there.
//!
//! This program is both sides: with the word `write` and a file it writes for ever and prints each confirmed number; without
//! it starts itself so, kills that, and looks.
#![expect(clippy::unwrap_used, reason = "a test without the harness is no test to the lint")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pybit_core::conformance::support;
use pybit_core::model::{JobFilter, JobId, Page};
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::Storage;
use pybit_storage_redb::RedbFactory;

/// Processes that are killed, and the confirmations that each is let live for.
const ROUNDS: [usize; 5] = [1, 7, 20, 40, 3];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match words.as_slice() {
        [write, file] if write == "write" => runtime.block_on(write_for_ever(Path::new(file))),
        // cargo nextest lists the tests of a program, and the ignored ones again, before it runs them.
        words if words.iter().any(|word| word == "--list") => {
            if !words.iter().any(|word| word == "--ignored") {
                println!("confirmed_writes_survive_signal_9: test");
            }
        }
        // The words of `cargo test` are for the tests that have names.
        _ => runtime.block_on(kill_and_look()),
    }
}

async fn open(file: &Path) -> Arc<dyn Storage> {
    RedbFactory.open(&Settings::url(format!("redb://{}", file.display()))).await.unwrap()
}

async fn write_for_ever(file: &Path) {
    let storage = open(file).await;
    let begin = storage.jobs(&JobFilter::default(), &Page::first(1)).await.unwrap();
    for number in begin.first().map_or(1, |job| job.id.0 + 1).. {
        let job = support::planned(&format!("package{number}"), "1.0");
        let job = support::submit_one(&storage, job).await;
        assert_eq!(job.id, JobId(number));
        println!("{number}");
        std::io::stdout().flush().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "it starts itself, to kill it")]
async fn kill_and_look() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("farm.redb");
    let mut last = 0;
    for (round, confirmations) in ROUNDS.into_iter().enumerate() {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .arg("write")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(writer.stdout.take().unwrap());
        let confirmed = said.lines().take(confirmations).last().unwrap().unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        let confirmed: i64 = confirmed.parse().unwrap();
        assert!(confirmed > last, "the farm went on");
        last = look(&file, confirmed).await;
        println!("killed {}: {confirmed} jobs were confirmed, {last} are kept", round + 1);
    }
}

/// Everything up to `confirmed` is there and whole; returns the last job, which may be one that was not confirmed any more.
async fn look(file: &Path, confirmed: i64) -> i64 {
    let storage = open(file).await;
    let newest = storage.jobs(&JobFilter::default(), &Page::first(1)).await.unwrap();
    let last = newest.first().map_or(0, |job| job.id.0);
    assert!(last >= confirmed, "{confirmed} jobs were confirmed and {last} are there");
    for number in 1..=last {
        let job = storage.job(JobId(number)).await.unwrap().expect("a job without a gap");
        assert_eq!(job.package.as_str(), format!("package{number}"));
        assert_eq!(storage.events(job.id).await.unwrap().len(), 1);
        assert!(storage.submission(job.submission).await.unwrap().is_some());
    }
    assert_eq!(storage.outbox(u32::MAX).await.unwrap().len(), usize::try_from(last).unwrap());
    last
}
