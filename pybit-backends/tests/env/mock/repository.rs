//! A signed repository, as the farm publishes one: made with the real `createrepo_c` and `gpg`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_core::format::BuildRepository;

/// A repository of some packages, below a directory that everybody can read.
pub(super) struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    pub(super) fn new(below: &Path, packages: &[PathBuf]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir_in(below).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let repository = Self { dir };
        for package in packages {
            let name = package.file_name().unwrap().to_str().unwrap();
            let to = repository.site().join("Packages").join(&name[..1]);
            fs::create_dir_all(&to).unwrap();
            fs::copy(package, to.join(name)).unwrap();
        }
        run(Command::new("createrepo_c").arg("--quiet").arg(repository.site()));
        repository.sign(&repository.dir.path().join("key.asc"));
        repository
    }

    /// What a job is told of it.
    pub(super) fn access(&self) -> BuildRepository {
        BuildRepository {
            url: format!("file://{}", self.site().display()),
            suite: "f40".parse().unwrap(),
            key: self.dir.path().join("key.asc"),
            overlay: false,
        }
    }

    /// Changes a package that the index names.
    pub(super) fn spoil_package(&self) {
        let dir = self.site().join("Packages/m");
        let package = fs::read_dir(dir).unwrap().flatten().next().unwrap().path();
        fs::write(package, "no package").unwrap();
    }

    /// Changes the index after it was signed.
    pub(super) fn spoil_index(&self) {
        let repomd = self.site().join("repodata/repomd.xml");
        let text = fs::read_to_string(&repomd).unwrap().replacen("<revision>", "<revision>1", 1);
        fs::write(repomd, text).unwrap();
    }

    /// Signs the index with a key that nobody has been told.
    pub(super) fn sign_by_another(&self) {
        self.sign(&self.dir.path().join("other.asc"));
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// Signs the index with a new key, whose public half goes to a file.
    fn sign(&self, public: &Path) {
        // Sockets have short paths.
        let home = tempfile::Builder::new().prefix("pybit-gpg-").tempdir().unwrap();
        let gpg = |args: &[&str]| {
            let fixed = [
                "--batch",
                "--quiet",
                "--yes",
                "--passphrase",
                "",
                "--pinentry-mode",
                "loopback",
                "--armor",
            ];
            run(Command::new("gpg").arg("--homedir").arg(home.path()).args(fixed).args(args));
        };
        let repomd = self.site().join("repodata/repomd.xml").display().to_string();
        gpg(&["--quick-generate-key", "farm@example.org", "rsa2048", "sign", "never"]);
        gpg(&["--output", public.to_str().unwrap(), "--export"]);
        gpg(&["--output", &format!("{repomd}.asc"), "--detach-sign", &repomd]);
        run(Command::new("gpgconf")
            .arg("--homedir")
            .arg(home.path())
            .args(["--kill", "gpg-agent"]));
    }
}

pub(super) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
