//! What was wrong with the Python pybit of 2012-13, a test for each, lettered; and two disks that are full, and an upload
//! that breaks off.
//!
//! | letter | the original | file |
//! |---|---|---|
//! | a | a lost report leaves a finished job Building | `reports.rs` |
//! | b | a message is held unacknowledged for a whole build | `queue.rs` |
//! | c | a missing build dependency is tried again at once, for ever, and forgotten by a restart | `queue.rs` |
//! | d | a late report undoes Cancelled | `reports.rs` |
//! | e | a cancellation is lost on a client that is away | `reports.rs` |
//! | f | a crash between commit and message loses the job | `queue.rs` |
//! | g | what a client sends reaches a shell of the server | `shell.rs` |
//! | h | guest/guest, admin/pass, and a password in the log | `credentials.rs` |
//! | i | a GET changes state | `reading.rs` |
//! | j | uploads are published after three seconds, complete or not | `repository.rs` |
//! | k | apt is told to install what nobody signed | `repository.rs` |
//! | l | a hook is refused only where every field is missing | `fields.rs` |

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]
#![expect(clippy::disallowed_methods, reason = "the tests start the programs that people start")]

#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
mod support;

#[path = "original/apt.rs"]
mod apt;
#[path = "original/broken_upload.rs"]
mod broken_upload;
#[path = "original/credentials.rs"]
mod credentials;
#[path = "original/embedded.rs"]
mod embedded;
#[path = "original/fields.rs"]
mod fields;
#[path = "original/full_disk.rs"]
mod full_disk;
#[path = "original/proxy.rs"]
mod proxy;
#[path = "original/queue.rs"]
mod queue;
#[path = "original/reading.rs"]
mod reading;
#[path = "original/reports.rs"]
mod reports;
#[path = "original/repository.rs"]
mod repository;
#[path = "original/shell.rs"]
mod shell;
#[path = "original/watched.rs"]
mod watched;
