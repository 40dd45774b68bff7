//! Every statement of the catalogue against real databases: it prepares, it takes the parameters it says, it returns the
//! same columns on both engines, and it walks an index.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "statements/postgres.rs"]
mod postgres;
#[path = "statements/sqlite.rs"]
mod sqlite;
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use pybit_backends::sql::Statement;
use pybit_backends::sql::statements::{ALL, OF_POSTGRES};

fn named(name: &str) -> &'static Statement {
    ALL.iter()
        .chain(OF_POSTGRES)
        .find(|s| s.name() == name)
        .unwrap_or_else(|| panic!("no statement {name}"))
}

#[test]
fn every_statement_is_in_the_catalogue_once() {
    let names: BTreeSet<_> = ALL.iter().chain(OF_POSTGRES).map(|s| s.name()).collect();
    assert_eq!(names.len(), ALL.len() + OF_POSTGRES.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/statements");
    let written: usize = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .map(|text| text.matches(": Statement =").count())
        .sum();
    let of_sqlite = 2;
    assert_eq!(written, ALL.len() + OF_POSTGRES.len() + of_sqlite);
}

#[test]
fn every_statement_is_called() {
    fn texts(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                all.push_str(&std::fs::read_to_string(path).unwrap());
            } else if !path.ends_with("statements") {
                texts(&path, all);
            }
        }
    }
    let mut code = String::new();
    texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql"), &mut code);
    for statement in ALL.iter().chain(OF_POSTGRES) {
        let called = format!("::{}", statement.name().to_uppercase());
        let whole_word = |at: usize| {
            !code[at + called.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        assert!(code.match_indices(&called).any(|(at, _)| whole_word(at)), "{}", statement.name());
    }
}
