//! The names that an apt repository gives itself in its `Release` (Debian wiki, `DebianRepository/Format`), and its components.

use std::fmt::Write;

use pybit_core::Result;

use super::config::refuse;

/// The components of a repository unless it is configured otherwise: those of Debian Policy 2.2 and `non-free-firmware`.
pub const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// The fields of `Release` that readers choose by: pins, `unattended-upgrades`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `Origin`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Description`; none where empty.
    pub description: String,
    /// `NotAutomatic`: apt installs a package of it on request only (priority 1).
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: what was installed on request is upgraded (priority 100). Only with `not_automatic`.
    pub but_automatic_upgrades: bool,
}

impl Identity {
    /// The identity of a repository of the farm `farm`.
    pub fn new(farm: &str, name: &str) -> Self {
        Self {
            origin: farm.to_owned(),
            label: format!("{farm} {name}"),
            description: String::new(),
            not_automatic: false,
            but_automatic_upgrades: false,
        }
    }

    /// Refuses what is no value of a field.
    pub(super) fn check(&self) -> Result<()> {
        for (field, value) in
            [("origin", &self.origin), ("label", &self.label), ("description", &self.description)]
        {
            if value.chars().any(char::is_control) || value.trim() != value || value.len() > 200 {
                return refuse(format!(
                    "the {field} of a repository is one line of at most 200 bytes, without blanks around it"
                ));
            }
        }
        if self.origin.is_empty() || self.label.is_empty() {
            return refuse("the origin and the label of a repository must not be empty");
        }
        if self.but_automatic_upgrades && !self.not_automatic {
            return refuse(
                "but_automatic_upgrades has a meaning with not_automatic only: set both",
            );
        }
        Ok(())
    }

    /// The first fields, in the order of `Release` and of reprepro's `conf/distributions`.
    pub(super) fn names(&self) -> String {
        format!("Origin: {}\nLabel: {}\n", self.origin, self.label)
    }

    /// The other fields.
    pub(super) fn choices(&self) -> String {
        let mut text = String::new();
        for (field, set) in [
            ("NotAutomatic", self.not_automatic),
            ("ButAutomaticUpgrades", self.but_automatic_upgrades),
        ] {
            if set {
                let _ = writeln!(text, "{field}: yes");
            }
        }
        if !self.description.is_empty() {
            let _ = writeln!(text, "Description: {}", self.description);
        }
        text
    }
}

/// Refuses what is no list of components: a directory's name each, none twice.
pub(super) fn check_components(components: &[String]) -> Result<()> {
    if components.is_empty() {
        return refuse("a repository needs at least one component");
    }
    for (n, name) in components.iter().enumerate() {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
            return refuse(format!(
                "\"{name}\" is no component: a component consists of lower-case letters, digits and \"-\""
            ));
        }
        if components[..n].contains(name) {
            return refuse(format!("the component {name} is named twice"));
        }
    }
    Ok(())
}

/// The component of a section (Debian Policy 2.4): the word before the slash, where it is a component of the repository,
/// else the first component.
pub(super) fn component<'a>(components: &'a [String], section: &str) -> &'a str {
    let area = section.split_once('/').map_or("", |(area, _)| area);
    let found = components.iter().find(|c| *c == area).or(components.first());
    found.map_or("main", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_names_its_component_and_everything_else_is_in_the_first() {
        let components = COMPONENTS.map(str::to_owned);
        for (section, wanted) in [
            ("devel", "main"),
            ("contrib/devel", "contrib"),
            ("non-free-firmware/kernel", "non-free-firmware"),
            ("universe/devel", "main"),
            ("", "main"),
            ("../x", "main"),
        ] {
            assert_eq!(component(&components, section), wanted, "{section}");
        }
    }

    #[test]
    fn an_identity_is_single_lines() {
        let good = Identity::new("acme", "bookworm");
        good.check().unwrap();
        assert_eq!(good.names(), "Origin: acme\nLabel: acme bookworm\n");
        for bad in [
            Identity { origin: "a\nSuite: x".into(), ..good.clone() },
            Identity { label: String::new(), ..good.clone() },
            Identity { description: " x".into(), ..good.clone() },
            Identity { but_automatic_upgrades: true, ..good.clone() },
        ] {
            assert_eq!(bad.check().unwrap_err().code(), "invalid_repository");
        }
        let backports = Identity { not_automatic: true, but_automatic_upgrades: true, ..good };
        backports.check().unwrap();
        assert_eq!(backports.choices(), "NotAutomatic: yes\nButAutomaticUpgrades: yes\n");
    }

    #[test]
    fn components_are_directories_names_and_each_is_there_once() {
        let check = |names: &[&str]| {
            check_components(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        check(&["main", "non-free"]).unwrap();
        for bad in [&[][..], &["main", "main"], &["../x"], &["a b"], &[""], &["-x"]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
