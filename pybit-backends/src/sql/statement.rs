//! A statement of the catalogue.

use super::dialect::Engine;

/// One SQL statement: what it is called, how many parameters it takes, and its text.
///
/// Parameters are written `$1`, `$2` …, which every engine reads; a text is a literal, so nothing from outside ever becomes
/// part of one.
#[derive(Debug)]
pub struct Statement {
    name: &'static str,
    params: usize,
    sqlite: &'static str,
    postgres: &'static str,
    planned_anew: bool,
}

impl Statement {
    /// One text for every engine.
    pub(super) const fn shared(name: &'static str, params: usize, sql: &'static str) -> Self {
        Self { name, params, sqlite: sql, postgres: sql, planned_anew: false }
    }

    /// A text for each engine, where their syntax differs.
    pub(super) const fn split(
        name: &'static str,
        params: usize,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Self {
        Self { name, params, sqlite, postgres, planned_anew: false }
    }

    /// Has it planned for its parameters each time it runs. PostgreSQL keeps one plan for all of them otherwise, which is
    /// quick for a row or two and may walk the whole table for a list whose filter is rare.
    pub(super) const fn planned_anew(self) -> Self {
        Self { planned_anew: true, ..self }
    }

    /// Whether it is planned for its parameters each time it runs.
    pub fn is_planned_anew(&self) -> bool {
        self.planned_anew
    }

    /// What it is called in errors and tests.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many parameters it takes.
    pub fn params(&self) -> usize {
        self.params
    }

    /// Its text for an engine.
    pub fn text(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }
}
