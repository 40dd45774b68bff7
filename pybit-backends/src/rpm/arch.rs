//! Which architectures a source package is built on: `BuildArch`, `ExclusiveArch` and `ExcludeArch` (spec file format, rpm 4.18).
//!
//! The three become one list of words: `any` and `noarch` say what is made, `NAME` where alone it may be built, `!NAME` where never.

use pybit_core::format::Expansion;
use pybit_core::model::Arch;
use pybit_core::{Error, Result};

/// The most words that are read; `%{ix86}` and its like stand for some ten each.
pub(super) const MOST_DECLARED: usize = 600;

const ANY: &str = "any";
const NOARCH: &str = "noarch";

/// Which of the served architectures the words mean.
pub(super) fn expand(declared: &[String], served: &[Arch]) -> Result<Expansion> {
    check_declared(declared)?;
    let says = |word: &str| declared.iter().any(|d| d == word);
    let names = || declared.iter().filter(|d| *d != ANY && *d != NOARCH);
    let exclusive = names().any(|d| !d.starts_with('!'));
    let may = |arch: &Arch| {
        let (name, never) = (arch.as_str(), format!("!{arch}"));
        let real = !arch.is_source() && name != NOARCH;
        real && !says(&never) && (!exclusive || says(name))
    };
    let mut arches: Vec<Arch> = Vec::new();
    for arch in served.iter().filter(|arch| may(arch)) {
        if !arches.contains(arch) {
            arches.push(arch.clone());
        }
    }
    let indep = says(NOARCH);
    if !says(ANY) {
        // Nothing but noarch packages: once is enough, where it may be. No limit needs no choice.
        let limited = names().next().is_some();
        arches.truncate(usize::from(limited));
        return Ok(Expansion { indep: indep && (!limited || !arches.is_empty()), arches });
    }
    Ok(Expansion { indep: indep && !arches.is_empty(), arches })
}

/// Refuses what is no list of words as above.
pub(super) fn check_declared(declared: &[String]) -> Result<()> {
    let word_ok = |word: &String| {
        let name = word.strip_prefix('!').unwrap_or(word);
        let ends = name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        ends && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let makes = declared.iter().any(|d| d == ANY || d == NOARCH);
    if makes && declared.len() <= MOST_DECLARED && declared.iter().all(word_ok) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the architectures are refused: they must be 1 to {MOST_DECLARED} names of letters, digits and \"_\", and say what is made"
    ))
    .with_code("invalid_arch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(declared: &str, served: &[&str]) -> (String, bool) {
        let declared: Vec<String> = declared.split(' ').map(str::to_owned).collect();
        let served: Vec<Arch> = served.iter().map(|s| s.parse().unwrap()).collect();
        let expansion = expand(&declared, &served).unwrap();
        (expansion.arches.iter().map(Arch::as_str).collect::<Vec<_>>().join(" "), expansion.indep)
    }

    #[test]
    fn an_unserved_architecture_is_left_out() {
        let served = ["x86_64", "aarch64", "x86_64", "source", "noarch"];
        for (declared, arches, indep) in [
            ("any", "x86_64 aarch64", false),
            ("any noarch", "x86_64 aarch64", true),
            ("noarch", "", true),
            ("any aarch64 riscv64", "aarch64", false),
            ("any !aarch64", "x86_64", false),
            ("any x86_64 aarch64 !x86_64", "aarch64", false),
            ("any noarch s390x", "", false),
            ("noarch aarch64", "aarch64", true),
            ("noarch !x86_64", "aarch64", true),
            ("noarch x86_64 noarch", "x86_64", true),
            ("noarch s390x", "", false),
        ] {
            assert_eq!(expanded(declared, &served), (arches.to_owned(), indep), "{declared}");
        }
    }

    #[test]
    fn a_hostile_declaration_is_refused() {
        let many = vec![ANY.to_owned(); 10_000];
        assert_eq!(expand(&many, &[]).unwrap_err().code(), "invalid_arch");
        for word in ["any;all", "", "!", "!!x", "../x", "-any", "a b", "any\n", "x86_64", "%{x}"] {
            let declared = [word.to_owned()];
            assert_eq!(expand(&declared, &[]).expect_err(word).code(), "invalid_arch");
        }
        assert!(expand(&[], &[]).is_err());
    }
}
