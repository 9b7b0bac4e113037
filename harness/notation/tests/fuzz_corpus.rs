//! The fuzz target `notation` over its corpus, without a fuzzer.

use std::path::Path;

#[test]
fn the_notation_target_holds_over_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/notation");
    let files: Vec<_> =
        std::fs::read_dir(corpus).expect("the corpus").map(|entry| entry.expect("readable").path()).collect();
    assert!(files.len() >= 10, "the corpus is gone");
    for file in files {
        let input = std::fs::read(file).expect("readable");
        mqttspec_notation::fuzz::file(&input);
        // Cut short anywhere it is read or refused as well.
        for end in (0..input.len()).step_by(7) {
            mqttspec_notation::fuzz::file(&input[..end]);
        }
    }
}
