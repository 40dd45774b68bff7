//! Root tarballs: made once for each suite and architecture, renewed when they are old.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pybit_core::build::LogSink;
use pybit_core::clock::Clock;
use pybit_core::format::Exit;
use pybit_core::model::Target;
use pybit_core::{Error, ErrorKind, Result};

use super::namespace::Namespace;
use super::{SbuildConfig, disk, give, make_dir, reachable};
use crate::env::BuildUser;
use crate::env::apt_sources::{AptSources, reaching_options};
use crate::exec::{Cmd, Exec, Tail, one_line};
use crate::lock;

/// A slow mirror and a slow processor together need less.
const MAKING: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(super) struct Roots {
    pub(super) config: SbuildConfig,
    pub(super) exec: Exec,
    pub(super) clock: Arc<dyn Clock>,
}

/// One root and the places where it is made.
struct Root<'a> {
    target: &'a Target,
    arch: &'a str,
    tarball: PathBuf,
    making: PathBuf,
}

impl Roots {
    /// The tarball for a target, made or renewed where needed; one at a time for each suite and architecture.
    pub(super) async fn tarball(
        &self,
        namespace: &Namespace,
        target: &Target,
        arch: &str,
        log: &dyn LogSink,
    ) -> Result<PathBuf> {
        let cache = &self.config.cache_dir;
        std::fs::create_dir_all(cache).map_err(|e| disk("make", cache, e))?;
        reachable(cache)?;
        let mut name = format!("{}-{}-{arch}", target.dist, target.suite);
        if self.config.packages.contains_key(&target.format) {
            name = format!("{name}-{}", target.format);
        }
        let root = Root {
            target,
            arch,
            tarball: cache.join(format!("{name}.tar")),
            making: cache.join(format!("{name}.making")),
        };
        if self.is_fresh(&root.tarball) {
            return Ok(root.tarball);
        }
        let _lock = lock::take(&cache.join(format!("{name}.lock")), log).await?;
        if !self.is_fresh(&root.tarball) {
            self.renew(namespace, &root, log).await?;
        }
        Ok(root.tarball)
    }

    fn is_fresh(&self, tarball: &Path) -> bool {
        let Ok(meta) = std::fs::metadata(tarball) else { return false };
        let made =
            pybit_core::clock::Timestamp::from_micros(meta.mtime().saturating_mul(1_000_000));
        self.clock.now().since(made) < self.config.max_age
    }

    /// An old root is better than none: each build upgrades its packages from the archive anyhow.
    async fn renew(&self, namespace: &Namespace, root: &Root<'_>, log: &dyn LogSink) -> Result<()> {
        let made = self.make(namespace, root, log).await;
        let cleaned = namespace.remove(&self.exec, &root.making).await;
        match made {
            Err(e) if root.tarball.exists() => {
                let line = format!("the build root cannot be renewed, an older one is used: {e}\n");
                log.write(line.as_bytes()).await
            }
            Err(e) => Err(e),
            Ok(()) => cleaned,
        }
    }

    async fn make(&self, namespace: &Namespace, root: &Root<'_>, log: &dyn LogSink) -> Result<()> {
        runnable(root.arch)?;
        let sources = self.sources(root.target)?;
        namespace.remove(&self.exec, &root.making).await?;
        make_dir(&root.making)?;
        let options = root.making.join("apt.conf");
        let dump = Cmd::new(["apt-config", "dump", "Acquire"], Path::new("/"));
        let reaching = reaching_options(&self.exec.check(&dump, 1 << 20).await?);
        std::fs::write(&options, reaching).map_err(|e| disk("write", &options, e))?;
        give(&root.making, self.exec.user())?;
        let line = format!("making the build root of {} {}\n", root.target.suite, root.arch);
        log.write(line.as_bytes()).await?;
        let new = root.making.join("root.tar");
        let cmd = self.mmdebstrap(root, &new, &options, sources);
        let said = Tail::new(log);
        match self.exec.run(&cmd, &said).await? {
            Exit::Code(0) => install(&new, &root.tarball, self.exec.user()),
            exit => Err(failed(root, exit, &said.text())),
        }
    }

    fn sources(&self, target: &Target) -> Result<Vec<String>> {
        if let Some(mirror) = &self.config.mirror {
            return Ok(mirror.clone());
        }
        let archives =
            AptSources::read(Path::new("/etc")).for_suite(&target.dist, &target.suite)?;
        Ok(archives.iter().map(|a| a.line("deb")).collect())
    }

    fn mmdebstrap(&self, root: &Root<'_>, new: &Path, options: &Path, sources: Vec<String>) -> Cmd {
        let mut argv = vec![
            "mmdebstrap".to_owned(),
            "--mode=unshare".to_owned(),
            "--variant=buildd".to_owned(),
            "--format=tar".to_owned(),
            format!("--architectures={}", root.arch),
            format!("--aptopt={}", options.display()),
            // A root that a crash has torn is made again; dpkg need not wait for the disk after each file.
            "--dpkgopt=force-unsafe-io".to_owned(),
        ];
        if let Some(packages) = self.config.packages.get(&root.target.format) {
            argv.push(format!("--include={}", packages.join(",")));
        }
        argv.extend([root.target.suite.to_string(), new.display().to_string()]);
        argv.extend(sources);
        // Without the variable it would unpack in /tmp, where nobody looks for what a killed one has left.
        Cmd::new(argv, &root.making).var("TMPDIR", root.making.display().to_string()).within(MAKING)
    }
}

fn failed(root: &Root<'_>, exit: Exit, said: &str) -> Error {
    let kind = if said.contains("No space left on device") {
        ErrorKind::Full
    } else {
        ErrorKind::Unavailable
    };
    let message = format!(
        "mmdebstrap makes no root for {} {} ({exit:?}): {}",
        root.target.suite,
        root.arch,
        one_line(said)
    );
    Error::new(kind, message).with_code("root_failed")
}

/// Puts a finished tarball in its place, whole and durable; nobody but this process's user can change it there.
fn install(new: &Path, tarball: &Path, user: Option<&BuildUser>) -> Result<()> {
    let arrived = tarball.with_extension("tar.new");
    let moved = || {
        // First out of the build user's directory, where it could be exchanged between two looks at it.
        std::fs::rename(new, &arrived)?;
        let meta = std::fs::symlink_metadata(&arrived)?;
        let own = user.is_none_or(|u| u.uid.as_raw() == meta.uid());
        if !meta.is_file() || meta.nlink() != 1 || !own {
            return Err(std::io::Error::other("mmdebstrap has left something else"));
        }
        let file = File::open(&arrived)?;
        if user.is_some() {
            std::os::unix::fs::fchown(&file, Some(0), Some(0))?;
        }
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&arrived, tarball)
    };
    moved().map_err(|e| disk("install", tarball, e))
}

/// The architectures that a processor runs by itself, as Debian and the kernel call them.
const NATIVE: [(&str, &[&str]); 6] = [
    ("x86_64", &["amd64", "i386"]),
    ("aarch64", &["arm64"]),
    ("arm", &["armhf", "armel"]),
    ("riscv64", &["riscv64"]),
    ("powerpc64", &["ppc64el"]),
    ("s390x", &["s390x"]),
];

/// Refuses an architecture that this machine can neither run nor emulate.
fn runnable(arch: &str) -> Result<()> {
    let own = std::env::consts::ARCH;
    if NATIVE.iter().any(|(machine, arches)| *machine == own && arches.contains(&arch)) {
        return Ok(());
    }
    let emulator = match arch {
        "amd64" => "qemu-x86_64",
        "arm64" => "qemu-aarch64",
        "armhf" | "armel" => "qemu-arm",
        "ppc64el" => "qemu-ppc64le",
        "loong64" => "qemu-loongarch64",
        "mips64el" => "qemu-mips64el",
        other => &format!("qemu-{other}"),
    };
    if Path::new("/proc/sys/fs/binfmt_misc").join(emulator).exists() {
        return Ok(());
    }
    let message = format!(
        "this machine cannot run {arch} programs; install the emulator with `apt install qemu-user-static binfmt-support`"
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_code("arch_not_runnable"))
}

#[cfg(test)]
mod tests {
    use super::runnable;

    #[test]
    fn an_architecture_without_emulator_is_refused_with_what_to_install() {
        let error = runnable("no-such-arch").unwrap_err();
        assert!(error.message().contains("qemu-user-static"), "{error}");
    }
}
