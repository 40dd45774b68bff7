//! Architectures under another format's name.

use pybit_core::model::{Arch, FormatName};

/// What `deb`, `rpm` and `python` call one architecture, where they differ: dpkg's `cputable`, rpm's `rpmrc`, and the machine of
/// `uname` that wheels are tagged with.
const NAMES: [[&str; 3]; 6] = [
    ["amd64", "x86_64", "x86_64"],
    ["arm64", "aarch64", "aarch64"],
    ["armhf", "armv7hl", "armv7l"],
    ["i386", "i686", "i686"],
    ["ppc64el", "ppc64le", "ppc64le"],
    ["loong64", "loongarch64", "loongarch64"],
];

/// What the format calls the architecture that another format calls so; nothing where it may be right.
pub(super) fn own_name(format: &FormatName, arch: &Arch) -> Option<&'static str> {
    let place = ["deb", "rpm", "python"].iter().position(|f| *f == format.as_str())?;
    let names = NAMES.iter().find(|names| names.contains(&arch.as_str()))?;
    let is_own = NAMES.iter().any(|names| names[place] == arch.as_str());
    (!is_own).then_some(names[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_names() {
        let named = |format: &str, arch: &str| {
            own_name(&format.parse().unwrap(), &arch.parse().unwrap()).unwrap_or("right")
        };
        assert_eq!((named("deb", "x86_64"), named("deb", "amd64")), ("amd64", "right"));
        assert_eq!((named("rpm", "amd64"), named("rpm", "x86_64")), ("x86_64", "right"));
        assert_eq!((named("rpm", "armhf"), named("python", "armhf")), ("armv7hl", "armv7l"));
        assert_eq!((named("deb", "riscv64"), named("mine", "amd64")), ("right", "right"));
    }
}
