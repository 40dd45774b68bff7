//! An apt of the test's own, which knows one repository and nothing of the machine's.

use std::path::Path;
use std::process::{Command, Output};

/// An apt with directories of its own.
#[derive(Debug)]
pub(crate) struct Apt {
    root: tempfile::TempDir,
}

impl Apt {
    /// Knows the suite `bookworm` of the repository at `url`, signed by `key`.
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let apt = Self { root: tempfile::tempdir().unwrap() };
        let root = apt.path();
        for dir in [
            "etc/apt",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
        ] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
        std::fs::write(root.join("key.asc"), key).unwrap();
        let line = format!("deb [signed-by={}/key.asc] {url} bookworm main\n", root.display());
        std::fs::write(root.join("etc/apt/sources.list"), line).unwrap();
        apt
    }

    /// Its directory, which downloads go to.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Runs `apt-get`; an index that cannot be fetched or is not signed is a failure.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let root = self.path();
        let options = [
            format!("Dir={}", root.display()),
            format!("Dir::State::status={}/var/lib/dpkg/status", root.display()),
            "Dir::Etc::parts=/dev/null".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
        ];
        let mut apt = Command::new("apt-get");
        for option in &options {
            apt.args(["-o", option]);
        }
        apt.args(words).current_dir(root).env("LC_ALL", "C").output().unwrap()
    }
}
