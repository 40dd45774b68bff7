//! One program for every target: `PYBIT_FUZZ_TARGET` names it, and libFuzzer's own arguments follow.
//!
//! `make fuzz` runs each for a while, from the corpus in `corpus/TARGET`.

#![no_main]

use std::sync::LazyLock;

use pybit_backends::fuzz as backends;
use pybit_web::fuzz as web;

type Target = fn(&[u8]);

/// Every target by its name. `tools/fuzz` reads the names from here.
const TARGETS: [(&str, Target); 26] = [
    ("dsc", backends::dsc),
    ("changes", backends::changes),
    ("srpm_info", backends::srpm_info),
    ("sdist_info", backends::sdist_info),
    ("primary", backends::fuzz_primary),
    ("names", backends::fuzz_names),
    ("rpm_names", backends::fuzz_rpm_names),
    ("simple", backends::fuzz_simple),
    ("deb_version", backends::deb_version),
    ("rpm_version", backends::rpm_version),
    ("python_version", backends::python_version),
    ("wheel", backends::wheel),
    ("relation", backends::relation),
    ("log", backends::log),
    ("hint", backends::hint),
    ("command", backends::fuzz_command),
    ("frame", backends::fuzz_frame),
    ("watch", backends::fuzz_watch),
    ("head", backends::fuzz_head),
    ("submodules", backends::fuzz_submodules),
    ("webhook", web::webhook),
    ("form", web::form),
    ("catalogue", web::catalogue),
    ("submission", web::submission),
    ("message", web::message),
    ("headers", web::headers),
];

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("PYBIT_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map_or_else(
        || panic!("PYBIT_FUZZ_TARGET must be one of {:?}", TARGETS.map(|(known, _)| known)),
        |(_, target)| *target,
    )
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHOSEN(bytes));
