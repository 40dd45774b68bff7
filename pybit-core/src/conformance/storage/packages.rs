//! Packages as their jobs show them.

use std::collections::BTreeSet;

use crate::conformance::support::{
    Store, bring, forced, name, planned, planned_in, planned_source, submit_one, take, target,
    target_in,
};
use crate::model::{JobStatus, PackageName, PackageSummary, RepositoryName, Version};
use crate::publish::Listed;

use JobStatus::{Cancelled, Cancelling, Done, Failed, Waiting};

async fn packages(
    s: &Store,
    search: Option<&str>,
    after: Option<&str>,
    limit: u32,
) -> Vec<PackageSummary> {
    let after: Option<PackageName> = after.map(name);
    s.packages(search, after.as_ref(), limit).await.expect("an answer")
}

pub(super) async fn packages_show_newest_done_and_newest_job(s: Store) {
    bring(&s, planned("hello", "3"), Done).await;
    let mut older = forced(planned("hello", "2"));
    older.target.env = name("host");
    let older = submit_one(&s, older).await;
    take(&s, "c", older.target.clone()).await;
    let newest = bring(&s, planned("hello", "4"), Failed).await;
    let sid = bring(&s, planned_in("hello", "5", target_in("sid", "amd64")), Waiting).await;
    submit_one(&s, planned_source("only-source")).await;

    let rows = packages(&s, None, None, 10).await;
    let seen: BTreeSet<_> = rows
        .iter()
        .map(|r| {
            let done = r.done.as_ref().map(Version::as_str);
            let newest = (r.newest_job, r.newest_version.as_str(), r.newest_status);
            (r.package.as_str(), r.suite.as_str(), done, newest)
        })
        .collect();
    let expected = BTreeSet::from([
        ("hello", "bookworm", Some("3"), (newest.id, "4", Failed)),
        ("hello", "sid", None, (sid.id, "5", Waiting)),
    ]);
    assert_eq!(
        seen, expected,
        "one row a suite; the newest job by number, the newest done by version"
    );
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].dist.as_str(), rows[0].format.as_str()), ("Debian", "deb"));

    bring(&s, forced(planned("hello", "1")), Done).await;
    let rows = packages(&s, Some("hello"), None, 10).await;
    let bookworm = rows.iter().find(|r| r.suite.as_str() == "bookworm").expect("its row");
    assert_eq!(bookworm.done, Some(name("3")), "by version order, not by number");
    assert_eq!(bookworm.newest_version, name("1"), "by number, not by version order");
}

pub(super) async fn packages_page_by_name_and_are_searched_literally(s: Store) {
    for package in ["b", "libx11", "a", "Libx_x", "lib-x11", "x11"] {
        submit_one(&s, planned(package, "1")).await;
        submit_one(&s, planned_in(package, "1", target_in("sid", "amd64"))).await;
    }
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = packages(&s, None, paged.last().map(String::as_str), 2).await;
        let names: BTreeSet<_> = page.iter().map(|r| r.package.to_string()).collect();
        assert!(names.len() <= 2, "at most the limit of names");
        if names.is_empty() {
            break;
        }
        assert_eq!(page.len(), names.len() * 2, "each name with all of its suites");
        assert!(page.is_sorted_by_key(|r| r.package.clone()), "by name");
        paged.extend(names);
    }
    assert_eq!(paged, ["Libx_x", "a", "b", "lib-x11", "libx11", "x11"]);
    let found = async |search| {
        let rows = packages(&s, Some(search), None, 10).await;
        rows.iter().map(|r| r.package.to_string()).collect::<BTreeSet<_>>()
    };
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(found("X11").await, names(&["lib-x11", "libx11", "x11"]), "case is ignored");
    assert_eq!(found("lib").await, names(&["Libx_x", "lib-x11", "libx11"]));
    assert_eq!(found("x_").await, names(&["Libx_x"]), "`_` is no pattern");
    for pattern in ["%", "x%1", "\\", "*", "'", "!"] {
        assert_eq!(found(pattern).await, names(&[]), "{pattern} is no pattern");
    }
}

pub(super) async fn newest_is_the_greatest_version_that_counts(s: Store) {
    let t = target("amd64");
    let newest = async || {
        let package: PackageName = name("hello");
        s.newest(&package, &t.dist, &t.suite, &t.format).await.expect("an answer").map(|j| j.id)
    };
    submit_one(&s, planned_source("hello")).await;
    submit_one(&s, planned("other", "9")).await;
    submit_one(&s, planned_in("hello", "9", target_in("sid", "amd64"))).await;
    assert_eq!(newest().await, None);
    let done = bring(&s, planned_in("hello", "5", target("armhf")), Done).await;
    assert_eq!(newest().await, Some(done.id));
    submit_one(&s, forced(planned_in("hello", "4", target("arm64")))).await;
    assert_eq!(newest().await, Some(done.id), "not the newest by number");
    for (status, arch) in [(Failed, "i386"), (Cancelled, "ppc64el"), (Cancelling, "s390x")] {
        bring(&s, planned_in("hello", "8", target(arch)), status).await;
        assert_eq!(newest().await, Some(done.id), "{status} does not count");
    }
    let waiting = submit_one(&s, planned_in("hello", "6", target("riscv64"))).await;
    assert_eq!(newest().await, Some(waiting.id));
}

fn listed(name: &str, version: &str, arch: &str, source: &str) -> Listed {
    let [name, version, arch, source] = [name, version, arch, source].map(str::to_owned);
    Listed { name, version, arch, source }
}

pub(super) async fn a_repositorys_packages_are_replaced_whole(s: Store) {
    let (one, other): (RepositoryName, RepositoryName) = (name("one"), name("other"));
    assert_eq!(s.published(&one).await.expect("an answer"), []);
    let many: Vec<_> =
        (0..2500).map(|n| listed(&format!("p{n:04}"), "1:2~3", "amd64", "p")).collect();
    let twice: Vec<_> = many.iter().rev().chain(&many[..3]).cloned().collect();
    s.put_published(&one, &twice).await.expect("put");
    assert_eq!(s.published(&one).await.expect("an answer"), many, "in order, each once");
    s.put_published(&other, &[listed("x", "1", "all", "x")]).await.expect("put");
    let few = [listed("p0007", "1:2~3", "amd64", "p"), listed("p0007", "2", "amd64", "q")];
    s.put_published(&one, &few).await.expect("put");
    assert_eq!(s.published(&one).await.expect("an answer"), few);
    assert_eq!(s.published(&other).await.expect("an answer").len(), 1, "the other's stay");
    s.put_published(&one, &[]).await.expect("put");
    assert_eq!(s.published(&one).await.expect("an answer"), []);
}

pub(super) async fn published_names_are_found_by_name(s: Store) {
    let one: RepositoryName = name("one");
    let all = [
        listed("x", "1", "amd64", "a"),
        listed("x", "1", "arm64", "b"),
        listed("x", "1", "source", "x"),
        listed("xy", "1", "amd64", "a"),
    ];
    s.put_published(&one, &all).await.expect("put");
    let asked = ["x".to_owned(), "z'\"".to_owned()];
    let found = s.published_names(&one, &asked).await.expect("an answer");
    assert_eq!(found, all[..2]);
    assert_eq!(s.published_names(&name("other"), &asked).await.expect("an answer"), []);
    assert_eq!(s.published_names(&one, &[]).await.expect("an answer"), []);
}
