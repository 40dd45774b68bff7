//! RPM packages: how their versions order.

mod versions;

pub use versions::RpmVersions;
