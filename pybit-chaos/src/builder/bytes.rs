//! What a build says and leaves behind, known from its names alone: the checker computes it again.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::deb;
use crate::plan::Dice;

/// The SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What the build of an attempt says.
pub(crate) fn log(job: i64, attempt: u32) -> String {
    let mut dice = Dice::new(job.cast_unsigned(), &format!("log {attempt}"));
    let lines = dice.within(20, 200);
    let mut text = format!("chaos-begin {job} {attempt} {lines}\n");
    for n in 0..lines {
        let _ = writeln!(text, "chaos-line {n} {:016x}{:016x}", dice.next(), dice.next());
    }
    let _ = writeln!(text, "chaos-end {job} {attempt}");
    text
}

/// How long the build of an attempt takes, in milliseconds.
pub(crate) fn takes(job: i64, attempt: u32) -> u64 {
    Dice::new(job.cast_unsigned(), &format!("takes {attempt}")).within(50, 400)
}

/// The binary package of an attempt: other bytes for every attempt.
pub(crate) fn binary(package: &str, version: &str, arch: &str, job: i64, attempt: u32) -> Vec<u8> {
    let mut dice = Dice::new(job.cast_unsigned(), &format!("deb {attempt}"));
    let words = dice.within(16, 4096);
    let body: Vec<u8> = (0..words).flat_map(|_| dice.next().to_le_bytes()).collect();
    deb::package(package, version, arch, &format!("job {job} attempt {attempt}"), &body)
}

/// A source package: the description, the name of its tarball, and the tarball.
pub(crate) fn source(package: &str, version: &str) -> (String, String, Vec<u8>) {
    let mut dice = Dice::new(0, &format!("source {package} {version}"));
    let words = dice.within(16, 24_000);
    let tarball: Vec<u8> = (0..words).flat_map(|_| dice.next().to_le_bytes()).collect();
    let name = format!("{package}_{version}.tar.xz");
    let md5 = hex::encode(md5::Md5::digest(&tarball));
    let (size, sha) = (tarball.len(), sha256(&tarball));
    let text = format!(
        "Format: 3.0 (native)\nSource: {package}\nBinary: {package}\nArchitecture: any\nVersion: {version}\n\
         Maintainer: Chaos <chaos@example.org>\nStandards-Version: 4.6.2\nPackage-List:\n {package} deb devel optional arch=any\n\
         Checksums-Sha256:\n {sha} {size} {name}\nFiles:\n {md5} {size} {name}\n"
    );
    (text, name, tarball)
}
