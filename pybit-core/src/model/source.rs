//! How source arrives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::UploadId;
use super::name::{FileName, PackageName, Version};
use super::source_url as url;
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
    /// A path in a Subversion repository at a revision; its newest where none is named.
    Svn {
        /// `https://`, `http://`, `svn://`, `svn+ssh://` or `file://`, up to the directory that is built: `…/trunk`.
        url: String,
        /// The revision's number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
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
    /// The method's name, as in the API: `git`, `svn`, `apt`, `upload`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Git { .. } => "git",
            Self::Svn { .. } => "svn",
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
                url::check_git(url)?;
                reference.as_deref().map_or(Ok(()), url::check_git_reference)
            }
            Self::Svn { url, .. } => url::check_svn(url),
            Self::Apt { .. } | Self::Upload { .. } => Ok(()),
        }
    }

    /// Whether it lies on the machine that fetches it.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Git { url, .. } | Self::Svn { url, .. } if url.starts_with("file:"))
    }

    /// What a person calls this source before its package name is known.
    pub fn label(&self) -> String {
        match self {
            Self::Git { url, .. } => {
                let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
                last.trim_end_matches(".git").to_owned()
            }
            Self::Svn { url, .. } => url::svn_label(url).to_owned(),
            Self::Apt { package, .. } => package.to_string(),
            Self::Upload { main, .. } => {
                let stem = main.as_str().split('_').next().unwrap_or_default();
                stem.trim_end_matches(".tar.zst").to_owned()
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git { url, reference: Some(r) } => write!(f, "git+{url}#{r}"),
            Self::Git { url, reference: None } => write!(f, "git+{url}"),
            Self::Svn { url, revision } => {
                let prefix = if url.starts_with("svn+") { "" } else { "svn+" };
                let revision = revision.map(|r| format!("@{r}")).unwrap_or_default();
                write!(f, "{prefix}{url}{revision}")
            }
            Self::Apt { package, version: Some(v) } => write!(f, "apt:{package}={v}"),
            Self::Apt { package, version: None } => write!(f, "apt:{package}"),
            Self::Upload { upload, main } => write!(f, "upload:{upload}/{main}"),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Reads `git+URL[#ref]`, `svn+URL[@REVISION]` and `apt:NAME[=VERSION]`; files and directories are uploaded first.
    fn from_str(s: &str) -> Result<Self> {
        let source = if let Some(rest) = s.strip_prefix("git+") {
            let (url, reference) = match rest.split_once('#') {
                Some((url, reference)) => (url, Some(reference.to_owned())),
                None => (rest, None),
            };
            Self::Git { url: url.to_owned(), reference }
        } else if s.starts_with("svn+") {
            let (url, revision) = match s.rsplit_once('@') {
                Some((url, number)) if !number.contains('/') => (url, Some(url::revision(number)?)),
                _ => (s, None),
            };
            // `svn+ssh` is a scheme of Subversion's own.
            let url = if url.starts_with("svn+ssh://") { url } else { &url["svn+".len()..] };
            Self::Svn { url: url.to_owned(), revision }
        } else if let Some(rest) = s.strip_prefix("apt:") {
            match rest.split_once('=') {
                Some((package, version)) => {
                    Self::Apt { package: package.parse()?, version: Some(version.parse()?) }
                }
                None => Self::Apt { package: rest.parse()?, version: None },
            }
        } else {
            return Err(Error::invalid(
                "a source is git+URL[#ref], svn+URL[@REVISION], apt:NAME[=VERSION], a .dsc file or a directory",
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
    fn ordinary_sources_pass_and_print_as_they_were_read() {
        for text in [
            "git+https://example.org/x.git#debian/1.0-1",
            "git+file:///srv/x.git",
            "git+ssh://git@example.org/x.git#main",
            "svn+https://example.org/svn/x/trunk@12",
            "svn+svn://example.org/x",
            "svn+ssh://joe@example.org/svn/x/trunk",
            "apt:hello",
            "apt:hello=2.10-3",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("git+https://example.org/x.git#v1".parse::<Source>().unwrap().label(), "x");
        assert_eq!("svn+https://example.org/svn/x/trunk@1".parse::<Source>().unwrap().label(), "x");
        assert!("svn+https://example.org/x/trunk@HEAD".parse::<Source>().is_err());
    }
}
