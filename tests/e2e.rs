//! The farm as people run it: separate processes, real packages, real repositories. Each test is named by the promise that
//! it holds.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]
#![expect(clippy::disallowed_methods, reason = "the tests start the programs that people start")]

mod support;

#[path = "e2e/blame.rs"]
mod blame;
#[path = "e2e/blobs.rs"]
mod blobs;
#[path = "e2e/cancel.rs"]
mod cancel;
#[path = "e2e/cluster.rs"]
mod cluster;
#[path = "e2e/dput.rs"]
mod dput;
#[path = "e2e/drops.rs"]
mod drops;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/hints.rs"]
mod hints;
#[path = "e2e/hooks.rs"]
mod hooks;
#[path = "e2e/isolated.rs"]
mod isolated;
#[path = "e2e/keys.rs"]
mod keys;
#[path = "e2e/mock.rs"]
mod mock;
#[path = "e2e/names.rs"]
mod names;
#[path = "e2e/publish.rs"]
mod publish;
#[path = "e2e/python.rs"]
mod python;
#[path = "e2e/rpm.rs"]
mod rpm;
#[path = "e2e/signing_keys.rs"]
mod signing_keys;
#[path = "e2e/takeback.rs"]
mod takeback;
