//! What `make fuzz` starts from and has found: every parser still takes or refuses each of these bytes.

use std::path::Path;

use pybit_backends::fuzz;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 20] = [
    ("dsc", fuzz::dsc),
    ("changes", fuzz::changes),
    ("srpm_info", fuzz::srpm_info),
    ("sdist_info", fuzz::sdist_info),
    ("primary", fuzz::fuzz_primary),
    ("names", fuzz::fuzz_names),
    ("rpm_names", fuzz::fuzz_rpm_names),
    ("simple", fuzz::fuzz_simple),
    ("deb_version", fuzz::deb_version),
    ("rpm_version", fuzz::rpm_version),
    ("python_version", fuzz::python_version),
    ("wheel", fuzz::wheel),
    ("relation", fuzz::relation),
    ("log", fuzz::log),
    ("hint", fuzz::hint),
    ("command", fuzz::fuzz_command),
    ("frame", fuzz::fuzz_frame),
    ("watch", fuzz::fuzz_watch),
    ("head", fuzz::fuzz_head),
    ("submodules", fuzz::fuzz_submodules),
];

#[test]
fn every_parser_answers_to_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let files = std::fs::read_dir(corpus.join(name)).unwrap().map(|e| e.unwrap().path());
        let count = files.map(|file| target(&std::fs::read(file).unwrap())).count();
        assert!(count > 0, "{name} has no corpus");
    }
}
