//! Running a statement: parameters in, rows out.

use std::str::FromStr;

use pybit_core::clock::Timestamp;
use pybit_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;

use super::dialect::{Dialect, Moment, Value};
use super::error::failed;
use super::statement::Statement;

/// A statement and the parameters bound to it so far, in the order of their numbers.
pub(super) struct Call<D: Dialect> {
    statement: &'static Statement,
    arguments: D::Arguments,
    bound: usize,
    refused: Option<BoxDynError>,
}

impl<D: Dialect> Call<D> {
    pub(super) fn new(statement: &'static Statement) -> Self {
        Self { statement, arguments: D::Arguments::default(), bound: 0, refused: None }
    }

    fn bind<T>(mut self, value: T) -> Self
    where
        D: Value<T>,
    {
        self.bound += 1;
        if let Err(error) = D::bind(&mut self.arguments, value) {
            self.refused.get_or_insert(error);
        }
        self
    }

    pub(super) fn int(self, value: impl Into<i64>) -> Self {
        self.bind::<i64>(value.into())
    }

    pub(super) fn maybe_int(self, value: Option<impl Into<i64>>) -> Self {
        self.bind::<Option<i64>>(value.map(Into::into))
    }

    pub(super) fn flag(self, value: bool) -> Self {
        self.bind::<bool>(value)
    }

    pub(super) fn text(self, value: &str) -> Self {
        self.bind::<String>(storable(value))
    }

    pub(super) fn maybe_text(self, value: Option<&str>) -> Self {
        self.bind::<Option<String>>(value.map(storable))
    }

    pub(super) fn blob(self, value: Option<&[u8]>) -> Self {
        self.bind::<Option<Vec<u8>>>(value.map(<[u8]>::to_vec))
    }

    pub(super) fn at(self, value: Timestamp) -> Self {
        self.bind::<Moment>(Moment(value))
    }

    pub(super) fn maybe_at(self, value: Option<Timestamp>) -> Self {
        self.bind::<Option<Moment>>(value.map(Moment))
    }

    /// SQLite takes a parameter that is not bound for NULL without a word, so they are counted here.
    fn ready(self) -> Result<(&'static Statement, D::Arguments)> {
        let name = self.statement.name();
        if let Some(error) = self.refused {
            let message = format!("a parameter of the statement {name} cannot be bound");
            return Err(Error::internal(message).with_op(name).with_source(error));
        }
        if self.bound != self.statement.params() {
            let (bound, params) = (self.bound, self.statement.params());
            let message = format!("the statement {name} takes {params} parameters, not {bound}");
            return Err(Error::internal(message).with_op(name));
        }
        Ok((self.statement, self.arguments))
    }

    /// Runs it and decodes every row.
    pub(super) async fn all<R>(
        self,
        connection: &mut D::Connection,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<Vec<R>> {
        let (statement, arguments) = self.ready()?;
        let rows = D::fetch(connection, statement, arguments)
            .await
            .map_err(|e| failed::<D>(statement.name(), e))?;
        rows.iter().map(|row| decode(&Cells { statement, row })).collect()
    }

    /// Runs it and decodes the first row, if there is one.
    pub(super) async fn first<R>(
        self,
        connection: &mut D::Connection,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<Option<R>> {
        Ok(self.all(connection, decode).await?.into_iter().next())
    }

    /// Runs a statement that always returns a row.
    pub(super) async fn one<R>(
        self,
        connection: &mut D::Connection,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<R> {
        let name = self.statement.name();
        self.first(connection, decode).await?.ok_or_else(|| {
            Error::internal(format!("the statement {name} returned no row")).with_op(name)
        })
    }

    /// Runs it and returns how many rows it changed.
    pub(super) async fn run(self, connection: &mut D::Connection) -> Result<u64> {
        let (statement, arguments) = self.ready()?;
        D::run(connection, statement, arguments).await.map_err(|e| failed::<D>(statement.name(), e))
    }

    /// Runs a change of exactly one row.
    pub(super) async fn run_one(self, connection: &mut D::Connection) -> Result<()> {
        let name = self.statement.name();
        match self.run(connection).await? {
            1 => Ok(()),
            n => Err(Error::internal(format!("the statement {name} changed {n} rows, not one"))
                .with_op(name)),
        }
    }
}

/// Text as every engine keeps it: PostgreSQL has no NUL in text.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A row on its way into a type of the model; what does not fit is [`ErrorKind::Corrupt`].
pub(super) struct Cells<'a, D: Dialect> {
    statement: &'static Statement,
    row: &'a D::Row,
}

impl<D: Dialect> Cells<'_, D> {
    fn read<T>(&self, column: &str) -> Result<T>
    where
        D: Value<T>,
    {
        D::read(self.row, column).map_err(|e| self.corrupt(column, e))
    }

    fn corrupt(
        &self,
        column: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let name = self.statement.name();
        let message = format!("the database holds a {column} that cannot be read (in {name})");
        Error::new(ErrorKind::Corrupt, message).with_op(name).with_source(source)
    }

    pub(super) fn int<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &str,
    ) -> Result<T> {
        T::try_from(self.read::<i64>(column)?).map_err(|e| self.corrupt(column, e))
    }

    pub(super) fn maybe_int<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &str,
    ) -> Result<Option<T>> {
        let value = self.read::<Option<i64>>(column)?;
        value.map(T::try_from).transpose().map_err(|e| self.corrupt(column, e))
    }

    pub(super) fn flag(&self, column: &str) -> Result<bool> {
        self.read::<bool>(column)
    }

    pub(super) fn text(&self, column: &str) -> Result<String> {
        self.read::<String>(column)
    }

    pub(super) fn maybe_text(&self, column: &str) -> Result<Option<String>> {
        self.read::<Option<String>>(column)
    }

    pub(super) fn at(&self, column: &str) -> Result<Timestamp> {
        self.read::<Moment>(column).map(|m| m.0)
    }

    pub(super) fn maybe_at(&self, column: &str) -> Result<Option<Timestamp>> {
        self.read::<Option<Moment>>(column).map(|m| m.map(|m| m.0))
    }

    /// Text that a type of the model reads.
    pub(super) fn parsed<T: FromStr<Err = Error>>(&self, column: &str) -> Result<T> {
        self.text(column)?.parse().map_err(|e: Error| self.corrupt(column, e))
    }

    pub(super) fn maybe_parsed<T: FromStr<Err = Error>>(&self, column: &str) -> Result<Option<T>> {
        let text = self.maybe_text(column)?;
        text.map(|t| t.parse()).transpose().map_err(|e: Error| self.corrupt(column, e))
    }

    /// JSON text.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|e| self.corrupt(column, e))
    }

    /// One of the words of an enumeration.
    pub(super) fn word<T: Copy>(
        &self,
        column: &str,
        known: &[T],
        written: fn(T) -> &'static str,
    ) -> Result<T> {
        let text = self.text(column)?;
        let found = known.iter().copied().find(|k| written(*k) == text);
        found.ok_or_else(|| self.corrupt(column, format!("there is no {column} {text:?}")))
    }
}

/// A list or a request as a column keeps it.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::internal("a value cannot be written as JSON").with_source(e))
}

/// A number of bytes or rows as a column keeps it.
pub(super) fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| {
        Error::new(ErrorKind::TooLarge, format!("{value} is larger than a database keeps"))
    })
}
