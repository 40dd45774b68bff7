//! A binary package's name belongs to its source: apt repositories.

use pybit_core::owners::{NameFacts, NoPolicy, conflicts};
use pybit_core::publish::{PublishSet, Publisher};

use crate::fixture::{Bookworm, Fixture, assert_refused, listed, outcome, publish, rejection, set};

/// A set of the source `source` with one package: its name, version and architecture, more fields, and the ending of its file.
fn one(
    fixture: &Fixture,
    source: &str,
    package: [&str; 3],
    more: &str,
    ending: &str,
) -> PublishSet {
    let [name, version, arch] = package;
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {arch}\nSource: {source} (1.0)\nSection: devel\n\
         Priority: optional\n{more}"
    );
    let deb = fixture.deb(&control, source, &format!("{name}_{version}_{arch}.{ending}"));
    set(source, "1.0", &[deb], &[])
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_name_of_another_source_is_refused_on_every_architecture_and_as_an_installer_package()
{
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &one(&fixture, "sec-base", ["sec-base", "1.0", "amd64"], "", "deb")).await;
    let words =
        ["sec-base belongs to the source sec-base in this repository", "sec-hijack may not"];
    for (arch, ending) in [("amd64", "deb"), ("all", "deb"), ("arm64", "deb"), ("amd64", "udeb")] {
        let hijack = one(&fixture, "sec-hijack", ["sec-base", "99.0", arch], "", ending);
        assert_refused(outcome(&repository, &hijack, &NoPolicy).await, &words);
    }
    let lower = one(&fixture, "sec-hijack", ["sec-base", "0.1", "arm64"], "", "deb");
    assert_refused(outcome(&repository, &lower, &NoPolicy).await, &words);
    let udeb = one(&fixture, "sec-base", ["sec-udeb", "1.0", "amd64"], "", "udeb");
    publish(&repository, &udeb).await;
    let hijack = one(&fixture, "sec-hijack", ["sec-udeb", "2.0", "arm64"], "", "udeb");
    assert_refused(
        outcome(&repository, &hijack, &NoPolicy).await,
        &["sec-udeb belongs to", "sec-hijack"],
    );
    // A source package's name is nobody's.
    publish(&repository, &fixture.build("sec-udeb", "1.0")).await;
    assert_eq!(fixture.current(), "000004");
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_name_of_the_base_distribution_is_refused_unless_an_operator_allows_the_move() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let make = one(&fixture, "sec-make", ["make", "99:1.0", "amd64"], "", "deb");
    let words =
        ["make belongs to the source make-dfsg of Debian bookworm", "sec-make may not publish"];
    assert_refused(outcome(&repository, &make, &Bookworm::default()).await, &words);
    let wrong = Bookworm(vec![("make", "make-dfsg", "other"), ("make2", "make-dfsg", "sec-make")]);
    assert_refused(outcome(&repository, &make, &wrong).await, &words);
    let rebuilt = one(&fixture, "make-dfsg", ["make", "4.3-4.1+farm1", "arm64"], "", "deb");
    outcome(&repository, &rebuilt, &Bookworm::default()).await.unwrap();
    let moved = Bookworm(vec![("make", "make-dfsg", "sec-make")]);
    outcome(&repository, &make, &moved).await.unwrap();
    let again = one(&fixture, "sec-make", ["make", "99:1.1", "amd64"], "", "deb");
    outcome(&repository, &again, &Bookworm::default()).await.unwrap();
    let both = repository.list().await.unwrap();
    let told = conflicts(&both, &NameFacts::default());
    assert_eq!(told[0].to_string(), "make comes from make-dfsg and sec-make in this repository");
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_package_that_takes_the_place_of_anothers_is_refused_and_a_virtual_one_is_not() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &one(&fixture, "sec-base", ["sec-base", "1.0", "amd64"], "", "deb")).await;
    let evil = |more: &str| one(&fixture, "evil", ["evil", "1.0", "amd64"], more, "deb");
    for (more, words) in [
        (
            "Provides: sec-base (= 99)\nReplaces: sec-base\nConflicts: sec-base\n",
            ["evil would take the place of sec-base", "the source sec-base in this repository"],
        ),
        (
            "Provides: x, make\nBreaks: make (<< 99)\n",
            ["place of make", "make-dfsg of Debian bookworm"],
        ),
    ] {
        assert_refused(outcome(&repository, &evil(more), &Bookworm::default()).await, &words);
    }
    let moved = Bookworm(vec![("make", "make-dfsg", "evil")]);
    let replaces = one(
        &fixture,
        "evil",
        ["evil-make", "1.0", "all"],
        "Provides: make\nReplaces: make\n",
        "deb",
    );
    outcome(&repository, &replaces, &moved).await.unwrap();
    let free = "Provides: make, mail-transport-agent\nConflicts: mail-transport-agent, sec-base\n";
    outcome(&repository, &evil(free), &Bookworm::default()).await.unwrap();
    let own = "Provides: sec-base\nReplaces: sec-base\nBreaks: sec-base (<< 2)\n";
    let renamed = one(&fixture, "sec-base", ["sec-next", "1.0", "amd64"], own, "deb");
    outcome(&repository, &renamed, &Bookworm::default()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_an_essential_package_of_no_source_of_the_base_distribution_is_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    for field in ["Essential", "Protected", "Important"] {
        let evil = one(&fixture, "evil", ["evil", "1.0", "all"], &format!("{field}: yes\n"), "deb");
        let words = [field, "evil of the source evil", "does not have it"];
        assert_refused(outcome(&repository, &evil, &Bookworm::default()).await, &words);
    }
    let essential =
        |source| one(&fixture, source, [source, "1.0", "all"], "Essential: yes\n", "deb");
    let allowed = Bookworm(vec![("ours", "ours", "ours")]);
    outcome(&repository, &essential("ours"), &allowed).await.unwrap();
    outcome(&repository, &essential("alone"), &NoPolicy).await.unwrap();
    assert_eq!(listed(&repository).await, ["alone 1.0 all", "ours 1.0 all"]);
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_hijacked_name_is_taken_back_and_its_owners_next_build_goes_in() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let base = |version: &str| {
        let control = format!(
            "Package: sec-base\nVersion: {version}\nArchitecture: all\nSection: a\nPriority: optional\n"
        );
        let deb = fixture.deb(&control, "base", &format!("sec-base_{version}_all.deb"));
        set("sec-base", version, &[deb], &[])
    };
    publish(&repository, &base("1.0")).await;
    let hijack = one(&fixture, "sec-hijack", ["sec-base", "99.0", "all"], "", "deb");
    // It is there already, as from a version of pybit that did not know owners.
    let lax = Bookworm(vec![("sec-base", "sec-base", "sec-hijack")]);
    outcome(&repository, &hijack, &lax).await.unwrap();
    let why = rejection(&repository, &base("1.1")).await;
    assert!(why.contains("sec-base belongs to the source sec-hijack"), "{why}");

    let mut wanted = crate::fixture::removal("sec-hijack", None);
    wanted.dry_run = true;
    let before = fixture.current();
    let would: Vec<_> = repository.remove(&wanted).await.unwrap();
    assert_eq!((would[0].name.as_str(), would[0].source.as_str()), ("sec-base", "sec-hijack"));
    assert_eq!(fixture.current(), before, "a dry run changes nothing");
    wanted.dry_run = false;
    assert_eq!(repository.remove(&wanted).await.unwrap(), would);
    assert!(listed(&repository).await.is_empty());
    publish(&repository, &base("1.1")).await;
    assert_eq!(listed(&repository).await, ["sec-base 1.1 all"]);
    assert_refused(
        outcome(&repository, &hijack, &NoPolicy).await,
        &["belongs to the source sec-base"],
    );
    let other = fixture.deb(
        "Package: sec-base\nVersion: 99.0\nArchitecture: all\nSection: a\nPriority: optional\n",
        "other",
        "sec-base_99.0_all.deb",
    );
    let why = rejection(&repository, &set("sec-base", "99.0", &[other], &[])).await;
    assert!(why.contains("had sec-base 99.0 before, with other bytes"), "{why}");
}
