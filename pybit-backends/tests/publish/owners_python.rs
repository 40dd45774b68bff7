//! A project's name belongs to its source: Python indices.

use pybit_core::owners::NoPolicy;

use crate::fixture::{Bookworm, assert_refused, outcome};
use crate::python::Fixture;

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_a_project_of_the_base_distribution_is_refused_unless_an_operator_allows_the_move() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let words = ["make belongs to the source make-dfsg of Debian bookworm", "make may not publish"];
    let built = fixture.build("make", "1.0", "one");
    assert_refused(outcome(&repository, &built, &Bookworm::default()).await, &words);
    let mut sdist = built.clone();
    sdist.files.clear();
    assert_refused(outcome(&repository, &sdist, &Bookworm::default()).await, &words);
    let moved = Bookworm(vec![("make", "make-dfsg", "make")]);
    outcome(&repository, &built, &moved).await.unwrap();
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_a_distribution_that_stands_for_anothers_project_is_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    outcome(&repository, &fixture.build("sec-base", "1.0", "one"), &NoPolicy).await.unwrap();
    for (more, field, owner) in [
        ("Provides-Dist: Sec_Base (99)\n", "Provides-Dist", "sec-base in this repository"),
        (
            "Provides-Dist: x\nObsoletes-Dist: sec.base; python_version > '3'\n",
            "Obsoletes-Dist",
            "sec-base in this",
        ),
        ("Obsoletes-Dist: make\n", "Obsoletes-Dist", "make-dfsg of Debian bookworm"),
    ] {
        let evil = fixture.build_saying("evil", "1.0", ["any", "one", more]);
        let words = ["evil would take the place of", field, owner];
        assert_refused(outcome(&repository, &evil, &Bookworm::default()).await, &words);
    }
    let fine = "Provides-Dist: evil\nObsoletes-Dist: nobodys\n";
    let fine = fixture.build_saying("evil", "1.0", ["any", "one", fine]);
    outcome(&repository, &fine, &Bookworm::default()).await.unwrap();
}
