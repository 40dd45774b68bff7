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

/// Whether what is missing is what the package's own `Build-Conflicts` forbid; then no publication helps.
pub(super) fn forbidden(log: &str, unmet: &[String]) -> bool {
    let list = log.lines().rev().find_map(|line| line.strip_prefix("Filtered Build-Conflicts: "));
    let name = |relation: &str| relation.trim().split([' ', ':']).next().map(str::to_owned);
    let names: Vec<_> = list.unwrap_or_default().split(',').filter_map(name).collect();
    unmet.iter().all(|relation| name(relation).is_some_and(|n| names.contains(&n)))
}

/// The indented lines after each "The following packages have unmet dependencies:" of apt; it may say so twice, once
/// while it explains, and its `E: ` lines may come out in the middle, being another stream.
fn apt_lines(log: &str) -> impl Iterator<Item = &str> {
    let blocks = log.split("The following packages have unmet dependencies:").skip(1);
    blocks.flat_map(|block| block.lines().skip(1).take_while(|line| line.starts_with([' ', 'E'])))
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
