//! Storage: the truth of the farm, split by noun.
//!
//! **Every method is one transaction**: it takes effect as a whole or not at all, and when it returns `Ok` the effect
//! survives the end of the process. Nothing exposes begin or commit. The contract of each method stands as bullets
//! under it; `conformance::STORAGE` holds a case of that name for each.

mod accounts;
mod catalog;
mod changes;
mod clients;
mod jobs;
mod orders;
mod packages;
mod streams;

pub use accounts::{AccountChange, AccountStore, NewAccount, NewToken};
pub use catalog::CatalogStore;
pub use changes::Changes;
pub use clients::{Beat, ClientReport, ClientStore};
pub use jobs::{
    Advance, AttemptEnd, Change, Claim, HealthMark, JobStore, Lease, OutboxRow, PlannedJob,
    Recorded, SubmissionRecord,
};
pub use orders::{NewOrder, OrderStore, RecordedOrder};
pub use packages::PackageStore;
pub use streams::StreamStore;

/// All of the farm's state behind one handle. Implemented for whatever implements its parts.
pub trait Storage:
    JobStore + OrderStore + PackageStore + StreamStore + CatalogStore + ClientStore + AccountStore
{
}

impl<T> Storage for T where
    T: JobStore
        + OrderStore
        + PackageStore
        + StreamStore
        + CatalogStore
        + ClientStore
        + AccountStore
{
}
