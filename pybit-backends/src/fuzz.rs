//! Every parser of this crate that sees foreign bytes, as `make fuzz` calls it.
//!
//! A target takes any bytes, and panics where the parser does or where what it took breaks a promise.

#![expect(clippy::missing_panics_doc, reason = "a panic is what they are for")]

use std::cmp::Ordering;

use pybit_core::format::{Exit, PackageFormat};
use pybit_core::model::{Arch, Produced};
use pybit_core::transport::Hint;
use pybit_core::version::VersionOrder;

pub use crate::archive::{fuzz_names, fuzz_rpm_names, fuzz_simple};
use crate::deb::{DebFormat, DebVersions, read_changes};
pub use crate::publish::fuzz_primary;
use crate::python::{PythonFormat, PythonVersions, WheelName, is_sdist};
#[cfg(feature = "rabbitmq")]
pub use crate::rabbitmq::fuzz_command;
use crate::rpm::{RpmFormat, RpmVersions};
pub use crate::source::{fuzz_head, fuzz_submodules, fuzz_watch};
#[cfg(feature = "zeromq")]
pub use crate::zeromq::fuzz_frame;

/// A `.dsc`: what is taken has plain file names and architectures that can be expanded or refused.
pub fn dsc(bytes: &[u8]) {
    source(&DebFormat::new(), bytes, &["amd64", "arm64"]);
}

/// A `.srpm-info`: what holds for a `.dsc`.
pub fn srpm_info(bytes: &[u8]) {
    source(&RpmFormat::new(), bytes, &["x86_64", "aarch64", "noarch"]);
}

/// A `.sdist-info`: what holds for a `.dsc`, and its one file is an sdist.
pub fn sdist_info(bytes: &[u8]) {
    let format = PythonFormat::new();
    source(&format, bytes, &["x86_64", "aarch64", "all"]);
    if let Ok(source) = format.read_source(bytes) {
        assert!(source.files.len() == 1 && is_sdist(source.files[0].name.as_str()));
    }
}

fn source(format: &dyn PackageFormat, bytes: &[u8], served: &[&str]) {
    let Ok(source) = format.read_source(bytes) else { return };
    for file in &source.files {
        assert!(!file.name.as_str().contains('/') && !file.name.as_str().starts_with('.'));
    }
    let served: Vec<Arch> = served.iter().filter_map(|a| a.parse().ok()).collect();
    // A refusal is an answer, too.
    let _ = format.expand(&source.arches, &served);
}

/// A `.changes`: what is taken has plain file names, each once.
pub fn changes(bytes: &[u8]) {
    let Ok(changes) = read_changes(bytes) else { return };
    let names: Vec<&str> = changes.files.iter().map(|f| f.spec.name.as_str()).collect();
    assert!(names.iter().all(|n| !n.contains('/') && !n.starts_with('.')));
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
}

/// Two versions with a newline between them, of `deb`.
pub fn deb_version(bytes: &[u8]) {
    versions(&DebVersions, bytes);
}

/// Two versions with a newline between them, of `rpm`.
pub fn rpm_version(bytes: &[u8]) {
    versions(&RpmVersions, bytes);
}

/// Two versions with a newline between them, of `python`.
pub fn python_version(bytes: &[u8]) {
    versions(&PythonVersions, bytes);
}

/// The name of a wheel: what is taken is of itself, and for some platform.
pub fn wheel(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let Some(wheel) = WheelName::read(&name) else { return };
    assert!(!wheel.platforms().is_empty(), "{name:?}");
    let _ = (wheel.is_for_all(), wheel.is_for("x86_64"), wheel.is_of("x", "1"));
}

/// What is taken is ordered by its keys as by its versions, and what is refused is refused everywhere.
fn versions(order: &dyn VersionOrder, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (a, b) = text.split_once('\n').unwrap_or((&text, "1"));
    let both = order.parse(a).is_ok() && order.parse(b).is_ok();
    let Ok(compared) = order.compare(a, b) else {
        assert!(!both, "{a:?} and {b:?} are valid and have no order");
        return;
    };
    assert!(both, "{a:?} or {b:?} is not valid and has an order");
    assert_eq!(order.compare(b, a).ok(), Some(compared.reverse()));
    assert_eq!(order.compare(a, a).ok(), Some(Ordering::Equal));
    let (Ok(key_a), Ok(key_b)) = (order.key(a), order.key(b)) else {
        panic!("{a:?} or {b:?} is valid and has no key");
    };
    assert_eq!(key_a.cmp(&key_b), compared, "{a:?} and {b:?}");
}

/// A relation between packages, from a build's log.
pub fn relation(bytes: &[u8]) {
    let (Ok(name), Ok(version)) = ("libc6".parse(), "2.36-9".parse()) else { return };
    let package = Produced { name, version, arch: "amd64".to_owned() };
    let relation = String::from_utf8_lossy(bytes);
    DebFormat::new().satisfies(&relation, &package);
    RpmFormat::new().satisfies(&relation, &package);
    PythonFormat::new().satisfies(&relation, &package);
}

/// The end of a failed build's log.
pub fn log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for phase in ["prepare", "build", "install-deps", "dependencies"] {
        let _ = DebFormat::new().classify(phase, Exit::Code(2), &text);
        let _ = RpmFormat::new().classify(phase, Exit::Code(2), &text);
        let _ = PythonFormat::new().classify(phase, Exit::Code(2), &text);
    }
}

/// A hint as it travels: what is taken is written and read the same.
pub fn hint(bytes: &[u8]) {
    let Ok(hint) = Hint::decode(bytes) else { return };
    assert_eq!(Hint::decode(&hint.encode()).ok(), Some(hint));
}
