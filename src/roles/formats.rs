//! The package formats that this program knows: the one place that lists them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pybit_backends::deb::{DebFormat, DebVersions};
use pybit_backends::python::{self, PythonFormat, PythonVersions};
use pybit_backends::rpm::{self, RpmFormat, RpmVersions};
use pybit_core::format::PackageFormat;
use pybit_core::model::FormatName;
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

/// Every format that is planned and built.
pub fn formats() -> Vec<Arc<dyn PackageFormat>> {
    vec![Arc::new(DebFormat::new()), Arc::new(RpmFormat::new()), Arc::new(PythonFormat::new())]
}

/// Every format whose versions can be compared.
const ORDERS: [(&str, &dyn VersionOrder); 3] =
    [("deb", &DebVersions), ("rpm", &RpmVersions), ("python", &PythonVersions)];

/// How a format's versions order; `Invalid`, code `unknown_format`, for a format that is not known.
pub fn version_order(format: &str) -> Result<&'static dyn VersionOrder> {
    let found = ORDERS.iter().find(|(name, _)| *name == format).map(|(_, order)| *order);
    found.ok_or_else(|| {
        Error::invalid("this program orders versions of the formats deb, python and rpm")
            .with_code("unknown_format")
    })
}

/// What the roots of a format hold besides Debian's build-essential packages, by the format.
pub(super) fn root_packages() -> BTreeMap<FormatName, Vec<String>> {
    let rpm = rpm::ROOT_PACKAGES.map(str::to_owned).to_vec();
    let python = python::ROOT_PACKAGES.map(str::to_owned).to_vec();
    BTreeMap::from([
        (RpmFormat::new().name().clone(), rpm),
        (PythonFormat::new().name().clone(), python),
    ])
}
