//! Small real Debian source packages, each made for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A native source package that builds in moments and does what its test asks.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// The source package's name.
    pub(crate) name: String,
    /// The binary package's name, where it is another.
    pub(crate) binary: Option<String>,
    /// Its version.
    pub(crate) version: String,
    /// `Architecture` of the binary package.
    pub(crate) arch: String,
    /// `Build-Depends` besides debhelper.
    pub(crate) build_depends: String,
    /// Lines of the build target of `debian/rules`, each a command.
    pub(crate) build: Vec<String>,
    /// Whether debhelper packs it. dpkg alone is quicker, and is what most tests need.
    pub(crate) debhelper: bool,
}

impl Package {
    /// A package of one script.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            binary: None,
            version: version.to_owned(),
            arch: "any".to_owned(),
            build_depends: String::new(),
            build: Vec::new(),
            debhelper: false,
        }
    }

    /// Names its binary package.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
    pub(crate) fn builds(mut self, binary: &str) -> Self {
        self.binary = Some(binary.to_owned());
        self
    }

    /// Packs it with debhelper, as most packages are.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
    pub(crate) fn debhelper(mut self) -> Self {
        self.debhelper = true;
        self
    }

    /// The recipes that pack it without debhelper.
    fn plain_rules(&self, build: &str) -> String {
        let (other, own) = if self.arch == "all" { ("arch", "indep") } else { ("indep", "arch") };
        format!(
            "#!/usr/bin/make -f\nbuild build-arch build-indep:\n{build}\n\techo built\n\
             binary-{other}:\n\
             binary binary-{own}:\n\tmkdir -p debian/tmp/DEBIAN debian/tmp/usr/bin\n\
             \tcp tool debian/tmp/usr/bin/\n\tdpkg-gencontrol\n\
             \tdpkg-deb --root-owner-group --build debian/tmp ..\n\
             clean:\n\trm -rf debian/tmp debian/files debian/substvars\n"
        )
    }

    /// Adds a command to the build.
    pub(crate) fn build(mut self, line: &str) -> Self {
        self.build.push(line.to_owned());
        self
    }

    /// Says `building` and waits until the file is there.
    pub(crate) fn gate(self, file: &Path) -> Self {
        self.build("echo building-now")
            .build(&format!("while [ ! -e {} ]; do sleep 0.05; done", file.display()))
    }

    /// Writes the source tree below `parent`.
    pub(crate) fn write(&self, parent: &Path) -> PathBuf {
        let tree = parent.join(format!("{}-{}", self.name, self.version));
        let debian = tree.join("debian");
        std::fs::create_dir_all(debian.join("source")).unwrap();
        let put = |file: &str, text: String| std::fs::write(tree.join(file), text).unwrap();
        let Self { name, version, arch, build_depends, .. } = self;
        let binary = self.binary.as_ref().unwrap_or(name);
        put("tool", format!("#!/bin/sh\necho {name} {version}\n"));
        put(
            "debian/changelog",
            format!(
                "{name} ({version}) bookworm; urgency=medium\n\n  * A test.\n\n -- A Tester <tester@example.org>  \
                 Mon, 23 Nov 2026 10:00:00 +0000\n"
            ),
        );
        put(
            "debian/control",
            format!(
                "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: A Tester <tester@example.org>\n\
                 Build-Depends: debhelper-compat (= 13){build_depends}\nStandards-Version: 4.6.2\n\n\
                 Package: {binary}\nArchitecture: {arch}\nDepends: ${{misc:Depends}}\nDescription: a test\n It is small.\n"
            ),
        );
        let build = self.build.iter().map(|l| format!("\t{l}")).collect::<Vec<_>>().join("\n");
        put(
            "debian/rules",
            if self.debhelper {
                format!(
                    "#!/usr/bin/make -f\n%:\n\tdh $@\n\noverride_dh_auto_build:\n{build}\n\techo built\n"
                )
            } else {
                self.plain_rules(&build)
            },
        );
        put("debian/install", "tool usr/bin\n".to_owned());
        put("debian/source/format", "3.0 (native)\n".to_owned());
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(tree.join("debian/rules"), run).unwrap();
        tree
    }
}

/// Makes a git repository of a source tree, with its one commit under a tag.
pub(crate) fn tagged(tree: &Path, tag: &str) {
    for words in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message=one"],
        &["tag", tag],
    ] {
        let user = ["-c", "user.name=A Tester", "-c", "user.email=tester@example.org"];
        let git = Command::new("git").args(user).args(words).current_dir(tree).status().unwrap();
        assert!(git.success(), "git {words:?}");
    }
}
