//! The roles of a farm, put together from a configuration: what `pybit web`, `client`, `watch` and `up` run.

mod backends;
mod builder;
mod data_dir;
mod formats;
mod server;
mod transport;
mod watcher;

pub mod up;

pub use backends::Backends;
pub use builder::{SUPERVISE, run_client, supervised, toolbox};
pub use data_dir::DataDir;
pub use formats::{formats, version_order};
pub use server::{data_dir, open_blobs, open_farm, run_web, storages};
pub use transport::{client_settings, client_transport, transports};
pub use watcher::{publishers, run_watch};
