//! Submodules: repositories inside a repository, whose URLs the package's authors chose.

use std::path::{Path, PathBuf};

use pybit_core::format::Exit;
use pybit_core::model::Source;
use pybit_core::{Error, Result};

use super::git::{Checkout, GitConfig, check_scheme};
use super::probe::probe;
use super::trouble::Trouble;
use crate::exec::one_line;

/// Submodules of submodules of … more than this are refused.
const DEPTH: usize = 8;
/// More in one source are refused.
const COUNT: usize = 200;

/// An entry of `.gitmodules`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Submodule {
    name: String,
    path: String,
    url: String,
}

impl Checkout<'_> {
    /// Fetches the submodules, theirs too; where they lie.
    pub(super) async fn submodules(&self, url: &str) -> Result<Vec<PathBuf>> {
        let mut open = vec![(self.tree.clone(), url.to_owned(), 0)];
        let mut found = Vec::new();
        while let Some((dir, url, depth)) = open.pop() {
            for submodule in self.listed(&dir).await? {
                if !self.is_linked(&dir, &submodule.path).await? {
                    continue;
                }
                if depth == DEPTH || found.len() == COUNT {
                    return Err(refused("the submodules are too many or too deep"));
                }
                let address = checked(&url, &submodule.url, self.config())?;
                self.reach(&address).await.map_err(as_submodule)?;
                probe(&address, &self.config().allow_hosts).await?;
                self.update(&dir, &submodule, &address).await?;
                let place = dir.join(&submodule.path);
                found.push(place.clone());
                open.push((place, address, depth + 1));
            }
        }
        Ok(found)
    }

    async fn listed(&self, dir: &Path) -> Result<Vec<Submodule>> {
        let file = dir.join(".gitmodules");
        if !std::fs::symlink_metadata(&file).is_ok_and(|m| m.is_file()) {
            return Ok(vec![]);
        }
        let args = [
            "config",
            "--null",
            "--file",
            ".gitmodules",
            "--get-regexp",
            r"^submodule\..*\.(path|url)$",
        ];
        let output = self.answer(dir, &args).await?;
        match output.exit {
            Exit::Code(0) => Ok(parse(&output.text().unwrap_or_default())),
            // No entry with a path and a URL (git-config(1)).
            Exit::Code(1) => Ok(vec![]),
            _ => Err(Trouble::Broken.of(".gitmodules", one_line(&output.complaint()))),
        }
    }

    /// Whether the tree has a commit at the path: an entry that was forgotten there means nothing.
    async fn is_linked(&self, dir: &Path, path: &str) -> Result<bool> {
        let args = ["--literal-pathspecs", "ls-files", "--stage", "-z", "--", path];
        let listing = self.ask(dir, &args).await?;
        Ok(listing
            .split('\0')
            .filter_map(|entry| entry.split_once('\t'))
            .any(|(mode, name)| mode.starts_with("160000 ") && name == path))
    }

    /// The address that was checked is the one that is fetched from.
    async fn update(&self, dir: &Path, submodule: &Submodule, address: &str) -> Result<()> {
        let line = format!("submodule {} from {address}\n", submodule.path);
        self.log.write(line.as_bytes()).await?;
        let key = format!("submodule.{}.url", submodule.name);
        self.run(dir, &["config", "--local", "--", &key, address]).await?;
        let update =
            ["--literal-pathspecs", "submodule", "--quiet", "update", "--init", "--checkout"];
        let shallow = [&update[..], &["--depth=1", "--", &submodule.path]].concat();
        if self.run(dir, &shallow).await.is_ok() {
            return Ok(());
        }
        self.run(dir, &[&update[..], &["--", &submodule.path]].concat()).await
    }
}

/// Reads `git config --null --get-regexp`: `key LF value NUL`; entries without both values are no submodules.
fn parse(listing: &str) -> Vec<Submodule> {
    let mut found: Vec<Submodule> = Vec::new();
    for (key, value) in listing.split('\0').filter_map(|entry| entry.split_once('\n')) {
        let Some((name, field)) = key.strip_prefix("submodule.").and_then(|k| k.rsplit_once('.'))
        else {
            continue;
        };
        let index = found.iter().position(|s| s.name == name).unwrap_or_else(|| {
            let (path, url) = (String::new(), String::new());
            found.push(Submodule { name: name.to_owned(), path, url });
            found.len() - 1
        });
        match field {
            "path" => value.clone_into(&mut found[index].path),
            _ => value.clone_into(&mut found[index].url),
        }
    }
    found.retain(|s| !s.path.is_empty() && !s.url.is_empty());
    found
}

/// What git lists of a `.gitmodules`, for `make fuzz`.
///
/// # Panics
///
/// Where an address is taken that the rules of sources refuse.
#[cfg(feature = "fuzz")]
pub fn fuzz_submodules(bytes: &[u8]) {
    let config = GitConfig::default();
    for submodule in parse(&String::from_utf8_lossy(bytes)) {
        let Ok(url) = checked("https://example.org/team/x.git", &submodule.url, &config) else {
            continue;
        };
        // git runs what stands before "::" at the beginning, and takes what begins with "-" for an option.
        let scheme = url.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        let scheme = scheme.filter(|at| *at > 0 && !url.starts_with('-'));
        assert!(scheme.is_some_and(|at| url[at..].starts_with("://")), "{url:?}");
    }
}

fn refused(why: &str) -> Error {
    Error::invalid(why).with_code("submodule_refused")
}

/// The same failure, of a submodule where it is the source's own fault.
fn as_submodule(e: Error) -> Error {
    match e.code() {
        "source_not_allowed" => refused(&format!("a submodule is refused: {}", e.message())),
        _ => e,
    }
}

/// The full URL of a submodule, held to the same rules as the source's own.
fn checked(parent: &str, url: &str, config: &GitConfig) -> Result<String> {
    let url = if url.starts_with("./") || url.starts_with("../") {
        relative(parent, url).ok_or_else(|| refused("a submodule's URL leads out of its host"))?
    } else {
        url.to_owned()
    };
    let source = Source::Git { url: url.clone(), reference: None };
    source
        .check()
        .and_then(|()| check_scheme(&url, config))
        .map_err(|e| refused(&format!("a submodule is refused: {}", e.message())))?;
    Ok(url)
}

/// Resolves `../x.git` against the parent's URL, as `git-submodule(1)` does.
fn relative(parent: &str, url: &str) -> Option<String> {
    let start = parent.find("://")? + 3;
    let mut base = parent.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(r) = rest.strip_prefix("../") {
            let slash = base.rfind('/').filter(|s| *s > start)?;
            base.truncate(slash);
            rest = r;
        } else if let Some(r) = rest.strip_prefix("./") {
            rest = r;
        } else {
            return Some(format!("{base}/{rest}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodules_url_is_held_to_the_sources_rules() {
        let config = GitConfig::default();
        let parent = "https://example.org/group/x.git";
        let ok = checked(parent, "../y.git", &config).unwrap();
        assert_eq!(ok, "https://example.org/group/y.git");
        let below = checked(parent, "./z", &config).unwrap();
        assert_eq!(below, "https://example.org/group/x.git/z");
        for hostile in [
            "ext::sh -c id",
            "-u./payload",
            "file:///etc",
            "../../../../y",
            "/etc/x.git",
            "ssh://-oProxyCommand=id/x",
            "../../-x",
        ] {
            assert!(checked(parent, hostile, &config).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_listing_is_read_whatever_the_names_hold() {
        let listing = "submodule.a.b.path\nlib\0submodule.a.b.url\nhttps://x/y\0submodule.c.url\nhttps://x/z\0";
        let expected =
            Submodule { name: "a.b".into(), path: "lib".into(), url: "https://x/y".into() };
        assert_eq!(parse(listing), [expected]);
    }
}
