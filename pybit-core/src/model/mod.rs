//! The words of the build farm as types (`docs/` explains them for people).

mod account;
mod catalogue;
mod catalogue_change;
mod catalogue_check;
mod client;
mod failure;
mod health;
mod id;
mod job;
mod name;
mod name_grant;
mod order;
mod query;
mod signing_key;
mod source;
mod source_url;
mod status;
mod stream;
mod submission;
mod suite_move;
mod target;
mod token;

pub use account::{Account, Password, PasswordHash};
pub use catalogue::{BlockRule, BlockSubject, Catalogue, HookRule, PushRule, Repository};
pub use catalogue_change::CatalogueChange;
pub use client::{BuildClient, Offer};
pub use failure::{Failure, FailureClass};
pub use health::Health;
pub use id::{JobId, OrderId, RuleId, StreamId, SubmissionId, TokenId, UploadId};
pub use job::{Attempt, Avoid, CLOCK_STEP, Event, Job, JobKind, Outcome, Produced};
pub use name::{
    AccountName, Arch, ClientName, Dist, EnvName, FileName, FormatName, PackageName,
    RepositoryName, Suite, Version,
};
pub use name_grant::{NameGrant, NamePattern};
pub use order::{OrderKind, OrderReport, OrderState, PackageOrder};
pub use query::{JobFilter, PackageSummary, Page, StatusCounts};
pub use signing_key::SigningKey;
pub use source::Source;
pub use status::JobStatus;
pub use stream::{Appended, FileSpec, NewPart, Part, Stream, StreamOwner, StreamRole, Upload};
pub(crate) use submission::PRIORITY_OUT_OF_RANGE;
pub use submission::{NewSubmission, Submission};
pub use suite_move::SuiteMove;
pub use target::{Route, Target, WeightedTarget};
pub use token::{Grant, Principal, Role, Token};
