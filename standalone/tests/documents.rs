//! Links between the repository's documents: each file and each anchor exists.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read is a failed test")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Directories that contain no documents of the repository.
const SKIPPED: [&str; 5] = [".git", "target", "data", "logs", "node_modules"];

/// Finds every document below `root`.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                let is_skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
                waiting.extend((!is_skipped).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns the targets of all links and images of a document, each with its line number.
fn links(text: &str) -> Vec<(usize, String)> {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let targets = parser.filter_map(|(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some((text[..range.start].matches('\n').count() + 1, dest_url.into_string()))
        }
        _ => None,
    });
    targets.collect()
}

/// Returns the anchors that GitHub gives to the headings of a document.
fn anchors(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let times = used.entry(anchor.clone()).or_default();
                found.insert(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
                *times += 1;
            }
            _ => {}
        }
    }
    found
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns why a link of `document` is dead, if it is. Links to other sites are not checked.
fn fault(root: &Path, document: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, wanted) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { document.to_owned() } else { document.parent().unwrap().join(path) };
    let Ok(target) = target.canonicalize() else { return Some("there is no such file".to_owned()) };
    if path.starts_with('/') || !target.starts_with(root.canonicalize().unwrap()) {
        return Some("it leads out of the repository".to_owned());
    }
    let wanted = wanted?;
    if target.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let is_there = anchors(&fs::read_to_string(target).unwrap()).contains(wanted);
    (!is_there).then(|| format!("there is no heading with the anchor {wanted}"))
}

/// Lists every dead link below `root` with its document, its line and its fault.
fn dead_links(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents(root) {
        let name = document.strip_prefix(root).unwrap().display();
        for (line, link) in links(&fs::read_to_string(&document).unwrap()) {
            if let Some(fault) = fault(root, &document, &link) {
                found.push(format!("{name}:{line}: {link}: {fault}"));
            }
        }
    }
    found
}

#[test]
fn documents_of_the_repository_have_no_dead_link() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(documents(root).len() > 10, "documents are missing below {}", root.display());
    assert_eq!(dead_links(root), [""; 0]);
}

/// Lists the files and directories that a guide names in code spans and that do not exist.
///
/// A name with a slash is below `root` or below the sources of a crate. One that begins with a slash is a path of the API.
fn missing_files(root: &Path, guide: &str) -> Vec<String> {
    let bases = ["", "common/src", "import/src", "redirector/src", "admin/src"].map(|base| root.join(base));
    let names = Parser::new_ext(guide, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Code(name) => Some(name.into_string()),
        _ => None,
    });
    let is_file = |name: &String| name.contains('/') && !name.starts_with('/') && !name.contains([' ', '*', ':']);
    names.filter(is_file).filter(|name| !bases.iter().any(|base| base.join(name).exists())).collect()
}

#[test]
fn guides_for_maintainers_name_only_existing_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for guide in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        assert_eq!(missing_files(root, &fs::read_to_string(root.join(guide)).unwrap()), [""; 0], "{guide}");
    }
    let text = "`docs/` `link_map/gone.rs` `/urls` `tests/gone/` `a / b` `mod.rs`";
    assert_eq!(missing_files(root, text), ["link_map/gone.rs", "tests/gone/"]);
}

#[test]
fn dead_link_is_reported_with_document_line_and_fault() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    fs::create_dir_all(root.path().join("docs/target")).unwrap();
    write("docs/target/built.md", "[ignored](nowhere.md)\n");
    write("docs/other.md", "# A `code`, and more\n\n## Twice\n\n## Twice\n\n[up](../README.md)\n");
    write(
        "README.md",
        "[file](docs/other.md) [folder](docs/) [site](https://tern.example/x) <mailto:a@tern.example>\n\
         [anchor](docs/other.md#a-code-and-more) [second](docs/other.md#twice-1) [here](#words)\n\
         `[code](nowhere.md)`\n\
         \n    [block](nowhere.md)\n\
         \n# Words\n\
         \n[gone](docs/gone.md)\n\
         [third](docs/other.md#twice-2)\n\
         \n| a |\n|---|\n| [no](#word) |\n\
         \n![picture](docs/gone.svg) [out](../) [root](/)\n",
    );
    let expected = [
        "README.md:9: docs/gone.md: there is no such file",
        "README.md:10: docs/other.md#twice-2: there is no heading with the anchor twice-2",
        "README.md:14: #word: there is no heading with the anchor word",
        "README.md:16: docs/gone.svg: there is no such file",
        "README.md:16: ../: it leads out of the repository",
        "README.md:16: /: it leads out of the repository",
    ];
    assert_eq!(dead_links(root.path()), expected);
}
