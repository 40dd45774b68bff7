//! The packages of the farm's own index in a Python build: the real step, run by the real Python and pip.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the test runs the step that a build runs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_backends::python::PythonFormat;
use pybit_core::format::{BuildContext, BuildRepository, Exit, PackageFormat, Surroundings};
use pybit_core::model::FailureClass;

/// Writes a wheel and its index page. Arguments: the site, the project, the version, then names of files in the wheel; of a name with `=`
/// the text is what follows.
const WHEEL: &str = r#"
import hashlib, os, sys, zipfile
site, project, version, *files = sys.argv[1:]
name, info = f"{project}-{version}-py3-none-any.whl", f"{project}-{version}.dist-info"
texts = dict(f.partition("=")[::2] for f in files)
texts[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
requires = texts.pop("requires", None)
texts[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n" + (f"Requires-Dist: {requires}\n" if requires else "")
if "console" in texts:
    texts[f"{info}/entry_points.txt"] = f"[console_scripts]\n{texts.pop('console')} = x:y\n"
texts[f"{info}/RECORD"] = "".join(f"{n},,\n" for n in [*texts, f"{info}/RECORD"])
page = f"{site}/simple/{project.replace(chr(95), chr(45))}"
os.makedirs(page, exist_ok=True)
with zipfile.ZipFile(f"{site}/{name}", "w") as wheel:
    for n, text in texts.items():
        wheel.writestr(n, text)
digest = hashlib.sha256(open(f"{site}/{name}", "rb").read()).hexdigest()
with open(f"{page}/index.html", "a") as out:
    out.write(f'<a href="../../{name}#sha256={digest}">{name}</a>\n')
"#;

struct Index {
    dir: tempfile::TempDir,
}

impl Index {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn add(&self, project: &str, version: &str, files: &[&str]) {
        let site = self.site();
        let words = ["-I", "-c", WHEEL, site.to_str().unwrap(), project, version];
        run(Command::new("/usr/bin/python3").args(words).args(files));
    }

    /// Signs every wheel, and runs the install step for these requirements; the log, and what a failure means.
    fn install(&self, requirements: &str) -> (String, Option<(FailureClass, String)>) {
        let home = tempfile::Builder::new().prefix("pybit-gpg-").tempdir_in("/tmp").unwrap();
        let key = self.dir.path().join("key.asc");
        let gpg = |args: &[&str]| {
            let fixed = ["--batch", "--quiet", "--yes", "--passphrase", "", "--armor"];
            let fixed = [&fixed[..], &["--pinentry-mode", "loopback"]].concat();
            run(Command::new("gpg").arg("--homedir").arg(home.path()).args(fixed).args(args));
        };
        gpg(&["--quick-generate-key", "farm@example.org", "rsa2048", "sign", "never"]);
        gpg(&["--output", key.to_str().unwrap(), "--export"]);
        for wheel in std::fs::read_dir(self.site()).unwrap().flatten().map(|e| e.path()) {
            if wheel.extension().is_some_and(|e| e == "whl") {
                gpg(&["--detach-sign", wheel.to_str().unwrap()]);
            }
        }
        run(Command::new("gpgconf")
            .arg("--homedir")
            .arg(home.path())
            .args(["--kill", "gpg-agent"]));
        let output = self.output();
        std::fs::create_dir_all(&output).unwrap();
        std::fs::write(output.join("requires.list"), requirements).unwrap();
        let context = BuildContext {
            suite: "bookworm".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            env: "host".parse().unwrap(),
            place: Surroundings::Host,
            source: self.dir.path().join("x-1.sdist-info"),
            output,
            indep: true,
            repositories: vec![BuildRepository {
                url: format!("file://{}", self.site().display()),
                suite: "bookworm".parse().unwrap(),
                key,
                overlay: false,
            }],
        };
        let format = PythonFormat::new();
        let steps = format.binary_steps(&context).unwrap();
        let step = steps.iter().find(|s| s.phase == "install").unwrap();
        let done = Command::new("/usr/bin/python3")
            .args(&step.argv[1..])
            .current_dir(&step.cwd)
            .envs(&step.vars)
            .output()
            .unwrap();
        let log = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        let exit = Exit::Code(done.status.code().unwrap());
        let failure = (!done.status.success()).then(|| format.classify("install", exit, &log));
        (log, failure.map(|v| (v.failure.class, v.failure.message)))
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("output")
    }

    fn installed(&self, file: &str) -> bool {
        Path::new(&self.output()).join("requirements").join(file).exists()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs python3-pip, gpg and gpgv"]
fn a_requirement_that_the_environment_satisfies_takes_nothing_of_the_farm() {
    let index = Index::new();
    index.add("packaging", "99.0", &["packaging/__init__.py"]);
    index.add("pybit_lib", "1.0", &["pybit_lib/__init__.py", "requires=packaging"]);
    let (log, failure) = index.install("packaging\npybit-lib>=1\n");
    assert_eq!(failure, None, "{log}");
    let line = "pybit: from the farm: pybit-lib 1.0 (the environment has none; pybit-lib>=1 is needed), file://";
    assert!(log.contains(line), "{log}");
    assert!(index.installed("pybit_lib/__init__.py") && !index.installed("packaging"), "{log}");
}

#[test]
#[ignore = "needs python3-pip, gpg and gpgv"]
fn a_version_that_only_the_farm_has_takes_the_place_of_that_distribution_alone() {
    let index = Index::new();
    index.add("packaging", "99.0", &["packaging/__init__.py"]);
    let (log, failure) = index.install("packaging>=90\n");
    assert_eq!(failure, None, "{log}");
    assert!(log.contains("from the farm: packaging 99.0 (the environment has 2"), "{log}");
    assert!(index.installed("packaging/__init__.py"));
}

#[test]
#[ignore = "needs python3-pip, gpg and gpgv"]
fn a_wheel_that_would_be_found_before_the_environments_own_is_refused() {
    for (file, says) in [
        ("os.py", "holds the module os, which Python has itself"),
        ("sitecustomize.py", "holds the module sitecustomize"),
        ("packaging/__init__.py", "holds the module packaging, which packaging has in /usr/"),
        ("packaging.py", "holds the module packaging, which packaging has in /usr/"),
        ("pybit_evil-1.0.data/purelib/json.py", "holds the module json, which Python has itself"),
        ("pybit_evil-1.0.data/platlib/packaging/x.py", "holds the module packaging"),
        ("pybit_evil-1.0.data/data/random.py", "holds the module random"),
        ("pybit_evil-1.0.data/data/bin/make", "holds the program make, which"),
        ("pybit_evil-1.0.data/scripts/python3", "holds the program python3, which"),
        ("console=gcc", "holds the program gcc, which the environment has as /usr/bin/gcc"),
    ] {
        let index = Index::new();
        index.add("pybit_evil", "1.0", &[file]);
        let (log, failure) = index.install("pybit-evil\n");
        let (class, message) = failure.unwrap_or_else(|| panic!("{file}: {log}"));
        assert_eq!(class, FailureClass::Build, "{file}: {log}");
        assert!(message.contains(says) && message.contains("pybit-evil 1.0"), "{file}: {message}");
        assert!(!index.output().join("requirements").exists(), "{file}: {log}");
    }
}
