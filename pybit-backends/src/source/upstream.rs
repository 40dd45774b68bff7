//! The upstream tarball of a Debian source tree, where its repository has one.
//!
//! A "3.0 (quilt)" source package consists of the upstream's tarball and what Debian adds. A packaging repository holds that
//! tarball in one of two ways, tried in this order:
//!
//! - the branch `pristine-tar` (`pristine-tar(1)`): the very bytes that upstream released, as a delta to a tree of the
//!   repository. Its companions (`.orig-docs.tar.xz`) come along;
//! - a tag of the upstream version, named as `debian/gbp.conf` says (`upstream-tag`, `gbp.conf(5)`), else `upstream/V` (DEP 14),
//!   `vV` or `V`: `git archive` of it, where the tree differs from it below `debian/` alone.
//!
//! Where the repository has neither, [`uscan`](super::uscan) fetches it if the client is allowed to; else the build makes the
//! tarball from the tree (`deb/make-orig.pl`).

use std::path::Path;

use pybit_core::format::Exit;
use pybit_core::{ErrorKind, Result};

use super::git::Checkout;
use super::refs::is_commit_id;
use crate::deb::upstream_part;
use crate::exec::{Cmd, Tail};

/// Where the fetched tag and its tree are kept.
const TAG: &str = "refs/pybit/upstream";
const PRISTINE: &str = "refs/heads/pristine-tar";
/// Nothing that `git archive` would leave out or rewrite: the tarball holds what the tree holds.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// What a tree says of its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Upstream {
    /// The source package.
    name: String,
    /// The version without epoch and Debian revision.
    version: String,
    /// The tags that may hold it, the likeliest first.
    tags: Vec<String>,
}

impl Upstream {
    /// From the first line of `debian/changelog` and from `debian/gbp.conf`; `None` for a version without a revision, and for
    /// what is no changelog: the build will say so.
    fn read(changelog: &str, gbp: &str) -> Option<Self> {
        let (name, rest) = changelog.lines().find(|l| !l.trim().is_empty())?.split_once(" (")?;
        let (version, _) = rest.split_once(')')?;
        let version = upstream_part(version)?;
        let fit = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fit) {
            return None;
        }
        let tag = dep14(version);
        let configured = gbp.lines().filter_map(|l| l.split_once('=')).find_map(|(key, value)| {
            let pattern = value.trim();
            let ours = key.trim() == "upstream-tag" && pattern.contains("%(version)s");
            ours.then(|| pattern.replace("%(version)s", &tag))
        });
        let usual = [format!("upstream/{tag}"), format!("v{tag}"), tag.clone()];
        let tags = configured.into_iter().chain(usual).map(|t| format!("refs/tags/{t}")).collect();
        Some(Self { name: name.to_owned(), version: version.to_owned(), tags })
    }

    /// The start of the tarballs' names.
    fn stem(&self) -> String {
        format!("{}_{}", self.name, self.version)
    }
}

/// The version as tags write it (DEP 14, "Version mangling").
fn dep14(version: &str) -> String {
    let mut tag = version.replace(':', "%").replace('~', "_");
    while tag.contains("..") {
        tag = tag.replace("..", ".#.");
    }
    if tag.ends_with('.') {
        tag.push('#');
    }
    match tag.strip_suffix(".lock") {
        Some(start) => format!("{start}.#lock"),
        None => tag,
    }
}

/// Whether `name` is one of the tarballs of `stem`: `STEM.orig.tar.xz`, `STEM.orig-docs.tar.gz`.
pub(super) fn is_tarball(name: &str, stem: &str) -> bool {
    let Some(rest) = name.strip_prefix(stem).and_then(|r| r.strip_prefix(".orig")) else {
        return false;
    };
    let Some((component, kind)) = rest.split_once(".tar.") else { return false };
    let component = component.strip_prefix('-').map_or(component.is_empty(), |c| {
        !c.is_empty() && c.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    component && ["gz", "bz2", "lzma", "xz"].contains(&kind)
}

impl Checkout<'_> {
    /// Puts the upstream tarball beside the tree, where the tree needs one and the repository at `url` has it.
    ///
    /// Fails where the repository cannot be asked. A tarball that cannot be made is said in the log, and the next way is tried.
    pub(super) async fn upstream(&self, url: &str) -> Result<()> {
        let format = self.blob("HEAD:debian/source/format").await?;
        if format.trim_end() != "3.0 (quilt)" {
            return Ok(());
        }
        let gbp = self.blob("HEAD:debian/gbp.conf").await?;
        let Some(upstream) = Upstream::read(&self.blob("HEAD:debian/changelog").await?, &gbp)
        else {
            return Ok(());
        };
        let mut args = vec!["ls-remote", "--quiet", "--", url, PRISTINE];
        args.extend(upstream.tags.iter().map(String::as_str));
        let listing = self.ask(&self.tree, &args).await?;
        let has = |name: &str| listing.lines().any(|l| l.split('\t').nth(1) == Some(name));
        let tag = upstream.tags.iter().find(|t| has(t));
        if let Some(tag) = tag {
            self.shallow_or_whole(url, &[&format!("+{tag}:{TAG}")]).await?;
        }
        if has(PRISTINE) && self.pristine(url, &upstream).await? {
            return Ok(());
        }
        match tag {
            Some(tag) => self.archive(tag, &upstream).await,
            None if self.config().uscan => self.uscan(&upstream.stem()).await,
            None => self.say("The repository has no upstream tarball of this version").await,
        }
    }

    /// A small file of the repository; empty where there is none.
    pub(super) async fn blob(&self, name: &str) -> Result<String> {
        let output =
            self.exec.output(&self.git(&self.tree, &["cat-file", "blob", name]), 16 << 20).await?;
        Ok(output.text().unwrap_or_default())
    }

    pub(super) async fn say(&self, what: &str) -> Result<()> {
        self.log.write(format!("{what}.\n").as_bytes()).await
    }

    /// Makes the tarballs again that the branch `pristine-tar` describes; whether there are any.
    async fn pristine(&self, url: &str, upstream: &Upstream) -> Result<bool> {
        self.shallow_or_whole(url, &[&format!("+{PRISTINE}:{PRISTINE}")]).await?;
        let stem = upstream.stem();
        let listing = self.ask(&self.tree, &["ls-tree", "-z", "--name-only", PRISTINE]).await?;
        let names = listing.split('\0').filter_map(|n| n.strip_suffix(".id"));
        let names: Vec<&str> = names.filter(|n| is_tarball(n, &stem)).collect();
        for name in &names {
            let id = self.blob(&format!("{PRISTINE}:{name}.id")).await?;
            let id = id.trim();
            // pristine-tar gives it to a shell.
            if !is_commit_id(id) || !self.get_object(url, id).await? {
                self.say(&format!("The branch pristine-tar names no tree for {name}")).await?;
                return Ok(false);
            }
            let path = self.into.join(name).display().to_string();
            let mut cmd = self.git(&self.tree, &[]);
            cmd.argv = vec!["pristine-tar".to_owned(), "checkout".to_owned(), path];
            let said = Tail::new(self.log);
            let end = self.exec.run(&cmd, &said).await;
            match end {
                Ok(Exit::Code(0)) => {}
                Err(e) if e.kind() == ErrorKind::Full => return Err(e),
                other => {
                    let missing = !Path::new("/usr/bin/pristine-tar").exists();
                    let why = if missing {
                        "the package pristine-tar is not installed on this client".to_owned()
                    } else {
                        format!("{other:?}")
                    };
                    self.say(&format!("pristine-tar does not make {name}: {why}")).await?;
                    return Ok(false);
                }
            }
        }
        Ok(!names.is_empty())
    }

    /// Whether an object can be had: the tag mostly has brought it, else the server is asked for it, or for everything.
    async fn get_object(&self, url: &str, id: &str) -> Result<bool> {
        if self.holds(id).await? || self.shallow_or_whole(url, &[id]).await.is_ok() {
            return Ok(true);
        }
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        let deep = ["fetch", "--quiet", "--no-tags", "--depth=2147483647", "--", url];
        match self.run(&self.tree, &[&deep[..], &all].concat()).await {
            // What such servers give is never shallow, so it lacks other branches alone.
            Err(e) if e.code() == "no_shallow" => {
                let fetch = ["fetch", "--quiet", "--no-tags", "--", url];
                self.run(&self.tree, &[&fetch[..], &all].concat()).await?;
            }
            other => other?,
        }
        self.holds(id).await
    }

    async fn holds(&self, id: &str) -> Result<bool> {
        let look = self.git(&self.tree, &["cat-file", "-e", id]);
        Ok(self.exec.output(&look, 64 << 10).await?.exit == Exit::Code(0))
    }

    /// Sees to it that git archives what the tree holds.
    async fn archive_all(&self) -> Result<()> {
        let from = self.place("attributes", ATTRIBUTES)?.display().to_string();
        let to = self.tree.join(".git/info/attributes").display().to_string();
        let install = Cmd::new(["install", "-D", "-m", "644", "--", &from, &to], &self.tree);
        self.exec.check(&install, 64 << 10).await.map(|_| ())
    }

    /// Makes the tarball from the tag, unless the tree changes upstream's files: then the tree is what shall be built.
    async fn archive(&self, tag: &str, upstream: &Upstream) -> Result<()> {
        let differ = [
            "diff",
            "--name-only",
            "--no-ext-diff",
            "--no-textconv",
            TAG,
            "HEAD",
            "--",
            ":/",
            ":(exclude,top)debian",
        ];
        let differ = self.ask(&self.tree, &differ).await?;
        if let Some(first) = differ.lines().next() {
            let count = differ.lines().count();
            let what = format!(
                "{tag} is not used for the upstream tarball: the tree changes {count} files of it outside debian/, the first is {first}"
            );
            return self.say(&what).await;
        }
        let name = format!("{}.orig.tar.gz", upstream.stem());
        let output = format!("--output={}", self.into.join(&name).display());
        let prefix = format!("--prefix={}-{}/", upstream.name, upstream.version);
        self.archive_all().await?;
        self.run(&self.tree, &["archive", "--format=tar.gz", &prefix, &output, TAG]).await?;
        self.say(&format!("Made {name} from {tag}")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_and_gbps_configuration_name_the_tags() {
        let changelog = "\nfoo (2:1.0~rc1-3) unstable; urgency=low\n\n  * x\n";
        let upstream =
            Upstream::read(changelog, "[DEFAULT]\nupstream-tag = release-%(version)s\n").unwrap();
        assert_eq!(upstream.stem(), "foo_1.0~rc1");
        let tags = ["release-1.0_rc1", "upstream/1.0_rc1", "v1.0_rc1", "1.0_rc1"];
        assert_eq!(upstream.tags, tags.map(|t| format!("refs/tags/{t}")));
        for none in ["", "foo", "foo (1.0) x", "../x (1.0-1) x", "foo (x-1) x", "-x (1.0-1) x"] {
            assert_eq!(Upstream::read(none, ""), None, "{none}");
        }
    }

    #[test]
    fn versions_become_names_that_git_takes() {
        for (version, tag) in
            [("1~2", "1_2"), ("1...2", "1.#.#.2"), ("1.", "1.#"), ("1.lock", "1.#lock")]
        {
            assert_eq!(dep14(version), tag);
        }
    }

    #[test]
    fn tarballs_of_the_version_and_no_others_are_taken() {
        for name in ["f_1.orig.tar.gz", "f_1.orig-docs.tar.xz"] {
            assert!(is_tarball(name, "f_1"), "{name}");
        }
        for name in [
            "f_1.orig.tar.gz.asc",
            "f_1.orig-.tar.gz",
            "f_1.orig-a/b.tar.gz",
            "f_12.orig.tar.gz",
            "f_1.orig.tar.zip",
        ] {
            assert!(!is_tarball(name, "f_1"), "{name}");
        }
    }
}
