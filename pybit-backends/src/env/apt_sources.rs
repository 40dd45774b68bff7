//! Which archives the machine's apt is configured with, and which of them make up a suite.

use std::collections::BTreeMap;
use std::path::Path;

use deb822_fast::Deb822;
use pybit_core::model::{Dist, Suite};
use pybit_core::{Error, ErrorKind, Result};

/// One suite of an archive, as an entry of `sources.list(5)` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) uri: String,
    pub(crate) suite: String,
    pub(crate) components: Vec<String>,
    /// The file of keys that its index must be signed with; apt's own where none is named.
    pub(crate) signed_by: Option<String>,
}

impl Archive {
    /// The entry in one-line style; `kind` is `deb` or `deb-src`.
    pub(crate) fn line(&self, kind: &str) -> String {
        let options =
            self.signed_by.as_ref().map_or(String::new(), |k| format!("[signed-by={k}] "));
        format!("{kind} {options}{} {} {}", self.uri, self.suite, self.components.join(" "))
    }
}

/// What the machine is configured with.
#[derive(Debug, Clone, Default)]
pub(crate) struct AptSources {
    archives: Vec<Archive>,
    /// `ID` of `os-release(5)`.
    dist: String,
    /// `VERSION_CODENAME` of `os-release(5)`.
    codename: String,
}

/// What is added to a suite's name for the archives that belong to it.
const COMPANIONS: [&str; 2] = ["-updates", "-security"];

impl AptSources {
    /// Reads the configuration below `etc`, the machine's `/etc`.
    pub(crate) fn read(etc: &Path) -> Self {
        let mut found = Self::default();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        found.archives.extend(parse_list(&text(&etc.join("apt/sources.list"))));
        let parts = std::fs::read_dir(etc.join("apt/sources.list.d"));
        let mut parts: Vec<_> = parts.into_iter().flatten().flatten().map(|e| e.path()).collect();
        parts.sort();
        for part in parts {
            match part.extension().and_then(|e| e.to_str()) {
                Some("list") => found.archives.extend(parse_list(&text(&part))),
                Some("sources") => found.archives.extend(parse_deb822(&text(&part))),
                _ => {}
            }
        }
        let release = parse_os_release(&text(&etc.join("os-release")));
        found.dist = release.get("ID").cloned().unwrap_or_default();
        found.codename = release.get("VERSION_CODENAME").cloned().unwrap_or_default();
        found
    }

    /// The archives of a suite with its updates and security fixes: those that are configured; else those of the
    /// machine's own suite with the name replaced. Entries without the component `main` belong to somebody else.
    pub(crate) fn for_suite(&self, dist: &Dist, suite: &Suite) -> Result<Vec<Archive>> {
        let configured = self.family(suite.as_str());
        if configured.iter().any(|a| a.suite == suite.as_str()) {
            return Ok(configured);
        }
        let derived: Vec<_> = if dist.as_str().eq_ignore_ascii_case(&self.dist) {
            self.family(&self.codename).into_iter().filter_map(|a| self.renamed(a, suite)).collect()
        } else {
            vec![]
        };
        if derived.is_empty() {
            let message = format!(
                "this machine's apt knows no archive for {dist} {suite}; add it to /etc/apt/sources.list.d, or name a mirror in the client's configuration"
            );
            return Err(Error::new(ErrorKind::Unsupported, message).with_code("no_archive"));
        }
        Ok(derived)
    }

    fn family(&self, suite: &str) -> Vec<Archive> {
        let mut family: Vec<Archive> = Vec::new();
        for archive in &self.archives {
            let rest = archive.suite.strip_prefix(suite);
            let related = rest.is_some_and(|r| r.is_empty() || COMPANIONS.contains(&r));
            let official = archive.components.iter().any(|c| c == "main");
            if related && official && !family.contains(archive) {
                family.push(archive.clone());
            }
        }
        family
    }

    /// A suite that moves on has neither updates nor security fixes apart.
    fn renamed(&self, archive: Archive, suite: &Suite) -> Option<Archive> {
        let rest = archive.suite.strip_prefix(&self.codename)?;
        let moving = ["sid", "unstable", "experimental"].contains(&suite.as_str());
        (rest.is_empty() || !moving).then(|| Archive { suite: format!("{suite}{rest}"), ..archive })
    }
}

fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|l| l.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.trim_matches(['"', '\'']).to_owned())).collect()
}

/// One-line style: `deb [signed-by=/key arch=amd64] URI SUITE COMPONENT…`.
fn parse_list(text: &str) -> Vec<Archive> {
    text.lines().filter_map(|line| parse_line(line.split('#').next().unwrap_or_default())).collect()
}

fn parse_line(line: &str) -> Option<Archive> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix("-src").unwrap_or(rest);
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
    Some(Archive {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// deb822 style. A key that stands in the entry itself is left to apt's own trusted keys.
fn parse_deb822(text: &str) -> Vec<Archive> {
    let Ok(entries) = text.parse::<Deb822>() else { return vec![] };
    let mut archives = Vec::new();
    for entry in entries.iter() {
        let words = |field: &str| {
            let value = entry.get(field).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        if entry.get("Enabled").is_some_and(|e| ["no", "false", "0"].contains(&e.trim())) {
            continue;
        }
        let signed_by =
            entry.get("Signed-By").map(str::trim).filter(|k| k.starts_with('/')).map(str::to_owned);
        for (uri, suite) in words("URIs")
            .iter()
            .flat_map(|u| words("Suites").into_iter().map(move |s| (u.clone(), s)))
        {
            let components = words("Components");
            archives.push(Archive { uri, suite, components, signed_by: signed_by.clone() });
        }
    }
    archives
}

/// The settings of `apt-config dump` that decide how the mirror is reached, fit for a configuration file.
pub(crate) fn reaching_options(dump: &str) -> String {
    let wanted = [
        "Acquire::http::Proxy",
        "Acquire::https::Proxy",
        "Acquire::http::Timeout",
        "Acquire::https::Timeout",
        "Acquire::https::CAInfo",
        "Acquire::Retries",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
    ];
    let is_wanted = |line: &&str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        wanted.iter().any(|w| name.eq_ignore_ascii_case(w) || per_host(name, w))
    };
    dump.lines().filter(is_wanted).fold(String::new(), |text, line| text + line + "\n")
}

/// `Acquire::http::Proxy::some.host`.
fn per_host(name: &str, wanted: &str) -> bool {
    wanted.ends_with("Proxy")
        && name.get(..wanted.len()).is_some_and(|n| n.eq_ignore_ascii_case(wanted))
        && name[wanted.len()..].starts_with("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
        Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
        Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n";
    const LIST: &str = "# deb http://commented.example/debian bookworm main\n\
        deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] https://docker.example/linux/debian bookworm stable\n\
        deb http://pgdg.example/pub bookworm-pgdg main\n";

    fn machine() -> AptSources {
        let mut archives = parse_deb822(SOURCES);
        archives.extend(parse_list(LIST));
        AptSources { archives, dist: "debian".to_owned(), codename: "bookworm".to_owned() }
    }

    fn lines(suite: &str, kind: &str) -> Vec<String> {
        let found = machine().for_suite(&"Debian".parse().unwrap(), &suite.parse().unwrap());
        found.unwrap().iter().map(|a| a.line(kind)).collect()
    }

    #[test]
    fn a_suite_is_its_archive_with_updates_and_security_and_nobody_elses() {
        let key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ";
        assert_eq!(
            lines("bookworm", "deb-src"),
            [
                format!("deb-src {key}http://mirror.example/debian bookworm main contrib"),
                format!("deb-src {key}http://mirror.example/debian bookworm-updates main contrib"),
                "deb-src http://mirror.example/debian-security bookworm-security main".to_owned(),
            ]
        );
    }

    #[test]
    fn another_suite_of_the_same_distribution_comes_from_the_same_mirror() {
        assert_eq!(lines("trixie", "deb").len(), 3);
        assert!(lines("trixie", "deb")[2].ends_with("debian-security trixie-security main"));
        assert_eq!(lines("sid", "deb").len(), 1);
        let elsewhere = machine().for_suite(&"Ubuntu".parse().unwrap(), &"noble".parse().unwrap());
        assert_eq!(elsewhere.unwrap_err().code(), "no_archive");
    }

    #[test]
    fn only_the_way_to_the_mirror_is_taken_over_from_the_machine() {
        let dump = "Acquire::http::Proxy \"http://p:3142\";\nAcquire::http::Proxy::x.example \"DIRECT\";\n\
            Acquire::http::Proxy-Auto-Detect \"/bin/evil\";\nAPT::Update::Post-Invoke:: \"id\";\n\
            Acquire::AllowInsecureRepositories \"1\";\nAcquire::Check-Valid-Until \"false\";\n";
        assert_eq!(
            reaching_options(dump),
            "Acquire::http::Proxy \"http://p:3142\";\nAcquire::http::Proxy::x.example \"DIRECT\";\n\
             Acquire::Check-Valid-Until \"false\";\n"
        );
    }
}
