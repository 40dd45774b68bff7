//! `POST /job/vcshook`, as the original served it: hooks that were written for it go on working.

use poem::Response;
use pybit_core::Error;
use pybit_core::model::{Arch, Catalogue, Dist, NewSubmission, Source};
use pybit_core::protocol::SubmissionReply;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::call::{Call, ok};
use crate::error::{ApiError, ApiResult};

/// The original's fields, all text. Others are not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    /// Where the source is.
    #[serde(default)]
    uri: String,
    /// How it is fetched: `git`, `svn`, `apt`.
    method: String,
    /// The distribution, in capitals or not.
    #[serde(default)]
    distribution: String,
    /// A branch, tag or commit; a revision.
    #[serde(default)]
    vcs_id: String,
    /// Names with commas between them; `any`, `all` and wildcards leave it to the package.
    #[serde(default)]
    architecture_list: String,
    /// The version that the hook has read; the farm reads it by itself, and takes this one only of `apt`.
    #[serde(default)]
    package_version: String,
    /// The source package, for `apt`.
    #[serde(default)]
    package: String,
    suite: String,
    #[serde(default)]
    format: String,
}

/// `POST /job/vcshook`
pub(crate) async fn submit(mut call: Call) -> ApiResult<Response> {
    let hook: Form = call.form().await?;
    let farm = &call.state.farm;
    let request = hook.request(&farm.storage().catalogue().await?)?;
    let recorded = farm.submit(call.who()?, request, hook.key().as_deref(), None).await?;
    ok(&SubmissionReply {
        submission: recorded.submission,
        jobs: recorded.jobs,
        repeated: recorded.repeated,
    })
}

impl Form {
    fn request(&self, catalogue: &Catalogue) -> ApiResult<NewSubmission> {
        Ok(NewSubmission {
            source: self.source()?,
            suite: self.suite.trim().parse()?,
            dist: self.dist(catalogue)?,
            format: given(&self.format).map(|f| f.to_ascii_lowercase().parse()).transpose()?,
            arches: self.arches()?,
            env: None,
            priority: 0,
            force: false,
        })
    }

    fn source(&self) -> ApiResult<Source> {
        let id = given(&self.vcs_id);
        let source = match self.method.trim().to_ascii_lowercase().as_str() {
            "git" => Source::Git { url: self.url()?, reference: id.map(str::to_owned) },
            "svn" => {
                let revision = id.map(|id| id.strip_prefix('r').unwrap_or(id).parse());
                let revision = revision.transpose().map_err(|_| {
                    invalid(
                        "invalid_source_reference",
                        "the vcs_id of svn must be a revision's number",
                    )
                })?;
                Source::Svn { url: self.url()?, revision }
            }
            "apt" => Source::Apt {
                package: self.package.trim().parse()?,
                version: given(&self.package_version).map(str::parse).transpose()?,
            },
            _ => {
                let why = "the method must be git, svn or apt; send source packages with `pybit submit FILE.dsc`";
                return Err(invalid("unknown_method", why));
            }
        };
        source.check()?;
        Ok(source)
    }

    fn url(&self) -> ApiResult<String> {
        let uri = given(&self.uri)
            .ok_or_else(|| invalid("invalid_source_url", "the field uri is empty"))?;
        Ok(uri.to_owned())
    }

    /// The original's hooks write `Debian`, and some `debian`.
    fn dist(&self, catalogue: &Catalogue) -> ApiResult<Option<Dist>> {
        let Some(wanted) = given(&self.distribution) else { return Ok(None) };
        let mut known = catalogue.targets.iter().map(|t| &t.target.dist);
        let found = known.find(|d| d.as_str().eq_ignore_ascii_case(wanted)).cloned();
        Ok(Some(found.map_or_else(|| wanted.parse(), Ok)?))
    }

    fn arches(&self) -> ApiResult<Vec<Arch>> {
        let words =
            self.architecture_list.split([',', ' ']).map(str::trim).filter(|w| !w.is_empty());
        let is_wildcard = |w: &&str| w.split('-').any(|part| part == "any");
        let words: Vec<&str> = words.filter(|w| *w != "all" && *w != "source").collect();
        if words.iter().any(is_wildcard) {
            return Ok(Vec::new());
        }
        Ok(words.into_iter().map(str::parse).collect::<pybit_core::Result<_>>()?)
    }

    /// A hook that is run again for the same revision asks for the same: one submission.
    fn key(&self) -> Option<String> {
        let id = given(&self.vcs_id)?;
        let is_commit = [40, 64].contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        let is_revision = self.method.eq_ignore_ascii_case("svn");
        if !is_commit && !is_revision {
            return None;
        }
        let fields = [
            &self.method,
            &self.uri,
            &self.vcs_id,
            &self.distribution,
            &self.suite,
            &self.format,
            &self.architecture_list,
        ];
        let mut digest = Sha256::new();
        for field in fields {
            digest.update(field.len().to_be_bytes());
            digest.update(field);
        }
        Some(format!("vcshook:{}", hex::encode(digest.finalize())))
    }
}

fn given(field: &str) -> Option<&str> {
    Some(field.trim()).filter(|f| !f.is_empty())
}

fn invalid(code: &'static str, why: &str) -> ApiError {
    Error::invalid(why).with_code(code).into()
}

/// A form's bytes, for `make fuzz`: what is taken has a source that was checked.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz_form(bytes: &[u8]) {
    let Ok(form) = serde_urlencoded::from_bytes::<Form>(bytes) else { return };
    if let Ok(request) = form.request(&Catalogue::default()) {
        assert!(request.source.check().is_ok(), "{:?}", request.source);
        let _ = form.key();
    }
}
