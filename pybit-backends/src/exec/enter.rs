//! The way into an unpacked root.
//!
//! Runs as the first process of new user, mount and process namespaces (as root of the user namespace), makes what a
//! build expects of a system below the root, goes in, gives up every privilege and becomes the command.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, chdir, chroot, setgroups, setresgid, setresuid};

/// The exit code that says that the command was never reached.
pub(crate) const FAILED: u8 = 125;

/// Devices that a build may use; they come from the machine.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// How to go in; written as arguments by [`to_args`](Self::to_args), and read back by [`main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The unpacked root.
    pub(crate) root: PathBuf,
    /// A directory that is the same inside.
    pub(crate) work: PathBuf,
    /// Where the command starts, inside.
    pub(crate) cwd: PathBuf,
    /// Whether the command may use the network; without, there is nothing but a loopback device.
    pub(crate) network: bool,
    /// The id inside, of user and group, that the command runs as.
    pub(crate) id: u32,
}

impl Entry {
    /// The arguments after the supervisor's verb.
    pub(crate) fn to_args(&self, command: &[String]) -> Vec<String> {
        let mut args = vec![
            "enter".to_owned(),
            self.root.display().to_string(),
            self.work.display().to_string(),
            self.cwd.display().to_string(),
            if self.network { "network" } else { "no-network" }.to_owned(),
            self.id.to_string(),
        ];
        args.extend_from_slice(command);
        args
    }

    fn from_args(args: &[String]) -> Option<(Self, &[String])> {
        let [root, work, cwd, network, id, command @ ..] = args else { return None };
        let entry = Self {
            root: root.into(),
            work: work.into(),
            cwd: cwd.into(),
            network: network == "network",
            id: id.parse().ok()?,
        };
        (!command.is_empty()).then_some((entry, command))
    }
}

/// Goes in and becomes the command; returns only where that fails, with code [`FAILED`].
pub(super) fn main(args: &[String]) -> ExitCode {
    let why = match Entry::from_args(args) {
        Some((entry, command)) => match entry.become_command(command) {
            Ok(never) => match never {},
            Err(e) => format!("{}: {e}", entry.root.display()),
        },
        None => "enter needs ROOT WORK CWD NETWORK ID COMMAND…".to_owned(),
    };
    // Where standard error is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "pybit: cannot go into the build environment: {why}");
    ExitCode::from(FAILED)
}

/// Names what failed.
fn at<T, E: Into<std::io::Error>>(what: &str, result: Result<T, E>) -> std::io::Result<T> {
    result.map_err(|e| {
        let e: std::io::Error = e.into();
        std::io::Error::other(format!("{what}: {e}"))
    })
}

impl Entry {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    fn become_command(&self, words: &[String]) -> std::io::Result<std::convert::Infallible> {
        self.mounts()?;
        self.names()?;
        at("chroot", chroot(&self.root))?;
        at("chdir", chdir(&self.cwd))?;
        self.drop_privileges()?;
        let mut command = Command::new(&words[0]);
        Err(std::io::Error::other(format!("{}: {}", words[0], command.args(&words[1..]).exec())))
    }

    fn mounts(&self) -> std::io::Result<()> {
        self.bind(&self.work)?;
        self.hide_the_root()?;
        for device in DEVICES {
            let place = self.root.join("dev").join(device);
            at("dev", fs::File::create(&place))?;
            Self::bind_to(&Path::new("/dev").join(device), &place)?;
        }
        self.mount("proc", "proc", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, None)?;
        self.mount("tmpfs", "dev/shm", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
        let terminals = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        self.mount("devpts", "dev/pts", terminals, Some("newinstance,ptmxmode=666,mode=620"))?;
        let links = [
            ("pts/ptmx", "ptmx"),
            ("/proc/self/fd", "fd"),
            ("/proc/self/fd/0", "stdin"),
            ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
        ];
        for (target, name) in links {
            let link = self.root.join("dev").join(name);
            // A second step finds the first one's links.
            let _ = fs::remove_file(&link);
            at(name, std::os::unix::fs::symlink(target, link))?;
        }
        Ok(())
    }

    /// The root lies below the work directory, beside files that only the machine's own steps may see.
    fn hide_the_root(&self) -> std::io::Result<()> {
        match self.root.parent() {
            Some(scratch) if scratch.starts_with(&self.work) && scratch != self.work => {
                let inside = scratch.strip_prefix("/").unwrap_or(scratch);
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
                let place = inside.to_string_lossy();
                self.mount("tmpfs", &place, flags, Some("size=4k"))
            }
            _ => Ok(()),
        }
    }

    fn mount(
        &self,
        kind: &str,
        place: &str,
        flags: MsFlags,
        options: Option<&str>,
    ) -> std::io::Result<()> {
        let place = self.root.join(place);
        at(kind, fs::create_dir_all(&place))?;
        at(kind, mount(Some(kind), &place, Some(kind), flags, options))
    }

    /// Makes a directory of the machine the same inside.
    fn bind(&self, dir: &Path) -> std::io::Result<()> {
        let inside = self.root.join(dir.strip_prefix("/").unwrap_or(dir));
        at("the work directory", fs::create_dir_all(&inside))?;
        Self::bind_to(dir, &inside)
    }

    fn bind_to(from: &Path, to: &Path) -> std::io::Result<()> {
        let none: Option<&str> = None;
        at(&from.display().to_string(), mount(Some(from), to, none, MsFlags::MS_BIND, none))
    }

    fn names(&self) -> std::io::Result<()> {
        let etc = self.root.join("etc");
        at("hosts", fs::write(etc.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n"))?;
        self.user(&etc)?;
        let resolver = if self.network {
            fs::read("/etc/resolv.conf").unwrap_or_default()
        } else {
            loopback_up();
            vec![]
        };
        // It may be a link to a place that the root does not have.
        let _ = fs::remove_file(etc.join("resolv.conf"));
        at("resolv.conf", fs::write(etc.join("resolv.conf"), resolver))
    }

    /// Many programs fail for a user that has no name.
    fn user(&self, etc: &Path) -> std::io::Result<()> {
        let id = self.id;
        for (file, line) in [
            ("passwd", format!("pybit:x:{id}:{id}:pybit:/nonexistent:/bin/sh\n")),
            ("group", format!("pybit:x:{id}:\n")),
        ] {
            let path = etc.join(file);
            let known = at(file, fs::read_to_string(&path))?;
            if !known.lines().any(|l| l.split(':').nth(2) == Some(&id.to_string())) {
                at(file, fs::write(&path, known + &line))?;
            }
        }
        Ok(())
    }

    fn drop_privileges(&self) -> std::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.id), Gid::from_raw(self.id));
        at("setgroups", setgroups(&[]))?;
        at("setgid", setresgid(gid, gid, gid))?;
        at("setuid", setresuid(uid, uid, uid))?;
        at("no_new_privs", prctl::set_no_new_privs())
    }
}

/// Tests of many packages talk to themselves; without `ip` on the machine they cannot.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn loopback_up() {
    let _ = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_what_it_writes() {
        let entry = Entry {
            root: "/w/scratch/root".into(),
            work: "/w".into(),
            cwd: "/w/tree".into(),
            network: false,
            id: 1000,
        };
        let command = ["dpkg-source".to_owned(), "-b".to_owned()];
        let args = entry.to_args(&command);
        assert_eq!(Entry::from_args(&args[1..]), Some((entry, &command[..])));
        assert_eq!(Entry::from_args(&args[1..6]), None);
    }
}
