//! Control groups that this process may make.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::group::Controller;

/// The means of this machine to hold builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Control groups of version 2.
    Unified {
        /// The directory that they are made in.
        dir: PathBuf,
        /// The directory of the group that this process is in.
        home: PathBuf,
    },
    /// Control groups of version 1: the directory of each controller that groups are made in.
    Legacy(Vec<(Controller, PathBuf)>),
    /// Nothing but `prlimit(1)`.
    Processes,
}

/// The means that was found, and the reasons against better ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// The means.
    pub hold: Hold,
    /// Reasons why it is not version 2; empty where it is.
    pub why: Vec<String>,
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hold {
            Hold::Unified { .. } => f.write_str("control groups (version 2)"),
            Hold::Legacy(dirs) => {
                let names: Vec<_> = dirs.iter().map(|(c, _)| c.name()).collect();
                write!(f, "control groups (version 1: {})", names.join(", "))
            }
            Hold::Processes => f.write_str("prlimit, which bounds each process by itself"),
        }
    }
}

/// The start of the names of the groups of builds; the number of the process that made them follows.
pub(super) const PREFIX: &str = "pybit-build-";

impl Holds {
    /// Looks at this machine. Version 2 needs a directory of this process's own (`Delegate=` of a systemd unit): its processes are
    /// moved into a group below that, as the kernel wants it. Groups that a killed process of pybit has left are removed.
    pub fn find() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let found = Self::of(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        match &found.hold {
            Hold::Unified { dir, .. } => remove_left(dir),
            Hold::Legacy(dirs) => dirs.iter().for_each(|(_, dir)| remove_left(dir)),
            Hold::Processes => {}
        }
        found
    }

    fn of(own: &str, mounts: &str) -> Self {
        let mut why = Vec::new();
        match unified(own, mounts) {
            Ok(hold) => return Self { hold, why },
            Err(reason) => why.push(reason),
        }
        let legacy: Result<Vec<_>, _> = Controller::ALL
            .into_iter()
            .map(|c| legacy(c, own, mounts).map(|dir| (c, dir)))
            .collect();
        match legacy {
            Ok(dirs) => Self { hold: Hold::Legacy(dirs), why },
            Err(reason) => {
                why.push(reason);
                Self { hold: Hold::Processes, why }
            }
        }
    }

    /// True where all processes of a build are held together.
    pub fn is_whole(&self) -> bool {
        self.hold != Hold::Processes
    }
}

/// The place of groups of version 2: in the group of this process where that is its own, else, for root, at the top.
fn unified(own: &str, mounts: &str) -> Result<Hold, String> {
    let mount = mount_of(mounts, |kind, _| kind == "cgroup2").ok_or("version 2 is not mounted")?;
    let path = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
    let dir = if path == "/" { mount.clone() } else { below(&mount, path) };
    let refused = match pass_on(&dir, true) {
        Ok(home) => return Ok(Hold::Unified { dir, home }),
        Err(refused) => refused,
    };
    if dir == mount {
        return Err(refused);
    }
    // Nothing has to move at the top, which holds processes in spite of groups below; systemd has passed the controllers on already.
    pass_on(&mount, false).map(|_| Hold::Unified { dir: mount, home: dir }).map_err(|_| refused)
}

/// Passes the controllers on to the groups below; the group that this process is in then.
fn pass_on(dir: &Path, own: bool) -> Result<PathBuf, String> {
    let has = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    let has: Vec<_> = has.split_whitespace().collect();
    if let Some(lacking) = ["memory", "pids", "cpu"].into_iter().find(|c| !has.contains(c)) {
        return Err(format!("version 2 has no controller {lacking} in {}", dir.display()));
    }
    let home = if own { move_aside(dir) } else { Ok(dir.to_owned()) };
    home.and_then(|home| {
        fs::write(dir.join("cgroup.subtree_control"), "+memory +pids +cpu").map(|()| home)
    })
    .map_err(|e| {
        let dir = dir.display();
        format!("{dir} is not delegated to pybit ({e}); Delegate=yes in a systemd unit does that")
    })
}

/// A group that passes controllers on holds no processes itself: this one goes into a group below, which is returned.
fn move_aside(dir: &Path) -> std::io::Result<PathBuf> {
    let all = fs::read_to_string(dir.join("cgroup.procs"))?;
    let own = Pid::this().to_string();
    if let Some(other) = all.lines().find(|pid| *pid != own) {
        let message = format!("it holds other processes, {other} among them");
        return Err(std::io::Error::other(message));
    }
    let aside = dir.join("pybit-farm");
    match fs::create_dir(&aside) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    if !all.is_empty() {
        fs::write(aside.join("cgroup.procs"), own)?;
    }
    Ok(aside)
}

/// The directory of this process in the hierarchy of a controller of version 1, where it may make groups.
fn legacy(controller: Controller, own: &str, mounts: &str) -> Result<PathBuf, String> {
    let name = controller.name();
    let listed = |list: &str| list.split(',').any(|c| c == name);
    let mount = mount_of(mounts, |kind, options| kind == "cgroup" && listed(options));
    let mount = mount.ok_or(format!("version 1 has no controller {name}"))?;
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        fields.next().filter(|controllers| listed(controllers)).and(fields.next())
    });
    let dir = below(&mount, path.unwrap_or("/"));
    // In a container, the path is the one outside.
    let dir = if dir.is_dir() { dir } else { mount };
    let probe = dir.join(format!("{PREFIX}{}-probe", Pid::this()));
    fs::create_dir(&probe)
        .and_then(|()| fs::remove_dir(&probe))
        .map_err(|e| format!("no group can be made in {}: {e}", dir.display()))?;
    Ok(dir)
}

/// The place of the first mount that fits, by its kind and the options of its file system (`proc_pid_mountinfo(5)`).
fn mount_of(mounts: &str, fits: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, filesystem) = line.split_once(" - ")?;
        let mut fields = filesystem.split(' ');
        let (kind, _, options) = (fields.next()?, fields.next()?, fields.next()?);
        fits(kind, options).then(|| place.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

/// Removes the groups of processes that are no more; one that still holds a process stays.
fn remove_left(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker =
            name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        if maker.is_some_and(gone) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_their_controller() {
        let mounts = "25 21 0:22 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      26 21 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let of = |name: &'static str| {
            mount_of(mounts, |kind, o| kind == "cgroup" && o.split(',').any(|c| c == name))
        };
        assert_eq!(of("cpu").unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(of("memory"), None);
        let unified = mount_of(mounts, |kind, _| kind == "cgroup2");
        assert_eq!(unified.unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn without_control_groups_each_reason_is_said() {
        let holds = Holds::of("", "");
        assert_eq!(holds.hold, Hold::Processes);
        assert_eq!(holds.why, ["version 2 is not mounted", "version 1 has no controller memory"]);
    }

    #[test]
    fn a_group_with_processes_of_others_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("cgroup.controllers", "cpuset cpu io memory pids\n");
        put("cgroup.procs", "1\n");
        put("cgroup.subtree_control", "");
        let mounts = format!("1 1 0:1 / {} rw - cgroup2 cgroup2 rw\n", dir.path().display());
        let refused = unified("0::/\n", &mounts).unwrap_err();
        assert!(
            refused.contains("other processes") && refused.contains("Delegate=yes"),
            "{refused}"
        );
        put("cgroup.procs", "");
        let home = dir.path().join("pybit-farm");
        assert_eq!(
            unified("0::/\n", &mounts).unwrap(),
            Hold::Unified { dir: dir.path().into(), home }
        );
        put("cgroup.controllers", "cpu memory\n");
        assert!(unified("0::/\n", &mounts).unwrap_err().contains("no controller pids"));
    }
}
