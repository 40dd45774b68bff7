//! A project's name belongs to its source: Python indices.

use std::path::PathBuf;

use pybit_core::model::FileSpec;
use pybit_core::owners::NoPolicy;
use pybit_core::publish::{PublishSet, Publisher};

use crate::fixture::{Bookworm, assert_refused, outcome, set};
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

/// The files of `built` under the names that the other project's files would have.
fn renamed(built: &PublishSet, from: &str, to: &str) -> Vec<PathBuf> {
    let all = built.files.iter().chain(&built.source_files);
    let copy = |(spec, path): &(FileSpec, PathBuf)| {
        let copy = path.with_file_name(spec.name.as_str().replacen(from, to, 1));
        std::fs::copy(path, &copy).unwrap();
        copy
    };
    all.map(copy).collect()
}

/// A name that is spelled otherwise, a file of one project with the metadata of another, and a source distribution beside a wheel of
/// another project.
#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_no_spelling_file_name_or_metadata_makes_anothers_project_ones_own() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    outcome(&repository, &fixture.build("sec-base", "1.0", "one"), &NoPolicy).await.unwrap();
    let refused = async |files: &[PathBuf], words: &[&str]| {
        for file in files {
            let alone = set("evil", "99.0", std::slice::from_ref(file), &[]);
            assert_refused(outcome(&repository, &alone, &NoPolicy).await, words);
        }
    };
    for name in ["sec-base", "Sec_Base", "SEC.BASE", "sec--base"] {
        let built = fixture.build(name, "99.0", "two");
        let files: Vec<_> = built.files.iter().chain(&built.source_files).collect();
        let files: Vec<_> = files.into_iter().map(|(_, path)| path.clone()).collect();
        refused(&files, &[&format!("is of {name} 99.0, but the set is of evil 99.0")]).await;
    }
    let theirs = renamed(&fixture.build("sec-base", "99.0", "three"), "sec_base", "evil");
    refused(&theirs, &["evil-99.0", "sec-base 99.0"]).await;
    let ours = renamed(&fixture.build("evil", "99.0", "three"), "evil", "sec_base");
    refused(&ours, &["sec_base-99.0"]).await;
    // A wheel of one's own does not bring another project's source distribution with it.
    let (mut mixed, other) =
        (fixture.build("evil", "99.0", "one"), fixture.build("sec-base", "99.0", "one"));
    mixed.source_files = other.source_files;
    let words = ["is of sec-base 99.0, but the set is of evil 99.0"];
    assert_refused(outcome(&repository, &mixed, &NoPolicy).await, &words);
    let held: Vec<_> = repository.list().await.unwrap();
    assert!(held.iter().all(|p| (&*p.source, &*p.version) == ("sec-base", "1.0")), "{held:?}");
}
