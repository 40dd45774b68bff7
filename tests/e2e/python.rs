//! Python projects: from trees and sdists to a signed index that pip installs from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Farm, Role, shared_roots, wait_for};

/// A build takes some seconds on an idle machine, and the first in a root that has to be made some minutes.
const LONGEST: Duration = Duration::from_mins(15);

/// A module for every machine.
const ALPHA: [(&str, &str); 2] = [
    (
        "pyproject.toml",
        "[build-system]\nrequires = [\"flit_core >=3.2,<4\"]\nbuild-backend = \"flit_core.buildapi\"\n\
         [project]\nname = \"pybit_alpha\"\nversion = \"1.0\"\ndescription = \"a\"\nrequires-python = \">=3.7\"\n",
    ),
    ("pybit_alpha.py", "answer = 42\n"),
];

/// A module in C, for one architecture.
const GAMMA: [(&str, &str); 2] = [
    (
        "setup.py",
        "from setuptools import Extension, setup\n\
         setup(name='Pybit.Gamma', version='2.0rc1', ext_modules=[Extension('pybit_gamma', ['gamma.c'])])\n",
    ),
    (
        "gamma.c",
        "#include <Python.h>\nstatic PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(43); }\n\
         static PyMethodDef all[] = {{\"answer\", answer, METH_NOARGS, \"\"}, {0}};\n\
         static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, \"pybit_gamma\", \"\", -1, all};\n\
         PyMODINIT_FUNC PyInit_pybit_gamma(void) { return PyModule_Create(&module); }\n",
    ),
];

/// Needs what nobody has until alpha is published, and uses it.
const BETA: [(&str, &str); 2] = [
    (
        "pyproject.toml",
        "[build-system]\nrequires = [\"setuptools\", \"wheel\", \"Pybit.Alpha[x]>=1.0; python_version >= '3'\", \
         \"never-there; python_version < '3'\"]\nbuild-backend = \"setuptools.build_meta\"\n",
    ),
    (
        "setup.py",
        "import pybit_alpha\nfrom setuptools import setup\n\
         open('pybit_beta.py', 'w').write(f'answer = {pybit_alpha.answer}\\n')\n\
         setup(name='pybit-beta', version='3.0', py_modules=['pybit_beta'])\n",
    ),
];

struct Python {
    farm: Farm,
    _roles: [Role; 3],
}

impl Python {
    /// A farm whose one client builds Python projects on the machine.
    fn start() -> Self {
        Self::start_in("host")
    }

    /// The same in another environment.
    fn start_in(env: &str) -> Self {
        let arch = std::env::consts::ARCH;
        let farm = Farm::new(&format!(
            "[[suites]]\ndist = \"Debian\"\nname = \"bookworm\"\nformat = \"python\"\narches = [\"{arch}\"]\n\
             repository = \"bookworm-python\"\nenvs = [{{ name = \"{env}\", weight = 1 }}]\n"
        ));
        let web = farm.web();
        let root = farm.path().display().to_string();
        let add = |file: PathBuf, text: &str| {
            let all = std::fs::read_to_string(&file).unwrap() + text;
            std::fs::write(&file, all).unwrap();
        };
        let offer = format!(
            "\n[[client.offers]]\ndist = \"Debian\"\nsuite = \"bookworm\"\nformat = \"python\"\nenvs = [\"{env}\"]\n"
        );
        add(farm.client_config("one", &farm.url()), &offer);
        let repository = format!(
            "\n[[watch.repositories]]\nname = \"bookworm-python\"\ndist = \"Debian\"\nsuite = \"bookworm\"\n\
             format = \"python\"\narches = [\"{arch}\"]\nroot = \"{root}/data/repositories/bookworm-python\"\n\
             public_url = \"{}/repositories/bookworm-python\"\n",
            farm.url()
        );
        add(farm.watch_config(), &repository);
        let work = farm.path().join("one-work");
        std::fs::create_dir_all(&work).unwrap();
        std::os::unix::fs::symlink(shared_roots(), work.join("roots")).unwrap();
        let roles = [web, farm.client("one"), farm.watcher()];
        Self { farm, _roles: roles }
    }

    /// Writes a project into a directory of its own.
    fn tree(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.farm.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        for (file, text) in files {
            std::fs::write(dir.join(file), text).unwrap();
        }
        dir
    }

    /// Submits a tree or an sdist; the number of the submission.
    fn submit(&self, source: &Path) -> String {
        let source = source.to_str().unwrap();
        let words = ["submit", source, "--suite", "bookworm", "--format", "python", "--json"];
        self.farm.json(&words)["submission"]["id"].to_string()
    }

    /// Waits until the job of a kind is in a status; its detail.
    fn wait(&self, submission: &str, kind: &str, status: &str) -> Value {
        wait_for(&format!("the {kind} job to be {status}"), LONGEST, || {
            let jobs = self.farm.jobs(&format!("submission={submission}"));
            let jobs = jobs.as_array().unwrap();
            let failed = jobs.iter().find(|j| j["status"] == "Failed" && status != "Failed");
            if let Some(failed) = failed {
                panic!("{failed}\n{}", self.log(failed));
            }
            let found = jobs.iter().find(|j| j["kind"] == kind && j["status"] == status)?;
            Some(self.farm.job(found["id"].as_i64().unwrap())["job"].clone())
        })
    }

    fn log(&self, job: &Value) -> String {
        let attempt = u32::try_from(job["attempt"].as_i64().unwrap()).unwrap();
        self.farm.log(job["id"].as_i64().unwrap(), attempt)
    }

    /// Installs from the farm's index and no other, and runs a line of Python with what was installed.
    fn installed(&self, packages: &[&str], line: &str) -> String {
        let target = tempfile::tempdir().unwrap();
        let index = format!("{}/repositories/bookworm-python/simple/", self.farm.url());
        let output = Command::new("/usr/bin/python3")
            .args(["-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "install"])
            .args(["--no-cache-dir", "--only-binary", ":all:", "--pre", "--index-url", &index])
            .args(["--target", target.path().to_str().unwrap()])
            .args(packages)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = format!("import sys; sys.path.insert(0, '{}'); {line}", target.path().display());
        let said = Command::new("/usr/bin/python3").args(["-I", "-c", &line]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }
}

#[test]
#[ignore = "needs flit, gnupg, python3-build, python3-dev, python3-pip, python3-setuptools and the user pybit-build"]
fn python_projects_become_wheels_for_all_and_for_one_machine_and_pip_installs_them() {
    let python = Python::start();
    let alpha = python.submit(&python.tree("alpha", &ALPHA));
    let gamma = python.submit(&python.tree("gamma", &GAMMA));
    let alpha = python.wait(&alpha, "binary", "Done");
    assert_eq!(alpha["produced"][0]["arch"], "all", "{alpha}");
    let gamma = python.wait(&gamma, "binary", "Done");
    assert_eq!((&gamma["package"], &gamma["version"]), (&"pybit-gamma".into(), &"2.0rc1".into()));
    assert_eq!(gamma["produced"][0]["arch"], std::env::consts::ARCH, "{gamma}");
    let line = "import pybit_alpha, pybit_gamma; print(pybit_alpha.answer, pybit_gamma.answer())";
    assert_eq!(python.installed(&["pybit-alpha", "Pybit_Gamma"], line), "42 43");

    // What it has made of the tree is a source itself; the same version again changes nothing that readers have.
    let site = python.farm.path().join("data/repositories/bookworm-python/current/packages");
    let sdist = site.join("pybit-alpha/pybit_alpha-1.0.tar.gz");
    let before = std::fs::read(&sdist).unwrap();
    let again = python.farm.path().join("pybit_alpha-1.0.tar.gz");
    std::fs::copy(&sdist, &again).unwrap();
    let words = ["submit", again.to_str().unwrap(), "--suite", "bookworm", "--format", "python"];
    let forced = [&words[..], &["--force", "--json"]].concat();
    let again = python.farm.json(&forced)["submission"]["id"].to_string();
    let rebuilt = python.wait(&again, "binary", "Done");
    assert_eq!(rebuilt["produced"], alpha["produced"], "the same bytes were published again");
    assert_eq!(std::fs::read(&sdist).unwrap(), before);
}

#[test]
#[ignore = "needs flit, gnupg, gpgv, python3-build, python3-pip, python3-setuptools and the user pybit-build"]
fn a_python_project_waits_for_a_build_requirement_that_the_farm_itself_publishes() {
    let python = Python::start();
    let beta = python.submit(&python.tree("beta", &BETA));
    let blocked = python.wait(&beta, "source", "Blocked");
    assert_eq!(blocked["unmet"], serde_json::json!(["pybit-alpha>=1.0"]), "{blocked}");

    python.wait(&python.submit(&python.tree("alpha", &ALPHA)), "binary", "Done");
    let source = python.wait(&beta, "source", "Done");
    let log = python.log(&source);
    assert!(log.contains("installing pybit_alpha-1.0-py3-none-any.whl"), "{log}");
    python.wait(&beta, "binary", "Done");
    assert_eq!(
        python.installed(&["pybit-beta"], "import pybit_beta; print(pybit_beta.answer)"),
        "42"
    );

    let broken = [(
        "pyproject.toml",
        "[build-system]\nrequires = [\"flit_core\"]\nbuild-backend = \"flit_core.buildapi\"\n",
    )];
    let broken = python.submit(&python.tree("broken", &broken));
    let failed = python.wait(&broken, "source", "Failed");
    assert_eq!(failed["failure"]["class"], "source", "{failed}");
}

#[test]
#[ignore = "needs the Debian archive, sbuild, mmdebstrap, gnupg, gpgv, python3-pip and the user pybit-build"]
fn in_isolated_roots_python_projects_are_built_and_wait_for_each_other_as_on_the_machine() {
    let python = Python::start_in("sbuild");
    let beta = python.submit(&python.tree("beta", &BETA));
    let gamma = python.submit(&python.tree("gamma", &GAMMA));
    let blocked = python.wait(&beta, "source", "Blocked");
    assert_eq!(blocked["unmet"], serde_json::json!(["pybit-alpha>=1.0"]), "{blocked}");
    python.wait(&python.submit(&python.tree("alpha", &ALPHA)), "binary", "Done");
    python.wait(&beta, "binary", "Done");
    let gamma = python.wait(&gamma, "binary", "Done");
    assert_eq!(gamma["target"]["env"], "sbuild", "{gamma}");
    let line = "import pybit_beta, pybit_gamma; print(pybit_beta.answer, pybit_gamma.answer())";
    assert_eq!(python.installed(&["pybit-beta", "pybit-gamma"], line), "42 43");
}
