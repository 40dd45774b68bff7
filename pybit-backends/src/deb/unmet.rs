//! The build dependencies that are missing, as apt, dose3 and `dpkg-checkbuilddeps` report them.

use super::relation;

/// The most relations, and the longest, that are kept.
const MOST: usize = 100;
const LONGEST: usize = 200;

/// Every missing relation that a log names, each once, in order.
pub(super) fn relations(log: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in from_apt(log).chain(from_dose(log)).chain(from_dpkg(log)) {
        let Some(relation) = relation::normal(text.as_ref()) else { continue };
        if relation.len() <= LONGEST && !found.contains(&relation) {
            found.push(relation);
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

/// Whether apt reports nothing but conflicts.
pub(super) fn conflicts(log: &str) -> bool {
    apt_lines(log).any(|line| line.contains("Conflicts: ") || line.contains("Breaks: "))
}

/// The indented lines after apt's last "The following packages have unmet dependencies:".
fn apt_lines(log: &str) -> impl Iterator<Item = &str> {
    let after = log.rsplit_once("The following packages have unmet dependencies:").map(|(_, a)| a);
    after.unwrap_or_default().lines().skip(1).take_while(|line| line.starts_with(' '))
}

/// `sbuild-build-depends-main-dummy : Depends: foo (>= 1) but it is not installable`.
fn from_apt(log: &str) -> impl Iterator<Item = String> {
    let relation = |line: &str| {
        let (_, rest) = line.split_once("PreDepends: ").or_else(|| line.split_once("Depends: "))?;
        Some(rest.split(" but ").next().unwrap_or(rest).trim_end_matches(" or").to_owned())
    };
    apt_lines(log).filter_map(relation)
}

/// `unsat-dependency: foo:amd64 (>= 2.0) | bar`.
fn from_dose(log: &str) -> impl Iterator<Item = String> {
    log.lines().filter_map(|line| line.trim().strip_prefix("unsat-dependency: ")).map(str::to_owned)
}

/// `dpkg-checkbuilddeps: error: Unmet build dependencies: a b (>= 2) | c d`.
fn from_dpkg(log: &str) -> impl Iterator<Item = String> {
    let lists = log.lines().filter_map(|line| {
        line.strip_prefix("dpkg-checkbuilddeps: error: Unmet build dependencies: ")
    });
    lists.flat_map(split_list)
}

/// Splits relations that only blanks separate: a `(`, and what stands beside a `|`, belong to the word before.
fn split_list(words: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for word in words.split_ascii_whitespace() {
        let joins = open || word.starts_with('(') || word == "|";
        match all.last_mut() {
            Some(last) if joins || last.ends_with('|') => {
                last.push(' ');
                last.push_str(word);
            }
            _ => all.push(word.to_owned()),
        }
        open = (open || word.contains('(')) && !word.ends_with(')');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_that_only_blanks_separate_are_told_apart() {
        assert_eq!(split_list("a b (>= 2) | c d (<< 1:3~)"), ["a", "b (>= 2) | c", "d (<< 1:3~)"]);
        assert!(split_list("").is_empty());
    }
}
