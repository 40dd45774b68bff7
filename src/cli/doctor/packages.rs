//! How this machine installs packages, and what it calls them.

use super::is_there;

/// A program that installs packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installer {
    Apt,
    Dnf,
}

/// Packages that Fedora has under another name than Debian.
const FEDORA: [(&str, &str); 6] = [
    ("createrepo-c", "createrepo_c"),
    ("gnupg", "gnupg2"),
    ("gpgv", "gnupg2"),
    ("iproute2", "iproute"),
    ("perl", "perl-interpreter"),
    ("uidmap", "shadow-utils"),
];

impl Installer {
    /// dnf where there is no apt-get: Debian has a dnf, too, which installs nothing there.
    pub(super) fn of_this_machine() -> Self {
        if is_there("dnf") && !is_there("apt-get") { Self::Dnf } else { Self::Apt }
    }

    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
        }
    }

    /// What it calls a package of Debian's.
    pub(super) fn name(self, package: &'static str) -> &'static str {
        let known = FEDORA.iter().filter(|_| self == Self::Dnf);
        known.into_iter().find(|(debian, _)| *debian == package).map_or(package, |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_called_as_the_machine_calls_it() {
        assert_eq!((Installer::Apt.name("gpgv"), Installer::Dnf.name("gpgv")), ("gpgv", "gnupg2"));
        assert_eq!((Installer::Dnf.name("mock"), Installer::Dnf.command()), ("mock", "dnf"));
    }
}
