//! The file of `pybit apply`: what a farm serves, refuses and builds for pushes, as `docs/catalogue.md` shows it.

use std::io::Read;
use std::path::Path;

use pybit_core::model::{BlockRule, BlockSubject, Catalogue, HookRule, PushRule, RuleId};
use pybit_core::{Error, ErrorKind, Result};
use pybit_web::suites::{self, SuiteConfig};
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FarmFile {
    suites: Vec<Spanned<SuiteConfig>>,
    rules: Vec<Spanned<Rule>>,
    hooks: Vec<Spanned<Hook>>,
}

/// The same, to be written.
#[derive(Debug, Serialize)]
struct Exported {
    suites: Vec<SuiteConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hooks: Vec<ExportedHook>,
}

/// A block rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    subject: BlockSubject,
    pattern: String,
    reason: String,
}

/// What is built for the pushes of a hook whose service and secret the servers' own configuration has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    name: String,
    rules: Vec<Spanned<PushRule>>,
}

#[derive(Debug, Serialize)]
struct ExportedHook {
    name: String,
    rules: Vec<PushRule>,
}

/// Longer files are refused, in bytes.
const LONGEST: u64 = 16 << 20;

/// Reads a file, standard input where it is `-`. What it may not say is refused, `Invalid`, code `invalid_farm_file`, with file, line
/// and key.
pub fn read(file: &Path) -> Result<Catalogue> {
    if file == Path::new("-") {
        return read_from(std::io::stdin().lock(), Path::new("standard input"));
    }
    let opened = std::fs::File::open(file).map_err(|e| unreadable(file, &e))?;
    read_from(opened, file)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot read {}: {error}", file.display()))
}

fn read_from(from: impl Read, file: &Path) -> Result<Catalogue> {
    let mut text = String::new();
    from.take(LONGEST + 1).read_to_string(&mut text).map_err(|e| unreadable(file, &e))?;
    if text.len() as u64 > LONGEST {
        let message = format!("{} is longer than {} MiB", file.display(), LONGEST >> 20);
        return Err(Error::invalid(message).with_code("invalid_farm_file"));
    }
    parse(&text).map_err(|Wrong { line, what }| {
        let message = format!("{}, line {line}: {what}", file.display());
        Error::invalid(message).with_code("invalid_farm_file")
    })
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    line: usize,
    what: String,
}

type Parsed<T> = std::result::Result<T, Wrong>;

fn parse(text: &str) -> Parsed<Catalogue> {
    let file: FarmFile = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        Wrong { line: line(text, at), what: e.message().replace('\n', " ") }
    })?;
    let suites: Vec<SuiteConfig> = file.suites.iter().map(|s| s.get_ref().clone()).collect();
    let suites = suites::resolve(&suites).map_err(|refused| {
        let span = file.suites[refused.place].span();
        Wrong {
            line: line(text, key(text, span, refused.key)),
            what: format!("suites.{}: {}", refused.key, refused.why),
        }
    })?;
    let rules = rules(text, &file.rules)?;
    let hook_rules = hook_rules(text, &file.hooks)?;
    let targets = suites.iter().flat_map(SuiteConfig::targets).collect();
    let repositories = suites.iter().filter_map(SuiteConfig::repository).collect();
    // A file says all of it: where it names no moves there are none.
    let moves = Some(suites.iter().flat_map(SuiteConfig::moves).collect());
    let catalogue = Catalogue { targets, repositories, rules, hook_rules, moves };
    repositories_once(text, &file.suites)?;
    catalogue.check().map_err(|e| Wrong { line: 1, what: e.message().to_owned() })?;
    Ok(catalogue)
}

fn repositories_once(text: &str, suites: &[Spanned<SuiteConfig>]) -> Parsed<()> {
    for (n, suite) in suites.iter().enumerate() {
        let Some(name) = &suite.get_ref().repository else { continue };
        if suites[..n].iter().any(|s| s.get_ref().repository.as_ref() == Some(name)) {
            return Err(Wrong {
                line: line(text, key(text, suite.span(), "repository")),
                what: format!(
                    "suites.repository: \"{name}\" is another suite's already; one holds one suite and format"
                ),
            });
        }
    }
    Ok(())
}

fn rules(text: &str, given: &[Spanned<Rule>]) -> Parsed<Vec<BlockRule>> {
    let mut rules: Vec<BlockRule> = Vec::with_capacity(given.len());
    for spanned in given {
        let Rule { subject, pattern, reason } = spanned.get_ref().clone();
        let rule = BlockRule { id: RuleId(0), subject, pattern, reason };
        let wrong = |what: String| Wrong {
            line: line(text, key(text, spanned.span(), "pattern")),
            what: format!("rules.pattern: {what}"),
        };
        rule.check().map_err(|e| wrong(e.message().to_owned()))?;
        if rules.contains(&rule) {
            return Err(wrong(format!("{:?} is there twice", rule.pattern)));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn hook_rules(text: &str, hooks: &[Spanned<Hook>]) -> Parsed<Vec<HookRule>> {
    let mut all: Vec<HookRule> = Vec::new();
    for (n, hook) in hooks.iter().enumerate() {
        let Hook { name, rules } = hook.get_ref();
        if hooks[..n].iter().any(|h| h.get_ref().name == *name) {
            return Err(Wrong {
                line: line(text, key(text, hook.span(), "name")),
                what: format!("hooks.name: {name:?} is there twice"),
            });
        }
        for spanned in rules {
            let rule = HookRule { hook: name.clone(), rule: spanned.get_ref().clone() };
            let wrong = |what: String| Wrong {
                line: line(text, key(text, spanned.span(), "repository")),
                what: format!("hooks.rules.repository: {what}"),
            };
            pybit_web::check_hook_rules(std::slice::from_ref(&rule))
                .map_err(|e| wrong(e.message().to_owned()))?;
            if all.contains(&rule) {
                return Err(wrong("this rule is there twice".to_owned()));
            }
            all.push(rule);
        }
    }
    Ok(all)
}

/// The line of a place in the text, from 1.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// Where a key stands in a table, or the table where it does not.
fn key(text: &str, table: std::ops::Range<usize>, key: &str) -> usize {
    let inside = text.get(table.clone()).unwrap_or_default();
    let mut at = table.start;
    for line in inside.split_inclusive('\n') {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key).unwrap_or_default();
        if rest.trim_start_matches('"').trim_start().starts_with('=') {
            return at;
        }
        at += line.len();
    }
    table.start
}

/// Writes a catalogue so that [`read`] makes the same of it.
///
/// # Errors
///
/// `Internal` where it cannot be written, which no catalogue is.
pub fn write(catalogue: &Catalogue) -> Result<String> {
    let rules = catalogue.rules.iter().map(|rule| Rule {
        subject: rule.subject,
        pattern: rule.pattern.clone(),
        reason: rule.reason.clone(),
    });
    let mut hooks: Vec<ExportedHook> = Vec::new();
    for HookRule { hook, rule } in &catalogue.hook_rules {
        match hooks.iter_mut().find(|h| h.name == *hook) {
            Some(there) => there.rules.push(rule.clone()),
            None => hooks.push(ExportedHook { name: hook.clone(), rules: vec![rule.clone()] }),
        }
    }
    let exported = Exported { suites: suites::suites_of(catalogue), rules: rules.collect(), hooks };
    toml::to_string_pretty(&exported)
        .map_err(|e| Error::internal("the catalogue cannot be written as TOML").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FARM: &str = r#"
[[suites]]
dist = "Debian"
name = "bookworm"
format = "deb"
arches = ["amd64", "arm64"]
repository = "bookworm"
overlay = true
envs = [{ name = "sbuild", weight = 10, weights = { arm64 = 5 } }, { name = "host", arches = ["amd64"] }]

[[suites]]
dist = "Debian"
name = "bookworm-backports"
format = "deb"
like = "bookworm"
moves = [{ binary = "make", from = "make-dfsg", to = "make", why = "ours is newer" }]

[[rules]]
subject = "package"
pattern = '^linux-'
reason = "built elsewhere"

[[hooks]]
name = "forge"

[[hooks.rules]]
repository = "team/*"
branch = "debian/*"
suite = "bookworm"
"#;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let catalogue = parse(FARM).unwrap();
        assert_eq!((catalogue.targets.len(), catalogue.repositories.len()), (6, 1));
        assert!(catalogue.repositories[0].overlays());
        let text = write(&catalogue).unwrap();
        assert!(text.contains("overlay = true\n"), "{text}");
        assert_eq!(catalogue.changes_to(&parse(&text).unwrap()), [], "{text}");
        assert_eq!(parse(&text).unwrap().changes_to(&catalogue), [], "{text}");
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_key() {
        let twice = format!(
            "{FARM}\n[[suites]]\ndist = \"Debian\"\nname = \"bookworm\"\nformat = \"deb\"\nlike = \"bookworm\"\n"
        );
        let taken = FARM
            .replace("like = \"bookworm\"\n", "like = \"bookworm\"\nrepository = \"bookworm\"\n");
        let cases = [
            (FARM.replace("arches = [\"amd64\", \"arm64\"]", "arhces = [\"amd64\"]"), 6, "arhces"),
            (
                FARM.replace("like = \"bookworm\"", "like = \"bookworm-backports\""),
                15,
                "suites.like: a cycle",
            ),
            (FARM.replace("'^linux-'", "'(linux'"), 20, "rules.pattern"),
            (FARM.replace("team/*", "team/***"), 27, "hooks.rules.repository"),
            (FARM.replace("suite = \"bookworm\"\n", "suite = \"book worm\"\n"), 29, "suite"),
            (FARM.replace("weight = 10", "weight = \"10\""), 9, "i32"),
            (
                FARM.replace(
                    "arches = [\"amd64\", \"arm64\"]",
                    "arches = [\"amd64\", \"aarch64\"]",
                ),
                6,
                "names the architecture aarch64, which deb calls arm64",
            ),
            (
                FARM.replace("ours is newer", " "),
                16,
                "suites.moves: the suite Debian/bookworm-backports",
            ),
            (
                FARM.replace("like = \"bookworm\"\n", "like = \"bookworm\"\noverlay = true\n"),
                16,
                "suites.overlay: the suite Debian/bookworm-backports deb overlays",
            ),
            (twice, 33, "suites.name: the suite Debian/bookworm deb is there twice"),
            (taken, 16, "suites.repository"),
            ("[[suites]\n".to_owned(), 1, "]]"),
        ];
        for (text, line, what) in cases {
            let wrong = parse(&text).expect_err(what);
            assert_eq!(wrong.line, line, "{wrong:?}");
            assert!(wrong.what.contains(what), "{wrong:?} does not say {what}");
        }
    }

    proptest::proptest! {
        /// Whatever stands in a file, it is read or refused with one of its lines.
        #[test]
        fn any_bytes_are_read_or_refused_with_their_line(
            at in 0..FARM.len(),
            gone in 0_usize..40,
            put in "[ -~\\n\u{0}\u{e9}]{0,12}",
        ) {
            let after = (at + gone).min(FARM.len());
            let text = [&FARM[..at], &put, &FARM[after..]].concat();
            match parse(&text) {
                Ok(catalogue) => {
                    let written = write(&catalogue).unwrap();
                    assert_eq!(catalogue.changes_to(&parse(&written).unwrap()), [], "{written}");
                }
                Err(wrong) => assert!((1..=text.lines().count() + 1).contains(&wrong.line), "{wrong:?}"),
            }
        }
    }
}
