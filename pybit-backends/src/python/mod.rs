//! Python distributions: how their versions order.

mod versions;

pub use versions::PythonVersions;
