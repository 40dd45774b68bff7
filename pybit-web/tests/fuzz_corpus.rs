//! What `make fuzz` starts from and has found: every reader still takes or refuses each of these bytes.

use std::path::Path;

use pybit_web::fuzz;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 6] = [
    ("webhook", fuzz::webhook),
    ("form", fuzz::form),
    ("catalogue", fuzz::catalogue),
    ("submission", fuzz::submission),
    ("message", fuzz::message),
    ("headers", fuzz::headers),
];

#[test]
fn every_reader_answers_to_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let files = std::fs::read_dir(corpus.join(name)).unwrap().map(|e| e.unwrap().path());
        let count = files.map(|file| target(&std::fs::read(file).unwrap())).count();
        assert!(count > 0, "{name} has no corpus");
    }
}
