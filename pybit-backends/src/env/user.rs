//! The user that builds run as.

use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, geteuid};
use pybit_core::{Error, Result};

/// A user of this machine that owns what builds write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildUser {
    /// Its login name.
    pub name: String,
    /// Its user id.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// Its home directory.
    pub home: PathBuf,
}

/// Ids that a user may hand out in its user namespaces (`subuid(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubIds {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl BuildUser {
    /// The user of this name; where there is none, the error says how to make it.
    pub fn find(name: &str) -> Result<Self> {
        let user = User::from_name(name)
            .map_err(|e| Error::internal("the list of users cannot be read").with_source(e))?;
        user.map(Self::from).ok_or_else(|| {
            Error::invalid(format!(
                "there is no user \"{name}\"; make it with `useradd --create-home --shell /usr/sbin/nologin {name}`"
            ))
            .with_code("no_build_user")
        })
    }

    /// The user of this process.
    pub fn current() -> Result<Self> {
        let user = User::from_uid(geteuid()).ok().flatten();
        user.map(Self::from).ok_or_else(|| {
            Error::invalid(format!("the user id {} has no entry in /etc/passwd", geteuid()))
                .with_code("no_build_user")
        })
    }

    /// Whether it is in the group of this name, by the list of groups or as its own; not where there is no such group.
    pub fn is_in(&self, group: &str) -> bool {
        let group = Group::from_name(group).ok().flatten();
        group.is_some_and(|g| g.gid == self.gid || g.mem.contains(&self.name))
    }

    /// The user ids that it may hand out.
    pub fn sub_uids(&self) -> Result<SubIds> {
        self.sub_ids("/etc/subuid")
    }

    /// The group ids that it may hand out.
    pub fn sub_gids(&self) -> Result<SubIds> {
        self.sub_ids("/etc/subgid")
    }

    fn sub_ids(&self, file: &str) -> Result<SubIds> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let found = find_sub_ids(&text, &self.name, self.uid.as_raw());
        found.ok_or_else(|| {
            Error::invalid(format!(
                "the user \"{0}\" needs 65536 ids in {file}; give them with `usermod --add-subuids 100000-165535 \
                 --add-subgids 100000-165535 {0}`, with numbers that no other user has",
                self.name
            ))
            .with_code("no_sub_ids")
        })
    }
}

impl From<User> for BuildUser {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid, gid: user.gid, home: user.dir }
    }
}

/// The first range of at least 65536 ids, as Debian needs them.
fn find_sub_ids(text: &str, name: &str, uid: u32) -> Option<SubIds> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let ids =
            SubIds { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
        ((owner == name || owner == uid.to_string()) && ids.count >= 65536).then_some(ids)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_name_or_number_and_only_where_they_are_enough() {
        let text = "other:100000:65536\nx:1:10\n1002:165536:65536\n";
        let ids = Some(SubIds { first: 165_536, count: 65536 });
        assert_eq!(find_sub_ids(text, "x", 1002), ids);
        assert_eq!(find_sub_ids(text, "x", 7), None);
    }

    #[test]
    fn a_missing_user_is_refused_with_the_command_that_makes_it() {
        let error = BuildUser::find("nobody-of-this-name").unwrap_err();
        assert!(error.message().contains("useradd --create-home"), "{error}");
    }
}
