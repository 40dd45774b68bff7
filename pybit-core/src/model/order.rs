//! Orders of operators to a repository's watcher: take a package out, list what is there, roll its key over.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::OrderId;
use super::name::{Dist, FormatName, PackageName, RepositoryName, Suite, Version};
use super::signing_key::SigningKey;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::publish::Listed;

/// The task of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// Take a source package, and all that was built from it, out of the repository.
    Remove,
    /// List what readers of the repository see.
    List,
    /// Roll the repository's key over to a new one.
    Roll,
    /// List the keys that sign the repository.
    Keys,
}

impl OrderKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Remove, Self::List, Self::Roll, Self::Keys];

    /// The kind as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::List => "list",
            Self::Roll => "roll",
            Self::Keys => "keys",
        }
    }

    /// Whether it is about the repository's key, and not about packages.
    pub fn is_about_keys(self) -> bool {
        matches!(self, Self::Roll | Self::Keys)
    }
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// No watcher has reported on it.
    Pending,
    /// A watcher has said what it is about to take out, and not yet that it did.
    Started,
    /// The watcher has done it.
    Done,
    /// The watcher cannot do it.
    Failed,
}

impl OrderState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Started, Self::Done, Self::Failed];

    /// The state as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether the order never changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OrderState {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == s);
        found.ok_or_else(|| Error::invalid(format!("there is no state {s:?} of an order")))
    }
}

/// An order and its record: who asked for it, when and why, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PackageOrder {
    /// Its number.
    pub id: OrderId,
    /// Counted on by every change.
    pub row_version: i64,
    /// The repository.
    pub repository: RepositoryName,
    /// The repository's distribution when it was asked for.
    pub dist: Dist,
    /// The repository's suite when it was asked for.
    pub suite: Suite,
    /// The repository's package format when it was asked for.
    pub format: FormatName,
    /// The task.
    pub kind: OrderKind,
    /// The source package; a list without one is of the whole repository.
    #[serde(default)]
    pub package: Option<PackageName>,
    /// The version to take out, as the source package has it; absent: every version.
    #[serde(default)]
    pub version: Option<Version>,
    /// Why.
    pub reason: String,
    /// Whether it only says what would be done.
    pub dry_run: bool,
    /// The principal who asked for it.
    pub principal: String,
    /// When it was asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub requested_at: Timestamp,
    /// Its state.
    pub state: OrderState,
    /// The packages that were taken out, that are about to be while it is `started`, that would be in a dry run, or
    /// that are listed.
    pub packages: Vec<Listed>,
    /// The keys that sign the repository, where the order is about them, oldest first.
    #[serde(default)]
    pub keys: Vec<SigningKey>,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// When it was done or failed.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ended_at: Option<Timestamp>,
}

impl PackageOrder {
    /// Whether its end takes versions out of the repository.
    pub fn removes(&self) -> bool {
        self.kind == OrderKind::Remove && !self.dry_run
    }

    /// The order after a report; `None` where the report only repeats what is on record.
    ///
    /// A watcher may be killed between its removal and its report. It lists before it removes, and the list that it
    /// reported first stays on record: the second try, which finds nothing, adds nothing and takes nothing away.
    /// Another answer than the one on record is `Conflict`, code `order_ended`.
    pub fn after(&self, report: OrderReport, at: Timestamp) -> Result<Option<Self>> {
        let next = |state, packages, message, ended_at| {
            let row_version = self.row_version + 1;
            Some(Self { row_version, state, packages, message, ended_at, ..self.clone() })
        };
        let all_known = |found: &[Listed]| found.iter().all(|p| self.packages.contains(p));
        match (self.state, report) {
            (OrderState::Pending, OrderReport::Started(found)) => {
                Ok(next(OrderState::Started, found, None, None))
            }
            (OrderState::Started, OrderReport::Started(found)) if all_known(&found) => Ok(None),
            (OrderState::Started, OrderReport::Started(found)) => {
                Ok(next(OrderState::Started, self.with(found), None, None))
            }
            (OrderState::Pending | OrderState::Started, OrderReport::Done(found)) => {
                Ok(next(OrderState::Done, self.with(found), None, Some(at)))
            }
            (OrderState::Pending | OrderState::Started, OrderReport::Failed(message)) => {
                Ok(next(OrderState::Failed, self.packages.clone(), Some(message), Some(at)))
            }
            (OrderState::Pending | OrderState::Started, OrderReport::Keys(keys)) => {
                let done = next(OrderState::Done, Vec::new(), None, Some(at));
                Ok(done.map(|done| Self { keys, ..done }))
            }
            (OrderState::Done, OrderReport::Keys(keys)) if self.keys == keys => Ok(None),
            (OrderState::Done, OrderReport::Done(found) | OrderReport::Started(found))
                if all_known(&found) =>
            {
                Ok(None)
            }
            (OrderState::Failed, OrderReport::Failed(message))
                if self.message.as_ref() == Some(&message) =>
            {
                Ok(None)
            }
            (OrderState::Done | OrderState::Failed, _) => Err(Error::conflict(format!(
                "order {} is {} with another result; the first report stays",
                self.id, self.state
            ))
            .with_code("order_ended")),
        }
    }

    /// The packages on record and these, each once.
    fn with(&self, found: Vec<Listed>) -> Vec<Listed> {
        let mut all = self.packages.clone();
        all.extend(found.into_iter().filter(|p| !self.packages.contains(p)));
        all
    }
}

/// A report of a watcher about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderReport {
    /// It is about to take these packages out.
    Started(Vec<Listed>),
    /// It took these packages out, or lists them.
    Done(Vec<Listed>),
    /// These keys sign the repository, now that the order is carried out.
    Keys(Vec<SigningKey>),
    /// It cannot do it: why.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        let text = |s: &str| s.to_owned();
        Listed { name: text(name), version: text("1"), arch: text("amd64"), source: text("src") }
    }

    fn order(state: OrderState, packages: &[&str]) -> PackageOrder {
        PackageOrder {
            id: OrderId(1),
            row_version: 1,
            repository: "r".parse().unwrap(),
            dist: "Debian".parse().unwrap(),
            suite: "sid".parse().unwrap(),
            format: "deb".parse().unwrap(),
            kind: OrderKind::Remove,
            package: Some("src".parse().unwrap()),
            version: None,
            reason: "wrong".to_owned(),
            dry_run: false,
            principal: "ann".to_owned(),
            requested_at: Timestamp::from_micros(1),
            state,
            packages: packages.iter().map(|p| listed(p)).collect(),
            keys: Vec::new(),
            message: None,
            ended_at: state.is_final().then(|| Timestamp::from_micros(2)),
        }
    }

    #[test]
    fn a_removal_that_is_tried_again_keeps_what_the_first_try_took_out() {
        let now = Timestamp::from_micros(9);
        let started = order(OrderState::Pending, &[])
            .after(OrderReport::Started(vec![listed("a"), listed("b")]), now)
            .unwrap()
            .unwrap();
        assert_eq!((started.state, started.row_version), (OrderState::Started, 2));
        // Killed here; the next try finds nothing more.
        assert_eq!(started.after(OrderReport::Started(Vec::new()), now).unwrap(), None);
        let done = started.after(OrderReport::Done(Vec::new()), now).unwrap().unwrap();
        assert_eq!((done.state, done.ended_at), (OrderState::Done, Some(now)));
        assert_eq!(done.packages, [listed("a"), listed("b")]);
    }

    #[test]
    fn an_ended_order_takes_the_same_answer_again_and_no_other() {
        let now = Timestamp::from_micros(9);
        let done = order(OrderState::Done, &["a", "b"]);
        for same in [&[][..], &["b"], &["a", "b"]] {
            let report = OrderReport::Done(same.iter().map(|p| listed(p)).collect());
            assert_eq!(done.after(report, now).unwrap(), None, "{same:?}");
        }
        let mut failed = order(OrderState::Failed, &[]);
        failed.message = Some("no".to_owned());
        assert_eq!(failed.after(OrderReport::Failed("no".to_owned()), now).unwrap(), None);
        for (order, report) in [
            (&done, OrderReport::Done(vec![listed("c")])),
            (&done, OrderReport::Failed("no".to_owned())),
            (&failed, OrderReport::Failed("yes".to_owned())),
            (&failed, OrderReport::Done(Vec::new())),
        ] {
            assert_eq!(order.after(report, now).unwrap_err().code(), "order_ended");
        }
    }
}
