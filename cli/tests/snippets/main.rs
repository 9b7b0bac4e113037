//! The Rust code in the pages for authors of brokers and clients compiles, and the pages have it as it
//! is compiled.

mod snippets;
mod stand_ins;

use std::collections::BTreeMap;
use std::path::Path;

/// The code of the pages, by page and number.
type Code = BTreeMap<(String, usize), String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the project")
}

/// The code in the files of this test: between a comment with its page and number, and `// end`.
fn compiled() -> Code {
    let mut code = Code::new();
    let mut place = None;
    for line in include_str!("snippets.rs").lines() {
        let bare = line.trim_start();
        let page = bare.strip_prefix("// ").and_then(|comment| comment.rsplit_once(' '));
        if let Some((page, number)) = page.filter(|(page, _)| page.ends_with(".md")) {
            let number = number.parse().expect("the number of the code in its page");
            place = Some(((page.to_owned(), number), line.len() - bare.len()));
        } else if bare == "// end" {
            place = None;
        } else if let Some((key, indent)) = &place {
            let text = code.entry(key.clone()).or_default();
            text.push_str(line.get(*indent..).unwrap_or_default());
            text.push('\n');
        }
    }
    code
}

/// The Rust code of a page.
fn of_page(page: &str) -> Code {
    let text = std::fs::read_to_string(root().join(page)).expect("the page");
    let blocks = text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    (1..).zip(blocks).map(|(number, block)| ((page.to_owned(), number), block.to_owned())).collect()
}

#[test]
fn the_code_of_the_pages_is_compiled() {
    let mut pages = of_page("README.md");
    pages.extend(of_page("harness/conformance/README.md"));
    assert_eq!(pages, compiled());
    assert_eq!(pages.len(), 6);
}

/// The functions with the code are used, but not run: they need a peer.
#[test]
fn the_code_has_the_types_of_the_library() {
    let tests: [fn() -> mqttspec::Tests; 4] =
        [snippets::client, snippets::conformance_client, snippets::turmoil, snippets::core];
    assert_eq!(tests.len(), 4);
    drop(snippets::test_broker());
}
