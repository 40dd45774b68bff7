//! Which addresses of repositories are refused, before any client is started with them.

use crate::error::{Error, Result};

/// A kind of repository: its name for people, the schemes of its addresses, and those that may name a user.
struct Kind {
    name: &'static str,
    schemes: &'static [&'static str],
    with_user: &'static str,
}

const GIT: Kind =
    Kind { name: "git", schemes: &["https", "http", "ssh", "git", "file"], with_user: "ssh" };
const SVN: Kind = Kind {
    name: "Subversion",
    schemes: &["https", "http", "svn", "svn+ssh", "file"],
    with_user: "svn+ssh",
};

/// Checks the address of a git repository.
pub(super) fn check_git(url: &str) -> Result<()> {
    check(url, &GIT)
}

/// Checks the address of a path in a Subversion repository, which must not look like one with a revision.
pub(super) fn check_svn(url: &str) -> Result<()> {
    check(url, &SVN)?;
    if url.rsplit('/').next().is_some_and(|last| last.contains('@')) {
        return refuse(&SVN, "its last part must not hold \"@\"; name the revision beside it");
    }
    Ok(())
}

/// What people call a path: the part before `trunk`, `branches` and `tags`.
pub(super) fn svn_label(url: &str) -> &str {
    let parts: Vec<&str> = url.trim_end_matches('/').split('/').collect();
    let end = parts.iter().position(|p| matches!(*p, "trunk" | "branches" | "tags"));
    parts[..end.unwrap_or(parts.len())].last().copied().unwrap_or(url)
}

/// A revision's number.
pub(super) fn revision(text: &str) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Error::invalid("the Subversion revision is refused: it must be a number")
            .with_code("invalid_source_reference")
    })
}

fn refuse(kind: &Kind, why: &str) -> Result<()> {
    let message = format!("the {} URL is refused: {why}", kind.name);
    Err(Error::invalid(message).with_code("invalid_source_url"))
}

/// Refuses what a client could run or misread: options, `ext::`, credentials, control characters, other schemes.
fn check(url: &str, kind: &Kind) -> Result<()> {
    let refuse = |why: &str| refuse(kind, why);
    let known = || kind.schemes.join("://, ") + "://";
    if url.len() > 1000
        || !url.chars().all(|c| c.is_ascii_graphic())
        || url.contains(['\\', '"', '\'', '`', '<', '>'])
    {
        return refuse(
            "it must be at most 1000 printable characters without blanks, quotes or backslashes",
        );
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse(&format!("it must start with one of {}", known()));
    };
    if !kind.schemes.contains(&scheme) {
        return refuse(&format!("it must start with one of {}", known()));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if (scheme == "file") != authority.is_empty() || path.is_empty() {
        return refuse("it must name a host and a path (for file:// a path only)");
    }
    let (user, host) = authority.split_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if user.is_some_and(|user| scheme != kind.with_user || user.contains(':')) {
        return refuse(
            "it must not hold a user name or password; configure credentials on the build client",
        );
    }
    if is_odd_number(host) {
        return refuse(
            "its host is a number; write the address with four numbers and dots between",
        );
    }
    if !user.is_none_or(is_plain) || !(scheme == "file" || is_host(host)) {
        return refuse(
            "its host must be a name or an address, with a port in digits where it needs one, and neither host nor user may start with \"-\"",
        );
    }
    if is_link_local(host) {
        return refuse(
            "its host is a link-local address: such are a machine's own services, not where sources are",
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

/// An address that is not written as one: the URL standard reads a host whose last part is a number as an IPv4 address, also
/// `2852039166` and `0xa9fea9fe`.
fn is_odd_number(host: &str) -> bool {
    if host.starts_with('[') {
        return false;
    }
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let number = last.strip_prefix("0x").map_or_else(
        || !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
        |hex| hex.bytes().all(|b| b.is_ascii_hexdigit()),
    );
    number && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// An address of `169.254.0.0/16` or `fe80::/10`, where clouds keep their machines' credentials. Names are seen through where
/// they are fetched.
fn is_link_local(host: &str) -> bool {
    if let Some((v6, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let Ok(address) = v6.parse::<std::net::Ipv6Addr>() else { return false };
        let mapped = address.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local());
        return mapped || address.is_unicast_link_local();
    }
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    name.parse::<std::net::Ipv4Addr>().is_ok_and(|v4| v4.is_link_local())
}

/// Letters, digits, `.`, `_` and `-`, and no option.
fn is_plain(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(fits)
}

/// The grammar of `git check-ref-format`, narrowed to ASCII, or a full commit id.
pub(super) fn check_git_reference(reference: &str) -> Result<()> {
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
            assert!(check_git(url).is_err(), "{url:?}");
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
                assert!(check_git(&format!("{scheme}://{host}/x")).is_err(), "{scheme} {host}");
            }
            for scheme in ["https", "http", "svn", "svn+ssh"] {
                assert!(check_svn(&format!("{scheme}://{host}/x")).is_err(), "{scheme} {host}");
            }
        }
        for url in ["https://[::1]:8080/x", "ssh://git_1@a-b.example.:22/x", "git://10.0.0.1/x"] {
            assert!(check_git(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn link_local_addresses_are_refused_however_they_are_written() {
        let hosts = [
            "169.254.169.254",
            "169.254.169.254.:80",
            "169.254.0.1:8080",
            "[fe80::1]",
            "[febf::1]:443",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]:80",
            "2852039166",
            "0xA9FEA9FE",
            "0xa9.254.43518",
            "169.254.43518",
            "0251.0376.0251.0376",
        ];
        for host in hosts {
            assert!(check_git(&format!("http://{host}/latest")).is_err(), "{host}");
            assert!(check_svn(&format!("http://{host}/latest")).is_err(), "{host}");
        }
        for host in ["169.253.0.1", "10.0.0.1", "[fec0::1]", "[2001:db8::1]", "169-254.example"] {
            assert!(check_git(&format!("http://{host}/x")).is_ok(), "{host}");
        }
    }

    #[test]
    fn hostile_subversion_sources_are_refused() {
        for url in [
            "svn://-oProxyCommand=id/x",
            "svn+ssh://-oProxyCommand=id/x",
            "svn+ssh://a:b@host/x",
            "https://user@host/x",
            "git://host/x",
            "svn+evil://host/x",
            "https://host/x/trunk@12",
            "https://host/x/@",
            "https://host/../x",
            "https://host/--config-dir=x",
            "--config-dir=x",
        ] {
            assert!(check_svn(url).is_err(), "{url:?}");
        }
        for text in ["", "HEAD", "-1", "+1", "1:2", "{2020-01-01}", "99999999999999999999"] {
            assert!(revision(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_subversion_path_is_called_by_its_project() {
        for (url, label) in [
            ("https://h/svn/hello/trunk", "hello"),
            ("https://h/svn/hello/branches/1.0/", "hello"),
            ("svn://h/hello", "hello"),
            ("svn://h/trunk/hello", "h"),
        ] {
            assert_eq!(svn_label(url), label, "{url}");
        }
    }
}
