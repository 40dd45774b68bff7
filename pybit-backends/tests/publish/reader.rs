//! How a repository is read: by apt, and by a reader that looks at every moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use crate::fixture::{must, run, sha256};

/// A private apt that knows one repository.
pub(crate) struct Apt {
    root: TempDir,
    options: Vec<String>,
}

impl Apt {
    /// Reads `suite_name` of the repository at `site`, and trusts `key`.
    pub(crate) fn new(site: &Path, suite_name: &str, key: &str) -> Self {
        Self::with(site, &format!("{suite_name} main"), key)
    }

    /// Reads a suite and components of the repository at `site`, and trusts `key`.
    pub(crate) fn with(site: &Path, suite_and_components: &str, key: &str) -> Self {
        let root = tempfile::Builder::new().prefix("pybit-apt-").tempdir().unwrap();
        let top = root.path();
        for dir in
            ["etc/parts", "etc/prefs", "state/lists/partial", "cache/archives/partial", "out"]
        {
            fs::create_dir_all(top.join(dir)).unwrap();
        }
        fs::write(top.join("key.asc"), key).unwrap();
        fs::write(top.join("status"), "").unwrap();
        let by = format!("[signed-by={}]", top.join("key.asc").display());
        let at = format!("copy:{} {suite_and_components}", site.display());
        fs::write(top.join("etc/sources.list"), format!("deb {by} {at}\ndeb-src {by} {at}\n"))
            .unwrap();
        let path = |p: &str| top.join(p).display().to_string();
        let options = [
            format!("Dir::Etc={}", path("etc")),
            format!("Dir::Etc::SourceList={}", path("etc/sources.list")),
            format!("Dir::Etc::SourceParts={}", path("etc/parts")),
            format!("Dir::Etc::Parts={}", path("etc/prefs")),
            format!("Dir::Etc::Preferences={}", path("etc/none")),
            format!("Dir::Etc::PreferencesParts={}", path("etc/prefs")),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            "Dir::Bin::dpkg=/usr/bin/dpkg".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
        ];
        Self { root, options: options.to_vec() }
    }

    /// Reads something else from now on.
    pub(crate) fn set_sources(&self, text: &str) {
        fs::write(self.root.path().join("etc/sources.list"), text).unwrap();
    }

    /// Runs `apt-cache`; what it says.
    pub(crate) fn cache(&self, args: &[&str]) -> String {
        self.run("apt-cache", args)
    }

    /// Runs `apt list` with a pattern (`apt-patterns(7)`); what it says.
    pub(crate) fn list(&self, pattern: &str) -> String {
        self.run("apt", &["list", pattern])
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = self.argv(args);
        command[0] = program;
        must(&command, self.root.path())
    }

    fn argv<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let mut argv = vec!["apt-get", "-q", "-o", "APT::Update::Error-Mode=any"];
        argv.extend(self.options.iter().flat_map(|o| ["-o", o.as_str()]));
        argv.extend(command);
        argv
    }

    /// Runs `apt-get`, which must succeed; the directory that it loads files into.
    pub(crate) fn get(&self, args: &[&str]) -> PathBuf {
        let out = self.root.path().join("out");
        must(&self.argv(args), &out);
        out
    }

    /// Runs `apt-get`, which must fail; what it says.
    pub(crate) fn fail(&self, args: &[&str]) -> String {
        let output = run(&self.argv(args), self.root.path());
        assert!(!output.status.success(), "{args:?} went well");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// The indices that an `InRelease` names: path and SHA-256.
pub(crate) fn indices(release: &str) -> Vec<(String, String)> {
    let lines = release.lines().skip_while(|l| *l != "SHA256:").skip(1);
    lines
        .take_while(|l| l.starts_with(' '))
        .map(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            (words[2].to_owned(), words[0].to_owned())
        })
        .collect()
}

/// Reads everything that an `InRelease` names, as apt does: each index by its hash, each file of it by its path. Returns
/// the number of packages; says what is missing or wrong.
pub(crate) fn read_all(site: &Path, release: &str) -> Result<usize, String> {
    let dist = site.join("dists/bookworm");
    let (mut packages, named) = (0, indices(release));
    if named.is_empty() {
        return Err("InRelease names no index".into());
    }
    for (path, hash) in named {
        let dir = dist.join(&path).parent().unwrap().join("by-hash/SHA256");
        let bytes = fs::read(dir.join(&hash)).map_err(|e| format!("{path} by {hash}: {e}"))?;
        if sha256(&bytes) != hash {
            return Err(format!("{path}: other bytes than InRelease says"));
        }
        if path.ends_with("/Packages") {
            packages += read_packages(site, &String::from_utf8_lossy(&bytes))?;
        }
    }
    Ok(packages)
}

fn read_packages(site: &Path, text: &str) -> Result<usize, String> {
    let field = |paragraph: &str, name: &str| -> String {
        let line = paragraph.lines().find_map(|l| l.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {paragraph}")).trim().to_owned()
    };
    let paragraphs = text.split("\n\n").filter(|p| !p.trim().is_empty());
    let mut count = 0;
    for paragraph in paragraphs {
        let (path, hash) = (field(paragraph, "Filename:"), field(paragraph, "SHA256:"));
        let bytes = fs::read(site.join(&path)).map_err(|e| format!("{path}: {e}"))?;
        if sha256(&bytes) != hash {
            return Err(format!("{path}: other bytes than Packages says"));
        }
        count += 1;
    }
    Ok(count)
}

/// A thread that reads a repository again and again until it is stopped.
pub(crate) struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<Vec<usize>>,
}

impl Watcher {
    pub(crate) fn start(site: PathBuf) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let (mut seen, mut counts) = (BTreeSet::new(), Vec::new());
            let pause = Duration::from_millis(3);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let release = fs::read_to_string(site.join("dists/bookworm/InRelease")).unwrap();
                let signature = "-----END PGP SIGNATURE-----\n";
                assert!(release.ends_with(signature), "InRelease is cut off");
                let count = read_all(&site, &release).unwrap_or_else(|e| panic!("{e}"));
                if seen.insert(release) {
                    counts.push(count);
                }
            }
            counts
        });
        Self { stop, thread }
    }

    /// The numbers of packages in each state that it saw, in order; fails where it saw a half.
    pub(crate) fn stop(self) -> Vec<usize> {
        drop(self.stop);
        self.thread.join().expect("the reader saw half a state")
    }
}
