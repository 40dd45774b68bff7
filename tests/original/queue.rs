//! Work on its way to build clients: letters b, c and f.

use pybit::config::Config;
use pybit::core::model::Source;
use pybit::roles;

use crate::embedded::{request, submitter};
use crate::support::package::{Package, tagged};
use crate::support::{DEADLINE, Farm, outcomes, wait_for};
use crate::watched::Watched;

/// The original held the message unacknowledged while it built, and the broker, which allows half an hour, gave the job to
/// a second client. Ours acknowledges right after the claim was answered: while a build runs no delivery is out, and a busy
/// client does not even listen.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper and the user pybit-build"]
async fn b_hint_is_acknowledged_after_the_claim_and_not_after_the_build() {
    let farm = Farm::new("");
    let wire = Watched::new();
    let _server = wire.serve(&farm).await;
    let _client = wire.client(&farm);
    wire.hint().await;
    wire.wait(|count| count.acknowledged == 1).await;
    let gate = farm.path().join("gate");
    let tree = Package::new("pybit-hint", "1.0").gate(&gate).write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    wait_for("the busy client to stop listening", DEADLINE, || {
        (wire.count().listeners == 0).then_some(())
    });
    let busy = wire.count();
    assert_eq!(busy.out, 0, "while it builds: {busy:?}");
    // A hint that comes meanwhile waits for somebody who is idle.
    assert!(wire.hint().await > 0);
    assert_eq!(wire.count(), busy);
    std::fs::write(&gate, "").unwrap();
    farm.wait_status(job, "Uploaded");
    wire.wait(|count| count.acknowledged > busy.acknowledged && count.out == 0).await;
    let detail = farm.job(job);
    assert_eq!(outcomes(&detail), ["succeeded"], "nobody built it twice: {detail}");
}

/// The original published the job again at once, without persistence: a loop that ran hot until the broker was restarted,
/// and then the job was gone. Ours blocks it with the relations that it lacks; nothing but a publication that satisfies
/// them (or the end of a long pause) wakes it, and a restart of the server forgets nothing.
#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn c_missing_dependency_blocks_without_a_loop_and_across_a_restart() {
    let farm = Farm::new("");
    let web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let mut package = Package::new("pybit-waits", "1.0");
    package.build_depends = ", libpybit-nowhere-dev (>= 2.0)".to_owned();
    let job = farm.binary_job(&farm.submit(&package.write(farm.path())).0);
    farm.wait_status(job, "Blocked");
    let is_untouched = |when: &str| {
        let detail = farm.job(job);
        assert_eq!(detail["job"]["status"], "Blocked", "{when}: {detail}");
        assert_eq!(detail["job"]["unmet"], serde_json::json!(["libpybit-nowhere-dev (>= 2.0)"]));
        assert_eq!(outcomes(&detail), ["failed"], "{when}: {detail}");
    };
    // The same client builds and publishes other packages meanwhile: time enough for hundreds of attempts.
    let publish = |name: &str, version: &str| {
        let tree = Package::new(name, version).write(farm.path());
        farm.wait_status(farm.binary_job(&farm.submit(&tree).0), "Done");
    };
    publish("libpybit-nowhere-dev", "1.0");
    is_untouched("a version that does not satisfy it was published");
    web.kill();
    let _web = farm.web();
    publish("pybit-other", "1.0");
    is_untouched("the server was restarted");
    publish("libpybit-nowhere-dev", "2.0");
    // It is tried again, once; on this machine the package is published and not installed, so it waits again.
    let detail = wait_for("the second attempt to end", DEADLINE, || {
        let detail = farm.job(job);
        (outcomes(&detail) == ["failed", "failed"]).then_some(detail)
    });
    assert_eq!(detail["job"]["status"], "Blocked", "{detail}");
    let woken = detail["events"].as_array().unwrap().iter().filter(|e| e["to"] == "Waiting");
    let causes: Vec<_> = woken.map(|e| e["cause"].as_str().unwrap()).collect();
    assert!(causes.last().unwrap().contains("libpybit-nowhere-dev 2.0"), "{causes:?}");
    assert_eq!(causes.len(), 2, "when it was planned, and by the publication: {causes:?}");
}

/// The original committed the job and then published a message, without a confirmation: a crash between left a job that
/// nobody was ever offered. Ours writes the hint into the same transaction; a server that is killed before it sends it
/// leaves it to the next one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs git, dpkg-dev, debhelper and the user pybit-build"]
async fn f_job_whose_hint_was_never_sent_is_offered_after_a_restart() {
    let farm = Farm::new("");
    let tree = Package::new("pybit-unsent", "1.0").write(farm.path());
    tagged(&tree, "v1");
    let config = Config::load(Some(&farm.path().join("pybit.toml"))).unwrap();
    let open = async || {
        let dir = roles::data_dir(&config).unwrap();
        roles::open_farm(&config, &dir, &roles::Backends::default()).await.unwrap()
    };
    let killed = open().await;
    let wanted = request(&format!("git+file://{}#v1", tree.display()));
    assert!(matches!(wanted.source, Source::Git { .. }));
    let recorded = killed.submit(&submitter(), wanted, None, None).await.unwrap();
    let unsent = killed.storage().outbox(10).await.unwrap();
    assert_eq!(unsent.iter().map(|r| r.job).collect::<Vec<_>>(), [recorded.jobs[0].id]);
    // Killed here: the job is committed, and nobody has heard of it.
    drop(killed);
    let _web = farm.web();
    let _client = farm.client("one");
    let binary = farm.binary_job(&recorded.submission.id.to_string());
    farm.wait_status(binary, "Uploaded");
    let left = open().await.storage().outbox(10).await.unwrap();
    assert!(left.is_empty(), "every hint was sent: {left:?}");
}
