//! The names of an rpm distribution, from repositories that `createrepo_c` and `gpg` make.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pybit_backends::archive::{ArchiveNames, NamesConfig, RpmArchive, Unavailable};
use pybit_backends::rpm::RpmFormat;
use pybit_core::base::{BaseIndex, BaseSuite};
use pybit_core::model::{Grant, Role};
use pybit_core::{ErrorKind, Policy};
use url::Url;

use crate::made::{Archive, exec, run, sha256_of};
use crate::{described, farm_of, granted, status};

const KEY: &str = "archive@example.org";

fn suite() -> BaseSuite {
    BaseSuite {
        dist: "Fedora".parse().unwrap(),
        suite: "f40".parse().unwrap(),
        format: "rpm".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    }
}

/// A repository of binary packages and one of their source, with `make` and its package `make-devel`.
struct Distribution {
    archive: Archive,
}

impl Distribution {
    fn new() -> Self {
        let archive = Archive::new();
        archive.gpg(&["--armor", "--output", "key.asc", "--export", KEY]);
        let distribution = Self { archive };
        for dir in ["bin", "src"] {
            fs::create_dir(distribution.at(dir)).unwrap();
        }
        let spec = "Name: make\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: MIT\nProvides: make-virtual\nBuildArch: noarch\n\
            %description\nd\n%package devel\nSummary: s\n%description devel\nd\n%files\n%files devel\n";
        fs::write(distribution.at("make.spec"), spec).unwrap();
        let define =
            |name: &str, dir: &str| format!("--define={name} {}", distribution.at(dir).display());
        let defines =
            [define("_topdir", "top"), define("_rpmdir", "bin"), define("_srcrpmdir", "src")];
        let mut argv = vec!["rpmbuild", "-ba", "--quiet"];
        argv.extend(defines.iter().map(String::as_str));
        argv.push("make.spec");
        run(&argv, distribution.archive.dir.path());
        distribution.index("bin", &["--revision=100"]);
        distribution.index("src", &["--revision=100"]);
        distribution
    }

    fn at(&self, name: &str) -> PathBuf {
        self.archive.dir.path().join(name)
    }

    fn index(&self, dir: &str, args: &[&str]) {
        run(&[&["createrepo_c", "--quiet"], args, &[dir]].concat(), self.archive.dir.path());
        self.sign(dir, KEY);
    }

    fn sign(&self, dir: &str, key: &str) {
        let file = format!("{dir}/repodata/repomd.xml");
        self.archive.gpg(&["--local-user", key, "--armor", "--detach-sign", &file]);
    }

    fn config(&self) -> NamesConfig {
        let url = |dir: &str| Url::from_directory_path(self.at(dir)).unwrap();
        let archive = RpmArchive {
            repositories: vec![url("bin")],
            sources: vec![url("src")],
            key: Some(self.at("key.asc")),
            unsigned: false,
        };
        let rpm = [("f40".parse().unwrap(), archive)].into();
        NamesConfig { rpm, ..NamesConfig::default() }
    }

    fn names(&self, config: NamesConfig) -> ArchiveNames {
        let names = ArchiveNames::new(config, self.at("names"), None, exec());
        names.with_clock(Arc::clone(&self.archive.clock) as _)
    }

    fn source(&self) -> Vec<u8> {
        fs::read(self.at("src/make-1.0-1.src.rpm")).unwrap()
    }
}

async fn owner(names: &dyn BaseIndex, binary: &str) -> Option<String> {
    let s = suite();
    let found = names.owners(&s.dist, &s.suite, &s.format, &[binary.to_owned()]).await.unwrap();
    found.get(binary).map(|owner| format!("{} {}", owner.distribution, owner.source))
}

async fn is_known(names: &ArchiveNames) {
    assert_eq!(owner(names, "make-devel").await.unwrap(), "Fedora f40 make");
}

#[tokio::test]
#[ignore = "needs rpmbuild, createrepo_c, gpg and gpgv"]
async fn a_signed_rpm_index_is_read_and_whatever_is_not_signed_leaves_it_as_it_was() {
    let distribution = Distribution::new();
    let names = distribution.names(distribution.config());
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 1, "{:?}", names.status());
    is_known(&names).await;
    assert_eq!(owner(&names, "make-virtual").await, None);
    let s = suite();
    let make = "make".parse().unwrap();
    let known = names.source(&s.dist, &s.suite, &s.format, &make).await.unwrap();
    let found: Vec<_> = known.iter().map(|k| (k.version.as_str(), k.sha256.clone())).collect();
    assert_eq!(found, [("1.0-1", Some(sha256_of(&distribution.source())))]);
    let first = status(&names);
    assert_eq!((first.names, first.sources, &first.error), (2, 1, &None));
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0, "it is fresh");

    let repomd = distribution.at("bin/repodata/repomd.xml");
    let signature = distribution.at("bin/repodata/repomd.xml.asc");
    let whole = fs::read_to_string(&repomd).unwrap();
    let refused = async |what: &str| {
        distribution.archive.clock.advance(Duration::from_hours(13));
        assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0, "{what}");
        let told = status(&names);
        assert_eq!(told.fetched_at, first.fetched_at, "{what}");
        let error = told.error.unwrap_or_else(|| panic!("nothing is told of {what}"));
        assert!(error.contains("Fedora f40"), "{error}");
        is_known(&names).await;
        error
    };
    fs::write(&repomd, whole.replace("100", "101")).unwrap();
    assert!(refused("a changed repomd.xml").await.contains("not the text that was signed"));
    // A text that is signed by the right key, in the signature's place.
    fs::write(distribution.at("other"), "other").unwrap();
    let out = ["--local-user", KEY, "--armor", "--output", "bin/repodata/repomd.xml.asc"];
    distribution.archive.gpg(&[&out[..], &["--sign", "other"]].concat());
    refused("a signed message instead of a signature").await;
    distribution.archive.make_key("stranger@example.org");
    distribution.sign("bin", "stranger@example.org");
    assert!(refused("a stranger's signature").await.contains("not in the key file"));
    fs::remove_file(&signature).unwrap();
    refused("no signature").await;
    distribution.index("bin", &["--revision=99"]);
    assert!(refused("an older state").await.contains("revision"));
    distribution.index("bin", &["--revision=101"]);
    let mut files = fs::read_dir(distribution.at("bin/repodata")).unwrap();
    let is_primary = |path: &PathBuf| path.to_string_lossy().contains("primary.xml");
    let primary = files.find_map(|e| Some(e.unwrap().path()).filter(is_primary)).unwrap();
    let good = fs::read(&primary).unwrap();
    fs::write(&primary, "<metadata></metadata>").unwrap();
    assert!(refused("a changed primary.xml").await.contains("SHA-256"));
    fs::write(&primary, good).unwrap();

    // A server that is started anew has the old index, too.
    let anew = distribution.names(distribution.config());
    anew.refresh(&[suite()]).await.unwrap();
    is_known(&anew).await;
    assert_eq!(status(&anew).error, None, "and the new one is good");
}

#[tokio::test]
#[ignore = "needs rpmbuild, createrepo_c, gpg and gpgv"]
async fn a_bomb_of_an_rpm_index_is_refused_and_an_unsigned_one_is_read_where_that_is_said() {
    let distribution = Distribution::new();
    let mut config = distribution.config();
    let archive = config.rpm.values_mut().next().unwrap();
    (archive.key, archive.unsigned) = (None, true);
    fs::remove_file(distribution.at("bin/repodata/repomd.xml.asc")).unwrap();
    fs::remove_file(distribution.at("src/repodata/repomd.xml.asc")).unwrap();
    let names = distribution.names(config);
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 1, "{:?}", names.status());
    is_known(&names).await;

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"<metadata>").unwrap();
    for _ in 0..64 {
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = packed.finish().unwrap();
    fs::write(distribution.at("bin/repodata/primary.xml.gz"), &bomb).unwrap();
    let repomd = format!(
        "<repomd><revision>200</revision><data type=\"primary\"><checksum type=\"sha256\">{}</checksum>\
         <location href=\"repodata/primary.xml.gz\"/></data></repomd>",
        sha256_of(&bomb)
    );
    fs::write(distribution.at("bin/repodata/repomd.xml"), repomd).unwrap();
    distribution.archive.clock.advance(Duration::from_hours(13));
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0);
    assert!(status(&names).error.is_some_and(|e| e.contains("too long") || e.contains("longer")));
    is_known(&names).await;
}

/// A description of a source package, and the file of that name.
fn srpm(package: &str, version: &str, binary: &str, bytes: &[u8]) -> (String, String, String) {
    let file = format!("{package}-{version}.src.rpm");
    let text = format!(
        "Source: {package}\nVersion: {version}\nBuildArch: any\nPackages: {binary}\nChecksums-Sha256:\n {} {} {file}\n",
        sha256_of(bytes),
        bytes.len()
    );
    (format!("{package}-{version}.srpm-info"), text, file)
}

#[tokio::test]
#[ignore = "needs rpmbuild, createrepo_c, gpg and gpgv"]
async fn a_name_of_an_rpm_distribution_is_for_its_own_bytes_and_for_principals_with_a_grant() {
    let distribution = Distribution::new();
    let own = distribution.source();
    let mut config = distribution.config();
    for sources in [true, false] {
        let archive = config.rpm.values_mut().next().unwrap();
        if !sources {
            archive.sources.clear();
        }
        let names = distribution.names(config.clone());
        let format = Arc::new(RpmFormat::new());
        let (farm, _) = farm_of(names, Policy::default(), suite(), format).await;
        assert_eq!(farm.refresh_base().await.unwrap(), 1, "{:?}", farm.base().unwrap().status());
        let submit = async |who, package: &str, version: &str, binary: &str, bytes: &[u8]| {
            let (main, text, file) = srpm(package, version, binary, bytes);
            described(&farm, who, (&main, &text), (&file, bytes)).await
        };
        // Without a repository of sources no bytes are the distribution's own.
        let taken = submit(granted(&[]), "make", "1.0-1", "make", &own).await;
        assert_eq!(taken.is_ok(), sources, "{taken:?}");
        let error = submit(granted(&[]), "make", "99-1", "make", b"other").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "name_of_distribution"));
        let told = "make is a source package of Fedora f40 (there in version 1.0-1)";
        assert!(error.message().starts_with(told), "{error}");
        for who in [granted(&["make@f40"]), Grant::of(Role::Admin)] {
            assert_eq!(submit(who, "make", "99-1", "make", b"other").await.unwrap().len(), 1);
        }
        submit(granted(&[]), "innocent", "1-1", "innocent", b"x").await.unwrap();
        let error = submit(granted(&["*"]), "evil", "1-1", "make-devel", b"x").await.unwrap_err();
        assert_eq!(error.code(), "name_owned");
    }
}

#[tokio::test]
#[ignore = "needs rpmbuild, createrepo_c, gpg and gpgv"]
async fn without_an_rpm_index_names_are_free_or_submissions_wait_as_configured() {
    let distribution = Distribution::new();
    fs::remove_file(distribution.at("bin/repodata/repomd.xml.asc")).unwrap();
    for unavailable in [Unavailable::Allow, Unavailable::Refuse] {
        let names = distribution.names(NamesConfig { unavailable, ..distribution.config() });
        let format = Arc::new(RpmFormat::new());
        let (farm, _) = farm_of(names, Policy::default(), suite(), format).await;
        assert_eq!(farm.refresh_base().await.unwrap(), 0);
        let (main, text, file) = srpm("make", "99-1", "make", b"other");
        let taken = described(&farm, granted(&[]), (&main, &text), (&file, b"other")).await;
        match unavailable {
            Unavailable::Allow => assert_eq!(taken.unwrap().len(), 1),
            Unavailable::Refuse => assert_eq!(taken.unwrap_err().code(), "names_unavailable"),
        }
    }
}
