//! The planned commands, run for real on this machine, from a tree to collected packages.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pybit_backends::deb::DebFormat;
use pybit_core::ErrorKind;
use pybit_core::format::{
    BuildContext, BuildRepository, Collected, Exit, PackageFormat, Place, Step, Surroundings,
};
use pybit_core::model::FailureClass;
use tempfile::TempDir;

const RULES: &str = "#!/usr/bin/make -f
build:
	cp message built
clean:
	rm -rf built debian/files debian/pkg-* debian/substvars
binary-arch: build
	mkdir -p debian/pkg-arch/DEBIAN debian/pkg-arch/usr/share/sample
	cp built debian/pkg-arch/usr/share/sample/
	dpkg-gencontrol -psample -Pdebian/pkg-arch
	dpkg-deb --root-owner-group -b debian/pkg-arch ..
binary-indep:
	mkdir -p debian/pkg-doc/DEBIAN
	dpkg-gencontrol -psample-doc -Pdebian/pkg-doc
	dpkg-deb --root-owner-group -b debian/pkg-doc ..
binary: binary-arch binary-indep
.PHONY: build clean binary binary-arch binary-indep
";

const PATCH: &str =
    "Description: sample\n--- a/message\n+++ b/message\n@@ -1 +1 @@\n-upstream\n+patched\n";

struct Sample {
    _dir: TempDir,
    tree: PathBuf,
    source_output: PathBuf,
    binary_output: PathBuf,
}

/// A tree as version control has it: patches unapplied, a binary file, no upstream tarball.
fn sample(format: &str, version: &str, build_depends: &str) -> Sample {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (tree, source_output, binary_output) = (at("checkout"), at("source"), at("binary"));
    let put = |name: &str, content: &str| {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for made in [&source_output, &binary_output] {
        fs::create_dir(made).unwrap();
    }
    put("message", "upstream\n");
    put("blob", "\0\u{1}binary");
    put(".git/config", "[core]\n");
    put("debian/source/format", &format!("{format}\n"));
    put("debian/rules", RULES);
    fs::set_permissions(tree.join("debian/rules"), fs::Permissions::from_mode(0o755)).unwrap();
    let person = "A Builder <builder@example.org>";
    put(
        "debian/changelog",
        &format!(
            "sample ({version}) unstable; urgency=low\n\n  * x\n\n -- {person}  Mon, 02 Jan 2023 03:04:05 +0000\n"
        ),
    );
    put(
        "debian/control",
        &format!(
            "Source: sample\nSection: misc\nPriority: optional\nMaintainer: {person}\nStandards-Version: 4.6.2\n\
             Rules-Requires-Root: no\nBuild-Depends: {build_depends}\n\nPackage: sample\nArchitecture: any\n\
             Provides: sample-api (= 1:3), sample-any\nDescription: x\n x\n\nPackage: sample-doc\nArchitecture: all\nDescription: x\n x\n"
        ),
    );
    if format == "3.0 (quilt)" {
        put("debian/patches/series", "change\n");
        put("debian/patches/change", PATCH);
    }
    Sample { _dir: dir, tree, source_output, binary_output }
}

fn context(source: PathBuf, output: PathBuf, indep: bool, place: Surroundings) -> BuildContext {
    BuildContext {
        suite: "bookworm".parse().unwrap(),
        arch: machine().parse().unwrap(),
        env: "host".parse().unwrap(),
        place,
        source,
        output,
        indep,
        repositories: Vec::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the tools are what is tested")]
fn run(step: &Step) -> Output {
    Command::new(&step.argv[0])
        .args(&step.argv[1..])
        .current_dir(&step.cwd)
        .envs(&step.vars)
        .output()
        .expect("the tool starts")
}

#[expect(clippy::disallowed_methods, reason = "the tools are what is tested")]
fn machine() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().expect("dpkg starts");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run_all(steps: &[Step]) {
    for step in steps {
        let output = run(step);
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}: {}", step.phase, String::from_utf8_lossy(&text));
    }
}

async fn source_package(sample: &Sample) -> Collected {
    let format = DebFormat::new();
    let context =
        context(sample.tree.clone(), sample.source_output.clone(), true, Surroundings::Host);
    let steps = format.source_steps(&context).unwrap();
    assert!(steps.iter().all(|s| s.place == Place::Inside && !s.network));
    run_all(&steps);
    format.collect(&sample.source_output, true).await.unwrap()
}

fn names(collected: &Collected) -> Vec<&str> {
    collected.files.iter().map(|(spec, _)| spec.name.as_str()).collect()
}

#[tokio::test]
#[ignore = "needs dpkg-dev"]
async fn a_tree_becomes_a_source_package_and_the_same_tree_the_same_bytes() {
    for (format, version, files) in [
        ("3.0 (native)", "1.0", vec!["sample_1.0.dsc", "sample_1.0.tar.xz"]),
        (
            "3.0 (quilt)",
            "2:1.0~rc1-1",
            vec![
                "sample_1.0~rc1-1.dsc",
                "sample_1.0~rc1-1.debian.tar.xz",
                "sample_1.0~rc1.orig.tar.xz",
            ],
        ),
        ("1.0", "1.0", vec!["sample_1.0.dsc", "sample_1.0.tar.gz"]),
    ] {
        let first = sample(format, version, "make");
        let one = source_package(&first).await;
        assert_eq!(names(&one), files);
        assert_eq!(one.produced, []);
        let again = sample(format, version, "make");
        if format == "3.0 (quilt)" {
            let strict = fs::Permissions::from_mode(0o600);
            fs::set_permissions(again.tree.join("message"), strict).unwrap();
        }
        let two = source_package(&again).await;
        for ((a, _), (b, _)) in one.files.iter().zip(&two.files) {
            assert_eq!(a, b, "{format}");
        }
    }
}

fn built_message(output: &Path) -> String {
    fs::read_to_string(output.join("tree/built")).unwrap()
}

#[tokio::test]
#[ignore = "needs dpkg-dev"]
async fn a_source_package_becomes_binary_packages_on_the_host() {
    let format = DebFormat::new();
    let arch = machine();
    for indep in [true, false] {
        let sample = sample("3.0 (quilt)", "2:1.0-1", "make");
        let source = source_package(&sample).await.files[0].1.clone();
        let context = context(source, sample.binary_output.clone(), indep, Surroundings::Host);
        run_all(&format.binary_steps(&context).unwrap());
        assert_eq!(built_message(&sample.binary_output), "patched\n");
        let collected = format.collect(&sample.binary_output, false).await.unwrap();
        let mut produced: Vec<_> = collected
            .produced
            .iter()
            .map(|p| format!("{} {} {}", p.name, p.version, p.arch))
            .collect();
        produced.sort();
        let mut expected = vec![
            format!("sample 2:1.0-1 {arch}"),
            format!("sample-any 0~ {arch}"),
            format!("sample-api 1:3 {arch}"),
        ];
        if indep {
            expected.push("sample-doc 2:1.0-1 all".to_owned());
        }
        assert_eq!(produced, expected);
        let changes =
            fs::read_to_string(sample.binary_output.join(collected.main.as_str())).unwrap();
        assert!(changes.contains("\nDistribution: bookworm\n"), "{changes}");
    }
}

#[tokio::test]
#[ignore = "needs dpkg-dev"]
async fn missing_build_dependencies_end_the_second_step_and_are_named() {
    let format = DebFormat::new();
    let sample =
        sample("3.0 (native)", "1.0", "make, pybit-nothing (>= 2:1~) | pybit-none, bash (>= 99)");
    let source = source_package(&sample).await.files[0].1.clone();
    let context = context(source, sample.binary_output.clone(), true, Surroundings::Host);
    let steps = format.binary_steps(&context).unwrap();
    run_all(&steps[..1]);
    let output = run(&steps[1]);
    let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let exit = Exit::Code(output.status.code().unwrap());
    assert_ne!(exit, Exit::Code(0));
    let verdict = format.classify(steps[1].phase, exit, &log);
    assert_eq!(verdict.failure.class, FailureClass::DepWait, "{verdict:?}");
    assert_eq!(verdict.unmet, ["pybit-nothing (>= 2:1~) | pybit-none", "bash (>= 99)"]);
}

#[tokio::test]
#[ignore = "needs dpkg-dev"]
async fn a_tree_that_is_no_package_is_the_sources_fault() {
    let format = DebFormat::new();
    let sample = sample("3.0 (quilt)", "not a version", "make");
    let context =
        context(sample.tree.clone(), sample.source_output.clone(), true, Surroundings::Host);
    let steps = format.source_steps(&context).unwrap();
    let output = run(&steps[0]);
    let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let verdict = format.classify(steps[0].phase, Exit::Code(output.status.code().unwrap()), &log);
    assert_eq!(verdict.failure.class, FailureClass::Source, "{log}");
}

#[test]
#[ignore = "needs dpkg-dev"]
fn a_build_without_packages_has_failed() {
    let format = DebFormat::new();
    let output = TempDir::new().unwrap();
    let place = Surroundings::Sbuild { tarball: "/root.tar".into(), scratch: "/scratch".into() };
    let context = context("/x.dsc".into(), output.path().to_owned(), true, place);
    let steps = format.binary_steps(&context).unwrap();
    for broken in [false, true] {
        if broken {
            fs::write(output.path().join("sample_1.0_all.deb"), "no archive").unwrap();
        }
        let ended = run(&steps[1]);
        let log = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(!ended.status.success(), "{log}");
        let exit = Exit::Code(ended.status.code().unwrap());
        let verdict = format.classify(steps[1].phase, exit, &log);
        assert_eq!(verdict.failure.class, FailureClass::Build, "{log}");
    }
}

#[test]
fn sbuild_gets_the_architecture_the_repositories_and_no_option_from_outside() {
    let format = DebFormat::new();
    let place = Surroundings::Sbuild { tarball: "/env/root.tar".into(), scratch: "/job/s".into() };
    let mut context = context("/job/x.dsc".into(), "/job/out".into(), false, place);
    let repository = |url: &str| BuildRepository {
        url: url.to_owned(),
        suite: "bookworm".parse().unwrap(),
        key: "/job/key.asc".into(),
        overlay: false,
    };
    context.repositories = vec![repository("http://farm.example.org/repositories/main")];
    let steps = format.binary_steps(&context).unwrap();
    let [farm, step, describe] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((farm.phase, farm.place, farm.network), ("farm", Place::Machine, false));
    assert!(
        farm.argv.ends_with(&[
            "/job/key.asc".to_owned(),
            "http://farm.example.org/repositories/main bookworm main contrib non-free non-free-firmware".to_owned()
        ]),
        "{farm:?}"
    );
    assert_eq!((describe.phase, describe.network), ("describe", false));
    assert_eq!(step.place, Place::Machine);
    let has = |argument: &str| step.argv.iter().any(|a| a == argument);
    assert!(has("--chroot=/env/root.tar") && has("--no-arch-all") && !has("--arch-all"));
    assert!(has("--extra-repository=deb [trusted=yes] file:/var/lib/pybit/farm ./"));
    assert!(!step.argv.iter().any(|a| a.contains("farm.example.org") || a.contains("key.asc")));
    assert_eq!(step.argv.last().unwrap(), "/job/x.dsc");
    for url in [
        "http://x/ [trusted=yes]",
        "http://x\ndeb http://evil",
        "[trusted=yes] http://x",
        "ftp://x",
        "",
    ] {
        context.repositories = vec![repository(url)];
        assert_eq!(
            format.binary_steps(&context).expect_err(url).kind(),
            ErrorKind::Invalid,
            "{url}"
        );
    }
    let url = "http://farm.example.org/repositories/main";
    context.repositories = vec![BuildRepository { overlay: true, ..repository(url) }];
    let steps = format.binary_steps(&context).unwrap();
    let has = |argument: &str| steps[1].argv.iter().any(|a| a == argument);
    assert!(steps[0].argv.last().unwrap().starts_with("pybit: overlay: "), "{steps:?}");
    assert!(has(
        "--extra-repository=deb http://farm.example.org/repositories/main bookworm main contrib non-free non-free-firmware"
    ));
    assert!(has("--extra-repository-key=/job/key.asc"));
    context.repositories.clear();
    context.source = "--chroot-setup-commands=id".into();
    assert!(format.binary_steps(&context).is_err());
}
