//! What a delivery says: the few fields of a push that matter, in each service's own words.

use serde::Deserialize;
use serde_json::Value;

use super::config::Service;
use crate::error::ApiResult;
use crate::json;

/// What was pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ref {
    Branch(String),
    Tag(String),
}

/// A branch or tag that points to another commit now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Push {
    /// `OWNER/NAME`.
    pub(crate) repository: String,
    /// Where it can be fetched.
    pub(crate) url: String,
    /// What was pushed to.
    pub(crate) to: Ref,
    /// The commit, in full.
    pub(crate) commit: String,
}

/// GitHub's words; Gitea and Forgejo use the same.
#[derive(Debug, Deserialize)]
struct Hub {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    head_commit: Option<Commit>,
    repository: HubRepository,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
}

#[derive(Debug, Deserialize)]
struct HubRepository {
    full_name: String,
    clone_url: String,
}

#[derive(Debug, Deserialize)]
struct Lab {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    checkout_sha: Option<String>,
    project: LabProject,
}

#[derive(Debug, Deserialize)]
struct LabProject {
    path_with_namespace: String,
    git_http_url: String,
}

/// The words for a push, by the header that names the event.
pub(super) fn event_header(service: Service) -> &'static str {
    match service {
        Service::Github => "x-github-event",
        Service::Gitlab => "x-gitlab-event",
        Service::Gitea => "x-gitea-event",
        Service::Forgejo => "x-forgejo-event",
    }
}

impl Push {
    /// Reads a delivery's body; nothing where it deletes a branch or tag, or pushes to neither. 400 for what is no push.
    pub(crate) fn read(service: Service, body: &[u8]) -> ApiResult<Option<Self>> {
        // Services add fields as they please: only JSON itself is read strictly.
        let value: Value = json::read(body)?;
        let push = match service {
            Service::Gitlab => {
                let lab: Lab = json::shape(value)?;
                let commit = lab.checkout_sha.unwrap_or_else(|| lab.after.clone());
                let (repository, url) = (lab.project.path_with_namespace, lab.project.git_http_url);
                Self::new(&lab.reference, &lab.after, repository, url, commit)
            }
            Service::Github | Service::Gitea | Service::Forgejo => {
                let hub: Hub = json::shape(value)?;
                let commit = hub.head_commit.map_or_else(|| hub.after.clone(), |c| c.id);
                let (repository, url) = (hub.repository.full_name, hub.repository.clone_url);
                Self::new(&hub.reference, &hub.after, repository, url, commit)
            }
        };
        Ok(push)
    }

    fn new(
        reference: &str,
        after: &str,
        repository: String,
        url: String,
        commit: String,
    ) -> Option<Self> {
        // All zeros: it points to nothing any more.
        if after.bytes().all(|b| b == b'0') {
            return None;
        }
        let branch = reference.strip_prefix("refs/heads/").map(|n| Ref::Branch(n.to_owned()));
        let tag = || reference.strip_prefix("refs/tags/").map(|n| Ref::Tag(n.to_owned()));
        Some(Self { repository, url, to: branch.or_else(tag)?, commit })
    }
}

/// Whether an event is one of those that [`Push::read`] reads.
pub(super) fn is_push(service: Service, event: &str) -> bool {
    match service {
        Service::Gitlab => matches!(event, "Push Hook" | "Tag Push Hook"),
        _ => event == "push",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
    const NOTHING: &str = "0000000000000000000000000000000000000000";

    fn hub(reference: &str, after: &str) -> Value {
        json!({
            "ref": reference, "before": NOTHING, "after": after, "deleted": after == NOTHING, "pusher": {"name": "joe"},
            "repository": {"id": 1, "full_name": "joe/hello", "clone_url": "https://example.org/joe/hello.git"},
            "head_commit": (after != NOTHING).then(|| json!({"id": ID, "message": "x"})),
        })
    }

    fn read(service: Service, value: &Value) -> Option<Push> {
        Push::read(service, value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn pushes_to_branches_and_tags_are_read_and_deletions_are_none() {
        let push = read(Service::Github, &hub("refs/heads/debian/main", ID)).unwrap();
        assert_eq!(push.to, Ref::Branch("debian/main".to_owned()));
        assert_eq!((push.repository.as_str(), push.commit.as_str()), ("joe/hello", ID));
        assert_eq!(push.url, "https://example.org/joe/hello.git");
        let tagged = read(Service::Forgejo, &hub("refs/tags/v1", &ID.replace('6', "7"))).unwrap();
        assert_eq!(tagged.to, Ref::Tag("v1".to_owned()));
        assert_eq!(tagged.commit, ID, "an annotated tag's commit, not the tag's own id");
        assert_eq!(read(Service::Gitea, &hub("refs/heads/main", NOTHING)), None);
        assert_eq!(read(Service::Github, &hub("refs/pull/1/head", ID)), None);
    }

    #[test]
    fn gitlabs_words_are_its_own() {
        let lab = json!({
            "object_kind": "tag_push", "ref": "refs/tags/v1", "after": ID.replace('6', "7"), "checkout_sha": ID,
            "project": {"path_with_namespace": "group/sub/hello", "git_http_url": "https://example.org/group/sub/hello.git"},
        });
        let push = read(Service::Gitlab, &lab).unwrap();
        assert_eq!((push.repository.as_str(), push.commit.as_str()), ("group/sub/hello", ID));
        assert!(Push::read(Service::Github, lab.to_string().as_bytes()).is_err());
        for body in ["", "[]", "{}", "null", r#"{"ref": 1}"#, r#"{"ref": "a", "ref": "b"}"#] {
            assert!(Push::read(Service::Gitlab, body.as_bytes()).is_err(), "{body}");
        }
    }
}
