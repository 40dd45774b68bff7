//! What this client may show to the servers of sources: passwords and keys, each for what lies below one address.
//!
//! They come from the build client's configuration, never from a submission, and reach the fetching program alone: a password of
//! HTTP in the environment of one `git`, of Subversion on the standard input of one `svn`, a key by its file's name. None is written
//! to the disk, to an argument vector or to a log.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pybit_core::{Error, Result};
use url::{Host, Url};

/// What opens the sources below an address.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    below: Url,
    proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
enum Proof {
    Password { user: String, password: String },
    Key(PathBuf),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("below", &self.below.as_str()).finish_non_exhaustive()
    }
}

impl Credential {
    /// User and password for the repositories below an `https:` or `svn:` address; `http:` on this machine alone, since it would
    /// be sent in the clear.
    pub fn password(below: &str, user: &str, password: &str) -> Result<Self> {
        let below = address(below)?;
        let in_the_clear = below.scheme() == "http" && !is_here(&below);
        if in_the_clear || !matches!(below.scheme(), "https" | "http" | "svn") {
            return Err(refuse(&below, "a password goes to https: and svn: addresses"));
        }
        // A colon ends the name in HTTP's Basic authentication (RFC 7617); a line end would end the header.
        let fits =
            |text: &str| !text.is_empty() && text.len() <= 1000 && !text.contains(char::is_control);
        if !fits(user) || user.contains(':') || !fits(password) {
            return Err(refuse(
                &below,
                "the user's name or the password is empty, too long or not printable",
            ));
        }
        let (user, password) = (user.to_owned(), password.to_owned());
        Ok(Self { below, proof: Proof::Password { user, password } })
    }

    /// The private key for the repositories below an `ssh:` address; the build user must be able to read it, and it has no
    /// passphrase.
    pub fn key(below: &str, file: PathBuf) -> Result<Self> {
        let below = address(below)?;
        if below.scheme() != "ssh" {
            return Err(refuse(&below, "a key goes to ssh: addresses"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
        if !file.is_absolute() || !file.to_str().is_some_and(|name| name.chars().all(plain)) {
            return Err(refuse(
                &below,
                "the key's file needs an absolute name of letters, digits and /._-+@",
            ));
        }
        Ok(Self { below, proof: Proof::Key(file) })
    }

    fn opens(&self, url: &Url) -> bool {
        let place = |u: &Url| {
            (
                u.scheme().to_owned(),
                u.host_str().map(str::to_ascii_lowercase),
                u.port_or_known_default(),
            )
        };
        let (below, path) = (self.below.path().trim_end_matches('/'), url.path());
        place(&self.below) == place(url)
            && path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What git is told of it as configuration: key and value.
    pub(super) fn for_git(&self) -> Option<(String, String)> {
        let Proof::Password { user, password } = &self.proof else { return None };
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Some((format!("http.{}.extraHeader", self.below), format!("Authorization: Basic {basic}")))
    }

    /// The options of ssh.
    pub(super) fn for_ssh(&self) -> Option<String> {
        let Proof::Key(file) = &self.proof else { return None };
        Some(format!("-oIdentitiesOnly=yes -i {}", file.display()))
    }

    /// User and password for svn.
    pub(super) fn for_svn(&self) -> Option<(&str, &str)> {
        match &self.proof {
            Proof::Password { user, password } => Some((user, password)),
            Proof::Key(_) => None,
        }
    }
}

/// The credential for a source: that of the longest address it lies below.
pub(super) fn of<'a>(url: &str, all: &'a [Credential]) -> Option<&'a Credential> {
    let url = Url::parse(url).ok()?;
    // `/a/../b` is `/b` to the URL parser and perhaps not to the server.
    let plain = !url.path().contains("%2e") && !url.path().contains("%2E");
    let opening = all.iter().filter(|c| plain && c.opens(&url));
    opening.max_by_key(|c| c.below.path().len())
}

fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|e| {
        Error::invalid(format!("the address of a credential cannot be read: {e}"))
            .with_code("invalid_configuration")
    })?;
    if url.host_str().is_none_or(str::is_empty) || url.password().is_some() || url.query().is_some()
    {
        return Err(refuse(&url, "it needs a host, and neither a password nor a query"));
    }
    Ok(url)
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn refuse(url: &Url, why: &str) -> Error {
    let host = url.host_str().unwrap_or_default();
    let message = format!("the credential for {}://{host} is refused: {why}", url.scheme());
    Error::invalid(message).with_code("invalid_configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_for_what_lies_below_its_address_and_the_longest_wins() {
        let password =
            |below: &str, user: &str| Credential::password(below, user, "secret").unwrap();
        let all = [
            password("https://git.example.org/", "all"),
            password("https://git.example.org/team/", "team"),
            password("svn://svn.example.org/x", "svn"),
            Credential::key("ssh://git@git.example.org/", "/etc/pybit/key".into()).unwrap(),
        ];
        let user = |url: &str| of(url, &all).and_then(Credential::for_svn).map(|(user, _)| user);
        assert_eq!(user("https://git.example.org/team/x.git"), Some("team"));
        assert_eq!(user("https://GIT.example.org:443/other/x.git"), Some("all"));
        assert_eq!(user("https://git.example.org/teams/x.git"), Some("all"));
        assert_eq!(user("svn://svn.example.org/x/trunk"), Some("svn"));
        for none in [
            "http://git.example.org/team/x",
            "https://git.example.org:8443/team/x",
            "https://git.example.org.evil/team/x",
            "https://evil/git.example.org/team/x",
            "svn://svn.example.org/xy",
            "svn://svn.example.org/x/%2e%2e/y",
        ] {
            assert_eq!(user(none), None, "{none}");
        }
        let ssh = of("ssh://git@git.example.org/x", &all).and_then(Credential::for_ssh);
        assert_eq!(ssh.as_deref(), Some("-oIdentitiesOnly=yes -i /etc/pybit/key"));
    }

    #[test]
    fn what_would_show_a_secret_or_break_out_is_refused_and_never_printed() {
        for (below, user, password) in [
            ("http://git.example.org/", "u", "hidden"),
            ("ftp://git.example.org/", "u", "hidden"),
            ("https://u:hidden@git.example.org/", "u", "hidden"),
            ("https://git.example.org/", "u:v", "hidden"),
            ("https://git.example.org/", "u", "hidden\nX: y"),
            ("https://git.example.org/", "u", ""),
            ("nonsense", "u", "hidden"),
        ] {
            let error = Credential::password(below, user, password).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration");
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
        Credential::password("http://127.0.0.1:80/", "u", "hidden").unwrap();
        for file in ["key", "/etc/a key", "/etc/$(id)", "/etc/'x"] {
            assert!(Credential::key("ssh://h/", file.into()).is_err(), "{file}");
        }
        let one = Credential::password("https://h/", "u", "hidden").unwrap();
        assert!(!format!("{one:?}").contains("hidden"));
    }
}
