//! A package's name belongs to its source: RPM repositories.

use pybit_core::owners::NoPolicy;
use pybit_core::publish::PublishSet;

use crate::fixture::{Bookworm, assert_refused, outcome};
use crate::rpm::Fixture;

/// A set of the source `source` with one package called `name`; `more` stands in its head.
fn one(fixture: &Fixture, source: &str, name: &str, version: &str, more: &str) -> PublishSet {
    let spec = format!(
        "Name: {source}\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n\
         %package -n {name}\nSummary: s\n{more}\n%description -n {name}\nd\n%files -n {name}\n"
    );
    fixture.build_spec(source, version, &spec)
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_a_name_of_another_source_or_of_the_base_distribution_is_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    outcome(&repository, &fixture.build("sec-base", "1.0", "one"), &NoPolicy).await.unwrap();
    for name in ["sec-base", "sec-base-doc"] {
        let hijack = one(&fixture, "sec-hijack", name, "99.0", "");
        let owner = format!("{name} belongs to the source sec-base in this repository");
        assert_refused(
            outcome(&repository, &hijack, &NoPolicy).await,
            &[&owner, "sec-hijack may not"],
        );
    }
    let make = one(&fixture, "sec-make", "make", "99.0", "");
    let refused = outcome(&repository, &make, &Bookworm::default()).await;
    assert_refused(
        refused,
        &["make belongs to the source make-dfsg of Debian bookworm", "sec-make"],
    );
    let moved = Bookworm(vec![("make", "make-dfsg", "sec-make")]);
    outcome(&repository, &make, &moved).await.unwrap();
    outcome(&repository, &fixture.build("sec-base", "1.1", "one"), &NoPolicy).await.unwrap();
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_a_package_that_obsoletes_or_provides_anothers_is_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    outcome(&repository, &fixture.build("sec-base", "1.0", "one"), &NoPolicy).await.unwrap();
    for (more, field, owner) in [
        ("Obsoletes: sec-base", "Obsoletes", "sec-base in this repository"),
        ("Obsoletes: sec-base-doc < 99", "Obsoletes", "sec-base in this repository"),
        ("Provides: sec-base = 99", "Provides", "sec-base in this repository"),
        ("Provides: sec-base(x86-64) = 99", "Provides", "sec-base in this repository"),
        ("Provides: make", "Provides", "make-dfsg of Debian bookworm"),
        ("Obsoletes: make < 99", "Obsoletes", "make-dfsg of Debian bookworm"),
    ] {
        let evil = one(&fixture, "evil", "evil-x", "1.0", more);
        let words = ["evil-x would take the place of", field, owner, "evil may not replace it"];
        assert_refused(outcome(&repository, &evil, &Bookworm::default()).await, &words);
    }
    let free = "Provides: evil-x = 3\nProvides: perl(make)\nProvides: webserver\nObsoletes: evil-x-old < 2";
    let fine = one(&fixture, "evil", "evil-x", "1.0", free);
    outcome(&repository, &fine, &Bookworm::default()).await.unwrap();
    let own = "Obsoletes: sec-base < 2\nProvides: sec-base = 2";
    let renamed = one(&fixture, "sec-base", "sec-next", "1.1", own);
    outcome(&repository, &renamed, &Bookworm::default()).await.unwrap();
}
