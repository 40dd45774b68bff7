//! Which architectures a declaration means, as `dpkg-architecture --match-wildcard` decides (Debian Policy 11.1).

use pybit_core::format::Expansion;
use pybit_core::model::Arch;
use pybit_core::{Error, Result};

use super::arch_table::{CPUS, FAMILIES, SPECIAL, Tuple};

/// The most words of an `Architecture` field that are read; the longest of Debian's own has some thirty.
pub(super) const MOST_DECLARED: usize = 600;

/// Which of the served architectures a source's `Architecture` field means.
pub(super) fn expand(declared: &[String], served: &[Arch]) -> Result<Expansion> {
    check_declared(declared)?;
    let mut expansion = Expansion::default();
    for arch in served {
        let real = !arch.is_source() && arch.as_str() != "all";
        let wanted = declared.iter().any(|d| d != "all" && matches(arch.as_str(), d));
        if real && wanted && !expansion.arches.contains(arch) {
            expansion.arches.push(arch.clone());
        }
    }
    expansion.indep = declared.iter().any(|d| d == "all");
    Ok(expansion)
}

/// Refuses what is no architecture name or wildcard.
pub(super) fn check_declared(declared: &[String]) -> Result<()> {
    let word_ok = |w: &String| {
        w.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && w.len() <= 64
            && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !declared.is_empty() && declared.len() <= MOST_DECLARED && declared.iter().all(word_ok) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the Architecture field is refused: it must be 1 to {MOST_DECLARED} names or wildcards of small letters, digits and \"-\""
    ))
    .with_code("invalid_arch"))
}

/// `Dpkg::Arch::debarch_is`: whether an architecture is, or is matched by, a name or wildcard.
pub(super) fn matches(arch: &str, wildcard: &str) -> bool {
    if wildcard == arch || wildcard == "any" {
        return true;
    }
    let (Some(arch), Some(wildcard)) = (tuple(arch), wildcard_tuple(wildcard)) else {
        return false;
    };
    arch.iter().zip(wildcard).all(|(a, w)| w == "any" || *a == w)
}

/// `Dpkg::Arch::debwildcard_to_debtuple`: fewer than four words are the last words of a tuple.
fn wildcard_tuple(text: &str) -> Option<Tuple<'_>> {
    let words: Vec<&str> = text.splitn(4, '-').collect();
    if !words.contains(&"any") {
        return tuple(text);
    }
    let mut all = ["any"; 4];
    if words.len() > 1 {
        all[4 - words.len()..].copy_from_slice(&words);
    }
    Some(all)
}

/// `Dpkg::Arch::debarch_to_debtuple`, with its rule that `linux-CPU` is `CPU`.
fn tuple(arch: &str) -> Option<Tuple<'_>> {
    let arch = match arch.strip_prefix("linux-") {
        Some(rest) => rest.split('-').next().unwrap_or_default(),
        None => arch,
    };
    if let Some((_, tuple)) = SPECIAL.iter().find(|(name, _)| *name == arch) {
        return Some(*tuple);
    }
    let (prefix, cpu) = arch.rsplit_once('-').unwrap_or(("", arch));
    let cpu = CPUS.iter().find(|c| **c == cpu)?;
    let (_, [abi, libc, os]) = FAMILIES.iter().find(|(name, _)| *name == prefix)?;
    Some([abi, libc, os, cpu])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(declared: &[&str], served: &[&str]) -> (Vec<String>, bool) {
        let declared: Vec<String> = declared.iter().map(|s| (*s).to_owned()).collect();
        let served: Vec<Arch> = served.iter().map(|s| s.parse().unwrap()).collect();
        let expansion = expand(&declared, &served).unwrap();
        (expansion.arches.iter().map(ToString::to_string).collect(), expansion.indep)
    }

    #[test]
    fn an_unserved_architecture_is_left_out() {
        let served = ["amd64", "arm64", "hurd-amd64", "amd64", "source"];
        let cases: [(&[&str], &[&str], bool); 9] = [
            (&["any"], &["amd64", "arm64", "hurd-amd64"], false),
            (&["all"], &[], true),
            (&["any", "all"], &["amd64", "arm64", "hurd-amd64"], true),
            (&["linux-any"], &["amd64", "arm64"], false),
            (&["any-amd64"], &["amd64", "hurd-amd64"], false),
            (&["hurd-any", "riscv64"], &["hurd-amd64"], false),
            (&["gnu-any-any"], &["amd64", "arm64", "hurd-amd64"], false),
            (&["kfreebsd-any"], &[], false),
            (&["source"], &[], false),
        ];
        for (declared, arches, indep) in cases {
            let arches: Vec<String> = arches.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(expanded(declared, &served), (arches, indep), "{declared:?}");
        }
    }

    #[test]
    fn a_hostile_declaration_is_refused() {
        let many = vec!["amd64".to_owned(); 10_000];
        assert_eq!(expand(&many, &[]).unwrap_err().code(), "invalid_arch");
        for word in ["any;all", "", "!amd64", "../x", "-any", "AMD64", "a b", "any\n"] {
            let error = expand(&[word.to_owned()], &[]).expect_err(word);
            assert_eq!(error.code(), "invalid_arch");
        }
        assert!(expand(&[], &[]).is_err());
    }
}
