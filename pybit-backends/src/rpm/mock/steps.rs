//! The commands of builds in mock: argument vectors on the machine, of which mock does the rest.
//!
//! What the package's authors wrote is read and run in mock's root alone, as its unprivileged user. Two of mock's own habits are worked
//! around: `--copyin` follows symbolic links as the machine's root, so a tree goes in as one tar file; and `--copyout` would follow a directory that a
//! build has exchanged for a link, so results are taken from a directory whose parent is the root's own root's.

use pybit_core::format::{BuildContext, Place, Step, Surroundings};
use pybit_core::{Error, Result};

use super::super::steps::{DESCRIBE_SOURCE, MAKE_SRPM, describe, step, text};
use crate::build_repository::checked_url;

/// Packs a tree and scripts into a directory.
const PACK: &str = include_str!("pack.py");
/// Fetches and verifies the farm's own repository.
const MIRROR: &str = include_str!("mirror.py");

/// What the scripts of a source build need, which Fedora's smallest root lacks.
const TOOLS: [&str; 3] = ["/usr/bin/perl", "perl(Cwd)", "perl(Fcntl)"];
/// The options that mock gives its package manager unless somebody says others: said again, because a list of ours takes their place.
const MANAGER_OPTIONS: [&str; 3] =
    ["--setopt=deltarpm=False", "--setopt=allow_vendor_change=yes", "--allowerasing"];
/// The priority of the farm's repository, behind the distribution's 99: of several packages that close a relation, dnf takes one of the first
/// repository that has any, whatever their versions are.
const BEHIND: u32 = 1000;
/// Where a source build happens in the root.
const INSIDE: &str = "/pybit";
const WORK: &str = "/pybit/work";

/// A build in mock.
pub(in super::super) struct Mock<'a> {
    context: &'a BuildContext,
    output: &'a str,
    store: &'a str,
    config: &'a str,
    unique: &'a str,
}

impl<'a> Mock<'a> {
    /// The build, if it is one in mock.
    pub(in super::super) fn of(context: &'a BuildContext) -> Result<Option<Self>> {
        let Surroundings::Mock { config, unique, store } = &context.place else { return Ok(None) };
        let (output, store) = (text(&context.output)?, text(store)?);
        if output.contains(['\'', '"']) {
            return Err(Error::internal(format!(
                "the path {output} holds a quote, which mock would read"
            )));
        }
        Ok(Some(Self { context, output, store, config, unique }))
    }

    /// The commands that turn a tree into a described source package.
    pub(in super::super) fn source(&self) -> Result<Vec<Step>> {
        let bundle = format!("{}/bundle", self.output);
        let tree = text(&self.context.source)?;
        let scripts = ["make-srpm.pl", MAKE_SRPM, "describe-source.pl", DESCRIBE_SOURCE];
        let pack = [&["python3", "-I", "-c", PACK, tree, &bundle], &scripts[..]].concat();
        let inside = |name: &str| format!("{INSIDE}/{name}");
        let (tar, make, describe) =
            (inside("tree.tar"), inside("make-srpm.pl"), inside("describe-source.pl"));
        let results = ["*.src.rpm", "*.srpm-info"].map(|pattern| format!("{WORK}/{pattern}"));
        Ok(vec![
            self.machine("pack", &pack),
            self.mock("mock-init", &["--init"]),
            self.mock("mock-tools", &[&["--install"], &TOOLS[..]].concat()),
            self.mock("mock-copy-in", &["--copyin", &bundle, INSIDE]),
            self.mock("mock-room", &["--chroot", "--", "install", "-d", "-m", "1777", WORK]),
            self.unpriv("mock-unpack", &["tar", "--extract", "--no-same-owner", "--file", &tar]),
            self.unpriv("mock-source", &["perl", &make, &format!("{WORK}/tree")]),
            self.unpriv("mock-describe-source", &["perl", &describe]),
            self.mock("mock-copy-out", &["--copyout", &results[0], &results[1], self.output]),
        ])
    }

    /// The commands that build binary packages from a `.src.rpm`. mock installs its build requirements, those that `%generate_buildrequires`
    /// makes among them, and cuts the network before it runs anything of the package's.
    pub(in super::super) fn binary(&self, srpm: &str) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut words = vec!["--rebuild".to_owned(), srpm.to_owned()];
        let mut behind = Vec::new();
        for (n, repository) in self.context.repositories.iter().enumerate() {
            let to = format!("{}/repository-{n}", self.output);
            let (key, url) = (text(&repository.key)?, checked_url(repository)?);
            let arch = self.context.arch.as_str();
            let wanted = if repository.overlay { "" } else { srpm };
            let mirror = ["python3", "-I", "-c", MIRROR, self.store, &to, arch, key, url, wanted];
            steps.push(Step { network: true, ..self.machine("repository", &mirror) });
            words.push(format!("--addrepo=file://{to}"));
            if !repository.overlay {
                behind.push(format!("--setopt={}.priority={BEHIND}", repository_id(&to)));
            }
        }
        words.extend(manager_options(&behind));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        steps.push(self.mock("mock-build", &words));
        steps.push(Step { place: Place::Machine, ..describe(self.context) });
        Ok(steps)
    }

    /// A command of mock's. The network is off and the log comes to standard output, whatever the machine's own configuration says.
    fn mock(&self, phase: &'static str, words: &[&str]) -> Step {
        let (unique, results) =
            (format!("--uniqueext={}", self.unique), format!("--resultdir={}", self.output));
        let fixed = [
            "mock",
            "-r",
            self.config,
            &unique,
            &results,
            "--config-opts=rpmbuild_networking=False",
            "--config-opts=print_main_output=True",
        ];
        self.machine(phase, &[&fixed, words].concat())
    }

    /// A command in mock's root, as its unprivileged user.
    fn unpriv(&self, phase: &'static str, words: &[&str]) -> Step {
        let cwd = format!("--cwd={WORK}");
        self.mock(phase, &[&["--chroot", "--unpriv", &cwd, "--"], words].concat())
    }

    fn machine(&self, phase: &'static str, words: &[&str]) -> Step {
        Step { place: Place::Machine, ..step(self.context, phase, words) }
    }
}

/// The name that mock gives a repository of `--addrepo=file://PATH`.
fn repository_id(path: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    path.replace('/', "_").chars().filter(kept).collect()
}

/// Words of mock that give these options, too, to either of its package managers. mock makes a list of a key that is given several times.
fn manager_options(more: &[String]) -> Vec<String> {
    if more.is_empty() {
        return Vec::new();
    }
    let all = || MANAGER_OPTIONS.into_iter().chain(more.iter().map(String::as_str));
    let of = |manager: &'static str| {
        all().map(move |option| format!("--config-opts={manager}_common_opts={option}"))
    };
    ["dnf", "dnf5"].into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pybit_core::format::BuildRepository;

    use super::*;

    fn context(output: &str, source: &str) -> BuildContext {
        BuildContext {
            suite: "f40".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            env: "mock".parse().unwrap(),
            place: Surroundings::Mock {
                config: "fedora-40-x86_64".to_owned(),
                unique: "pybit-1".to_owned(),
                store: Path::new("/store").to_owned(),
            },
            source: source.into(),
            output: output.into(),
            indep: true,
            repositories: vec![BuildRepository {
                url: "http://farm/repositories/f40".to_owned(),
                suite: "f40".parse().unwrap(),
                key: "/job/keys/0.asc".into(),
                overlay: false,
            }],
        }
    }

    #[test]
    fn a_binary_build_is_one_rebuild_with_a_verified_repository_of_files() {
        let context = context("/job/output", "/job/inbox/x-1-1.srpm-info");
        let steps = super::super::super::steps::binary(&context).unwrap();
        let phases: Vec<_> = steps.iter().map(|s| (s.phase, s.network)).collect();
        assert_eq!(phases, [("repository", true), ("mock-build", false), ("describe", false)]);
        assert!(steps.iter().all(|s| s.place == Place::Machine));
        assert_eq!(
            steps[1].argv[..10],
            [
                "mock",
                "-r",
                "fedora-40-x86_64",
                "--uniqueext=pybit-1",
                "--resultdir=/job/output",
                "--config-opts=rpmbuild_networking=False",
                "--config-opts=print_main_output=True",
                "--rebuild",
                "/job/inbox/x-1-1.src.rpm",
                "--addrepo=file:///job/output/repository-0",
            ]
        );
        let behind = "_common_opts=--setopt=_job_output_repository0.priority=1000";
        for manager in ["dnf", "dnf5"] {
            let word = format!("--config-opts={manager}{behind}");
            assert!(steps[1].argv.contains(&word), "{:?}", steps[1].argv);
        }
        assert!(steps.iter().all(|s| !s.argv.iter().any(|w| w.contains("enable-network"))));
    }

    #[test]
    fn a_spec_file_is_read_in_the_root_alone_and_a_tree_goes_in_as_one_file() {
        let context = context("/job/output", "/job/source/tree");
        let steps = super::super::super::steps::source(&context).unwrap();
        for step in &steps {
            let of_the_tree = step.argv.iter().any(|w| w.starts_with("/job/source"));
            assert_eq!(of_the_tree, step.phase == "pack", "{step:?}");
            let runs = step.argv.iter().any(|w| w == "perl" || w == "tar");
            assert_eq!(runs, step.argv.iter().any(|w| w == "--unpriv"), "{step:?}");
        }
    }

    #[test]
    fn what_mock_would_take_for_a_template_is_refused() {
        for output in ["/job/{{x}}", "/job/%(x)s", "/job/o'o", "/job/o\"o", "/job/a b", "output"] {
            let context = context(output, "/job/source");
            assert!(super::super::super::steps::source(&context).is_err(), "{output}");
        }
    }
}
