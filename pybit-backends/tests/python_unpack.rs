//! What a build does with an sdist that means ill: the real step, run by the real Python.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the test runs the step that a build runs")]

use std::path::Path;
use std::process::{Command, Output};

use pybit_backends::python::PythonFormat;
use pybit_core::format::{BuildContext, PackageFormat, Surroundings};

/// Writes x-1.tar.gz with a member for each pair of arguments after the first two: a name, and what it is.
const MAKE: &str = r#"
import io, sys, tarfile
words = sys.argv[1:]
with tarfile.open("x-1.tar.gz", "w:gz") as archive:
    for name, what in zip(words[::2], words[1::2]):
        info, body = tarfile.TarInfo(name), b""
        kind, _, target = what.partition(":")
        if kind == "file":
            body = target.encode()
        else:
            kinds = {"sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "dev": tarfile.CHRTYPE}
            info.type, info.linkname = kinds[kind], target
        info.size = len(body)
        archive.addfile(info, io.BytesIO(body))
"#;

fn python(dir: &Path, words: &[&str]) -> Output {
    Command::new("/usr/bin/python3").args(words).current_dir(dir).output().unwrap()
}

/// Runs the unpack step of a binary build on an sdist with these members; what it said where it failed.
fn unpacked(dir: &Path, members: &[&str]) -> Result<(), String> {
    let made = python(dir, &[&["-I", "-c", MAKE][..], members].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = dir.join("output");
    std::fs::create_dir(&output).unwrap();
    let context = BuildContext {
        suite: "bookworm".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        env: "host".parse().unwrap(),
        place: Surroundings::Host,
        source: dir.join("x-1.sdist-info"),
        output: output.clone(),
        indep: true,
        repositories: vec![],
    };
    let step = PythonFormat::new().binary_steps(&context).unwrap().remove(0);
    let words: Vec<&str> = step.argv[1..].iter().map(String::as_str).collect();
    let done = python(&step.cwd, &words);
    if done.status.success() {
        assert!(output.join("source/setup.py").is_file());
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

const GOOD: [&str; 2] = ["x-1/setup.py", "file:pass"];

#[test]
#[ignore = "needs python3"]
fn a_python_sdist_with_links_inside_of_it_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let links = ["x-1/sub/link", "sym:../setup.py", "x-1/hard", "hard:x-1/setup.py"];
    unpacked(dir.path(), &[&GOOD[..], &links].concat()).unwrap();
}

#[test]
#[ignore = "needs python3"]
fn a_python_sdist_that_leads_out_of_its_directory_is_refused() {
    for (members, why) in [
        (&["../evil", "file:x"][..], "leads out of it"),
        (&["/tmp/evil", "file:x"], "leads out of it"),
        (&["x-1/a/../../../evil", "file:x"], "leads out of it"),
        (&["x-1/link", "sym:/etc/passwd"], "link that leads out of it"),
        (&["x-1/link", "sym:../../evil"], "link that leads out of it"),
        (&["x-1/hard", "hard:../evil"], "link that leads out of it"),
        // Each alone stays inside; together they would not.
        (
            &["x-1/up", "sym:..", "x-1/far", "sym:up/../..", "x-1/far/evil", "file:x"],
            "leads out of it",
        ),
        (&["x-1/pipe", "fifo:"], "a device or a pipe"),
        (&["x-1/null", "dev:"], "a device or a pipe"),
        (&["beside", "file:x"], "one directory and nothing beside it"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let said = unpacked(dir.path(), &[&GOOD[..], members].concat()).unwrap_err();
        assert!(said.contains(why) && !said.contains("Traceback"), "{members:?}: {said}");
        assert!(!dir.path().join("evil").exists() && !dir.path().join("output/evil").exists());
    }
    let dir = tempfile::tempdir().unwrap();
    let said = unpacked(dir.path(), &["x-1/readme", "file:x"]).unwrap_err();
    assert!(said.contains("neither a pyproject.toml nor a setup.py"), "{said}");
}
