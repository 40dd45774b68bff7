//! Which commit a reference means, from what `git ls-remote` lists.

/// What to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name to ask the server for: `refs/tags/v1`, `HEAD`, or a commit id.
    pub(super) name: String,
}

/// Whether it is a full commit id, of SHA-1 or SHA-256.
pub(super) fn is_commit_id(reference: &str) -> bool {
    [40, 64].contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The patterns that list every meaning of a reference.
pub(super) fn patterns(reference: Option<&str>) -> Vec<String> {
    match reference {
        None => vec!["HEAD".to_owned()],
        Some(r) if r.starts_with("refs/") => vec![r.to_owned()],
        Some(r) => vec![format!("refs/tags/{r}"), format!("refs/heads/{r}")],
    }
}

/// The reference that was meant: a tag before a branch of the same name, as `gitrevisions(7)` has it.
pub(super) fn choose(listing: &str, patterns: &[String]) -> Option<Wanted> {
    let names: Vec<&str> = listing.lines().filter_map(|l| l.split('\t').nth(1)).collect();
    let found = patterns.iter().find(|p| names.contains(&p.as_str()));
    found.map(|name| Wanted { name: name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_before_a_branch_and_only_a_whole_name_is_one() {
        let listing =
            "1\trefs/heads/v1\n2\trefs/tags/v1\n3\trefs/tags/v1^{}\n4\trefs/heads/x/refs/heads/y\n";
        let name = |r| choose(listing, &patterns(Some(r))).map(|w| w.name);
        assert_eq!(name("v1").as_deref(), Some("refs/tags/v1"));
        assert_eq!(name("refs/heads/v1").as_deref(), Some("refs/heads/v1"));
        assert_eq!(name("y"), None);
        assert_eq!(choose(listing, &patterns(None)), None);
    }

    #[test]
    fn a_short_commit_id_is_none() {
        assert!(is_commit_id(&"a".repeat(40)) && is_commit_id(&"0".repeat(64)));
        assert!(!is_commit_id("abc123") && !is_commit_id(&"g".repeat(40)));
    }
}
