//! `uscan(1)`, told by a copy of the watch file that holds what fetches a tarball, and nothing that runs a program.
//!
//! Rules from uscan(1), "FORMAT OF THE WATCH FILE", version 4, and `Devscripts::Uscan::WatchLine`: a line's fourth word (the
//! third, where the address ends in the pattern) is a command, `opts="mode=git"` and `mode=svn` run those, `ctype` names
//! a module to load, `unzipopt` becomes arguments, `filenamemangle` the name of a file.

use std::path::Path;

use pybit_core::format::Exit;
use pybit_core::{ErrorKind, Result};

use super::gateway::Gateway;
use super::git::Checkout;
use super::{is_proxied, reaching};
use crate::exec::{Cmd, Tail};

/// Options whose value becomes a part of file names.
const NAMED: [&str; 2] = ["component", "repacksuffix"];
/// Further options that say no more than what to look for and how to pack it.
const HARMLESS: [&str; 17] = [
    "bare",
    "compression",
    "decompress",
    "dirversionmangle",
    "downloadurlmangle",
    "dversionmangle",
    "hrefdecode",
    "oversionmangle",
    "pagemangle",
    "pgpmode",
    "pgpsigurlmangle",
    "repack",
    "searchmode",
    "user-agent",
    "useragent",
    "uversionmangle",
    "versionmangle",
];

/// The watch file without what could run a program; the error says why nothing is left of it.
fn harmless(watch: &str) -> std::result::Result<String, String> {
    let mut lines = logical(watch);
    let first = lines.first().cloned().unwrap_or_default();
    let version = first.strip_prefix("version").and_then(|v| v.trim_start().strip_prefix('='));
    let version = version.map(str::trim).filter(|v| ["3", "4"].contains(v));
    let Some(version) = version else {
        return Err("debian/watch is of no version that is known here (3 and 4)".to_owned());
    };
    let mut copy = format!("version={version}\n");
    for line in lines.drain(..).skip(1) {
        copy.push_str(&harmless_line(&line)?);
        copy.push('\n');
    }
    Ok(copy)
}

/// Lines without comments, put together where they end in a backslash.
fn logical(watch: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in watch.lines().map(str::trim) {
        if !open && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        let (text, more) = line.strip_suffix('\\').map_or((line, false), |l| (l, true));
        match lines.last_mut().filter(|_| open) {
            Some(last) => last.push_str(text),
            None => lines.push(text.to_owned()),
        }
        open = more;
    }
    lines
}

fn harmless_line(line: &str) -> std::result::Result<String, String> {
    let (options, rest) = options(line)?;
    let options = harmless_options(options)?;
    let mut words = rest.split_whitespace();
    let address = words.next().ok_or("a line of debian/watch names no address")?;
    if !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme)) {
        return Err(format!("debian/watch names {address}, and only http and https are fetched"));
    }
    let kept = words.take(if has_pattern(address) { 1 } else { 2 });
    let words: Vec<&str> = std::iter::once(address).chain(kept).collect();
    let words = words.join(" ");
    // uscan would read such a line on in the next one, and find the end of the options elsewhere.
    if words.ends_with('\\') || words.contains('"') || options.contains('"') {
        return Err("a line of debian/watch holds what cannot be copied".to_owned());
    }
    Ok(if options.is_empty() { words } else { format!("opts=\"{options}\" {words}") })
}

/// Whether the address ends in the pattern, so that the next word is the version already. What stands between two `@` is
/// replaced before uscan looks, mostly by something with a pair of parentheses.
fn has_pattern(address: &str) -> bool {
    let last = address.rsplit('/').next().unwrap_or_default();
    last.contains('@') || last.split_once('(').is_some_and(|(_, behind)| behind.contains(')'))
}

/// The value of `opts=`, and what is behind it.
fn options(line: &str) -> std::result::Result<(&str, &str), String> {
    let named = ["options", "opts", "option", "opt"]
        .iter()
        .find_map(|name| line.strip_prefix(name).and_then(|l| l.trim_start().strip_prefix('=')));
    let Some(value) = named.map(str::trim_start) else { return Ok(("", line)) };
    let parted = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => value.split_once(char::is_whitespace),
    };
    parted.ok_or_else(|| "a line of debian/watch has options and no end of them".to_owned())
}

fn harmless_options(options: &str) -> std::result::Result<String, String> {
    let mut kept = Vec::new();
    for option in options.split(',').map(str::trim).filter(|o| !o.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let (name, value) = (name.trim(), value.trim());
        if name == "mode" && value != "LWP" {
            return Err(format!(
                "debian/watch reads a repository (mode={value}), which is not done here"
            ));
        }
        if HARMLESS.contains(&name) || (NAMED.contains(&name) && !value.contains('/')) {
            kept.push(option);
        }
    }
    Ok(kept.join(","))
}

impl Checkout<'_> {
    /// Fetches the upstream tarballs of the tree's version, as its watch file says; what hinders that is said in the log.
    ///
    /// Fails where the disk is full.
    pub(super) async fn uscan(&self, stem: &str) -> Result<()> {
        let watch = match harmless(&self.blob("HEAD:debian/watch").await?) {
            Ok(watch) => watch,
            Err(why) => return self.say(&format!("No upstream tarball by uscan: {why}")).await,
        };
        let watch = self.place("watch", &watch)?.display().to_string();
        let into = self.into.display().to_string();
        let mut cmd = Cmd::new(["uscan"], &self.tree).within(self.config().wall);
        // --no-conf is known as the first word alone. Links would lead out of the tree that is handed on.
        let args = ["--no-conf", "--watchfile", &watch, "--download-current-version", "--rename"];
        cmd.argv.extend(args.map(str::to_owned));
        cmd.argv.extend(["--destdir", &into, "--timeout", "60"].map(str::to_owned));
        cmd.vars.extend(reaching());
        cmd = cmd.var("HOME", &into);
        let mut gateway = None;
        if !is_proxied("http") && !is_proxied("https") {
            let open = Gateway::open(self.config().allow_hosts.clone()).await?;
            for name in ["http_proxy", "https_proxy", "ftp_proxy"] {
                cmd = cmd.var(name, open.url());
            }
            cmd = cmd.var("no_proxy", "");
            gateway = Some(open);
        }
        let said = Tail::new(self.log);
        let end = self.exec.run(&cmd, &said).await;
        drop(gateway);
        let got = self.tarballs(stem)?;
        match end {
            Ok(Exit::Code(0)) if !got.is_empty() => {
                self.say(&format!("uscan has fetched {}", got.join(", "))).await
            }
            Err(e) if e.kind() == ErrorKind::Full => Err(e),
            other => {
                // Half of a tarball is worse than none.
                for name in &got {
                    self.remove(name).await?;
                }
                let missing = !Path::new("/usr/bin/uscan").exists();
                let why = match other {
                    _ if missing => {
                        "the package devscripts is not installed on this client".to_owned()
                    }
                    Ok(Exit::Code(0)) => format!("it made no {stem}.orig.tar.*"),
                    Ok(exit) => format!("{exit:?}"),
                    Err(e) => e.to_string(),
                };
                self.say(&format!("No upstream tarball by uscan: {why}")).await
            }
        }
    }

    /// The tarballs beside the tree.
    fn tarballs(&self, stem: &str) -> Result<Vec<String>> {
        let failed = |e: std::io::Error| super::disk("read", &self.into, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.into).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if super::upstream::is_tarball(&name, stem) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file of the build user, as the build user.
    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.into.join(name).display().to_string();
        self.exec.check(&Cmd::new(["rm", "-f", "--", &path], &self.into), 64 << 10).await?;
        Ok(())
    }
}

/// A watch file, for `make fuzz`.
///
/// # Panics
///
/// Where uscan would find a command in the copy, or an option that was to be left out.
#[cfg(feature = "fuzz")]
pub fn fuzz_watch(bytes: &[u8]) {
    let Ok(copy) = harmless(&String::from_utf8_lossy(bytes)) else { return };
    assert_eq!(harmless(&copy).as_ref(), Ok(&copy));
    for line in copy.lines().skip(1) {
        assert!(!line.ends_with('\\'));
        let words = match line.strip_prefix("opts=\"") {
            Some(quoted) => {
                let (options, words) = quoted.split_once("\" ").expect("an end of the options");
                let known = |o: &str| HARMLESS.contains(&o) || NAMED.contains(&o);
                let mut names = options.split(',').map(|o| o.split('=').next().unwrap_or_default());
                assert!(names.all(|name| known(name.trim())), "{options}");
                words
            }
            None => line,
        };
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        let expanded = words[0].replace("@ANY_VERSION@", "(x)").replace("@ARCHIVE_EXT@", "(x)");
        let last = expanded.rsplit('/').next().unwrap_or_default();
        let within = last.find('(').zip(last.rfind(')')).is_some_and(|(open, end)| open < end);
        assert!(words.len() <= if within { 2 } else { 3 }, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> std::result::Result<String, String> {
        harmless(&format!("# x\n\nversion=4\n{line}\n"))
            .map(|copy| copy.strip_prefix("version=4\n").unwrap_or_default().trim_end().to_owned())
    }

    #[test]
    fn what_fetches_stays() {
        for same in [
            "https://a.example/foo-(.+)\\.tar\\.gz",
            "https://a.example/ foo-(.+)\\.tar\\.gz debian",
            "opts=\"uversionmangle=s/rc/~rc/,dversionmangle=auto\" https://a.example/(\\d)/ foo-(.+)\\.tar\\.gz",
            "opts=\"component=docs,pgpmode=none\" https://a.example/x/docs-(.+)\\.tar\\.xz same",
        ] {
            assert_eq!(line(same).as_deref(), Ok(same));
        }
    }

    #[test]
    fn what_runs_a_program_or_names_a_file_goes() {
        for (dangerous, kept) in [
            ("https://a/ foo-(.+) debian uupdate", "https://a/ foo-(.+) debian"),
            ("https://a/ foo-(.+) debian /usr/bin/id -u", "https://a/ foo-(.+) debian"),
            ("https://a/foo-(.+) debian /usr/bin/id", "https://a/foo-(.+) debian"),
            ("https://a/(\\d)/ foo-(.+) debian uupdate", "https://a/(\\d)/ foo-(.+) debian"),
            ("https://a/foo@ANY_VERSION@ debian /usr/bin/id", "https://a/foo@ANY_VERSION@ debian"),
            ("opts=ctype=../../x,repack https://a/f-(.+)", "opts=\"repack\" https://a/f-(.+)"),
            (
                "opts=\"unzipopt=-d/,\\\n filenamemangle=s/x/y/\" \\\n https://a/f-(.+)",
                "https://a/f-(.+)",
            ),
            ("opts=component=../x,gitmode=full https://a/f-(.+)", "https://a/f-(.+)"),
        ] {
            assert_eq!(line(dangerous).as_deref(), Ok(kept), "{dangerous}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (bad, why) in [
            ("opts=mode=git https://a/x HEAD", "mode=git"),
            ("opts=\"mode = svn\" https://a/x HEAD", "mode=svn"),
            ("opts=\"repack https://a/x", "no end"),
            ("ftp://a/x-(.+)", "only http"),
            ("opts=repack", "no end"),
            ("https://a/ f-(.+) x\\ y\nhttps://b/ f-(.+)", "cannot be copied"),
            ("opts=pagemangle=\"x https://a/f-(.+)", "cannot be copied"),
        ] {
            let said = line(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        for none in ["", "version=5\n", "https://a/x-(.+)\n", "Version: 5\n"] {
            assert!(harmless(none).unwrap_err().contains("no version"), "{none}");
        }
    }
}
