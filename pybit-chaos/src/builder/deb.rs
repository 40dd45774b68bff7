//! A real `.deb`, always the same bytes for the same words.

use std::fmt::Write;

/// Builds it: an `ar` archive of two plain tar archives.
pub(super) fn package(name: &str, version: &str, arch: &str, about: &str, body: &[u8]) -> Vec<u8> {
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Chaos <chaos@example.org>\n\
         Section: devel\nPriority: optional\nDescription: {about}\n"
    );
    let control = tar(&[("./control", control.as_bytes())]);
    let data = tar(&[(&format!("./usr/share/{name}/body"), body)]);
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", &data)]
    {
        let mut header = String::new();
        let _ = writeln!(
            header,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            0,
            "100644",
            bytes.len()
        );
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        // Writing into memory does not fail.
        let _ = builder.append_data(&mut header, path, *bytes);
    }
    builder.into_inner().unwrap_or_default()
}
