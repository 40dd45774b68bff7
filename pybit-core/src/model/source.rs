//! How source arrives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::UploadId;
use super::name::{FileName, PackageName, Version};
use crate::error::{Error, Result};

/// Where the source of a submission comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A git repository at a branch, tag or commit; its default branch where none is named.
    Git {
        /// `https://`, `http://`, `ssh://`, `git://` or `file://`; never an option, never `ext::`.
        url: String,
        /// A branch, a tag, or a full commit id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The distribution's own source package, from the mirror that the build client's apt is configured with.
    Apt {
        /// The source package.
        package: PackageName,
        /// An exact version; the suite's newest where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<Version>,
    },
    /// Files sent to the server beforehand.
    Upload {
        /// The complete upload.
        upload: UploadId,
        /// The file to build from: a source description such as a `.dsc`, or a packed tree (`.tar.zst`).
        main: FileName,
    },
}

impl Source {
    /// The method's name, as in the API: `git`, `apt`, `upload`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Git { .. } => "git",
            Self::Apt { .. } => "apt",
            Self::Upload { .. } => "upload",
        }
    }

    /// Checks what needs no catalogue: schemes, references, that nothing can be taken for an option.
    ///
    /// `git` runs `--upload-pack=…` given as a URL or reference, and `ext::` transports, as commands; so both are
    /// refused here and once more where git is started.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Git { url, reference } => {
                check_git_url(url)?;
                reference.as_deref().map_or(Ok(()), check_git_reference)
            }
            Self::Apt { .. } | Self::Upload { .. } => Ok(()),
        }
    }

    /// What a person calls this source before its package name is known.
    pub fn label(&self) -> String {
        match self {
            Self::Git { url, .. } => {
                let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
                last.trim_end_matches(".git").to_owned()
            }
            Self::Apt { package, .. } => package.to_string(),
            Self::Upload { main, .. } => {
                let stem = main.as_str().split('_').next().unwrap_or_default();
                stem.trim_end_matches(".tar.zst").to_owned()
            }
        }
    }
}

const GIT_SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// Refuses what git could run or misread: options, `ext::`, credentials, control characters, other schemes.
fn check_git_url(url: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid(format!("the git URL is refused: {why}"))
            .with_code("invalid_source_url"))
    };
    if url.len() > 1000
        || !url.chars().all(|c| c.is_ascii_graphic())
        || url.contains(['\\', '"', '\'', '`', '<', '>'])
    {
        return refuse(
            "it must be at most 1000 printable characters without blanks, quotes or backslashes",
        );
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse("it must start with https://, http://, ssh://, git:// or file://");
    };
    if !GIT_SCHEMES.contains(&scheme) {
        return refuse("its scheme must be one of https, http, ssh, git, file");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if (scheme == "file") != authority.is_empty() || path.is_empty() {
        return refuse("it must name a host and a path (for file:// a path only)");
    }
    let (user, host) = authority.split_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if user.is_some_and(|user| scheme != "ssh" || user.contains(':')) {
        return refuse(
            "it must not hold a user name or password; configure credentials on the build client",
        );
    }
    if !user.is_none_or(is_plain) || !(scheme == "file" || is_host(host)) {
        return refuse(
            "its host must be a name or an address, with a port in digits where it needs one, and neither host nor user may start with \"-\"",
        );
    }
    let decoded =
        path.to_ascii_lowercase().replace("%25", "%").replace("%2e", ".").replace("%2f", "/");
    if decoded.split('/').any(|part| part == ".." || part == "." || part.starts_with('-')) {
        return refuse("its path must not hold \"..\", \".\" or a part that starts with \"-\"");
    }
    Ok(())
}

/// A name or an IPv4 address, or an IPv6 address in brackets; a port or none.
///
/// Nothing else passes, because git, ssh, curl and the URL standard read the rest each in their own way: of
/// `ssh://a?@b/x` the standard says that the host is `a`, git connects to `b`, and git decodes `%` signs.
fn is_host(host: &str) -> bool {
    let (ok, rest) = if let Some(inner) = host.strip_prefix('[') {
        let (v6, rest) = inner.split_once(']').unwrap_or_default();
        (v6.parse::<std::net::Ipv6Addr>().is_ok(), rest)
    } else {
        let end = host.find(':').unwrap_or(host.len());
        (is_plain(&host[..end]), &host[end..])
    };
    let port = rest.strip_prefix(':').map(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    ok && port.unwrap_or(rest.is_empty())
}

/// Letters, digits, `.`, `_` and `-`, and no option.
fn is_plain(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(fits)
}

/// The grammar of `git check-ref-format`, narrowed to ASCII, or a full commit id.
fn check_git_reference(reference: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+-~@".contains(c);
    let part_ok = |p: &str| {
        let lock = p.len() >= 5 && p[p.len() - 5..].eq_ignore_ascii_case(".lock");
        !p.is_empty() && !p.starts_with(['.', '-']) && !p.ends_with('.') && !lock
    };
    let ok = reference.len() <= 200
        && reference.is_ascii()
        && reference.chars().all(allowed)
        && !["..", "@{", "~~"].iter().any(|bad| reference.contains(bad))
        && reference != "@"
        && reference.split('/').all(part_ok);
    if ok {
        return Ok(());
    }
    Err(Error::invalid(
        "the git reference is refused: it must be a branch, a tag or a full commit id as git check-ref-format allows it",
    )
    .with_code("invalid_source_reference"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git { url, reference: Some(r) } => write!(f, "git+{url}#{r}"),
            Self::Git { url, reference: None } => write!(f, "git+{url}"),
            Self::Apt { package, version: Some(v) } => write!(f, "apt:{package}={v}"),
            Self::Apt { package, version: None } => write!(f, "apt:{package}"),
            Self::Upload { upload, main } => write!(f, "upload:{upload}/{main}"),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Reads `git+URL[#ref]` and `apt:NAME[=VERSION]`; files and directories are uploaded first.
    fn from_str(s: &str) -> Result<Self> {
        let source = if let Some(rest) = s.strip_prefix("git+") {
            let (url, reference) = match rest.split_once('#') {
                Some((url, reference)) => (url, Some(reference.to_owned())),
                None => (rest, None),
            };
            Self::Git { url: url.to_owned(), reference }
        } else if let Some(rest) = s.strip_prefix("apt:") {
            match rest.split_once('=') {
                Some((package, version)) => {
                    Self::Apt { package: package.parse()?, version: Some(version.parse()?) }
                }
                None => Self::Apt { package: rest.parse()?, version: None },
            }
        } else {
            return Err(Error::invalid(
                "a source is git+URL[#ref], apt:NAME[=VERSION], a .dsc file or a directory",
            )
            .with_code("invalid_source"));
        };
        source.check()?;
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_git_sources_are_refused() {
        let urls = [
            "ext::sh -c id",
            "EXT::id",
            "--upload-pack=id",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id/x",
            "git@host:path",
            "/etc",
            "https://user:pw@host/x",
            "https://allowed@evil/x",
            "https://allowed\\@evil/x",
            "https://host/a/../../b",
            "https://host/%2e%2e/b",
            "https://host/%252e%252e/b",
            "HTTPS://host/x",
            "ftp://host/x",
            "https://host",
            "file://host/x",
            "https://host/a b",
            "https://host/a\nb",
            "https:///x",
            "svn+ssh://-o/x",
            "ssh://-oProxyCommand=id@host/x",
        ];
        for url in urls {
            assert!(check_git_url(url).is_err(), "{url:?}");
        }
        for reference in [
            "--upload-pack=id",
            "-h",
            "a..b",
            "@{-1}",
            "refs/heads/../x",
            "x.lock",
            "a b",
            "",
            "@",
            "a//b",
            "/a",
            "a/",
        ] {
            assert!(check_git_reference(reference).is_err(), "{reference:?}");
        }
    }

    #[test]
    fn a_host_that_two_programs_could_read_in_two_ways_is_refused() {
        let hosts = [
            "public.example?x@inner",
            "public.example#x@inner",
            "public.example%40inner",
            "public.example%2f",
            "%69nner",
            "public.example;x@inner",
            "a@b@inner",
            "@inner",
            "inner:",
            "inner:0",
            "inner:+22",
            "inner:99999",
            "inner:22:23",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "[inner:22]",
            "[u@inner]",
            "a,b",
            "a*b",
        ];
        for host in hosts {
            for scheme in ["https", "http", "ssh", "git"] {
                assert!(check_git_url(&format!("{scheme}://{host}/x")).is_err(), "{scheme} {host}");
            }
        }
        for url in ["https://[::1]:8080/x", "ssh://git_1@a-b.example.:22/x", "git://10.0.0.1/x"] {
            assert!(check_git_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn ordinary_sources_pass_and_print_as_they_were_read() {
        for text in [
            "git+https://example.org/x.git#debian/1.0-1",
            "git+file:///srv/x.git",
            "git+ssh://git@example.org/x.git#main",
            "apt:hello",
            "apt:hello=2.10-3",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("git+https://example.org/x.git#v1".parse::<Source>().unwrap().label(), "x");
    }
}
