//! Finds doc comments whose first word refers to a sentence elsewhere, or names no actor.

/// First words that make a doc comment hard to understand alone, as in an index of items.
const FORBIDDEN: [&str; 17] = [
    "Of", "As", "So", "The same", "That", "Said", "Held", "Also", "What", "Who", "Whoever", "Those", "Both", "Neither",
    "Others", "Nobody", "Somebody",
];

/// Returns the number and the text of each line of `source` that begins a doc comment with a forbidden word.
///
/// Only the first line of a doc comment counts: lists, examples and further paragraphs are free.
pub fn find_forbidden(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut block = None;
    for (index, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let doc = doc_text(line);
        if let Some((marker, text)) = doc
            && block != Some(marker)
            && FORBIDDEN.iter().any(|word| begins_with_word(text, word))
        {
            found.push((index + 1, line));
        }
        block = doc.map(|(marker, _)| marker);
    }
    found
}

/// Splits a line of a doc comment into its marker and its text. Four slashes are no doc comment.
fn doc_text(line: &str) -> Option<(&'static str, &str)> {
    let text = |marker| line.strip_prefix(marker).map(|text| (marker, text.trim_start()));
    text("//!").or_else(|| text("///").filter(|(_, text)| !text.starts_with('/')))
}

fn begins_with_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

#[test]
fn doc_comment_that_begins_with_a_forbidden_word_is_found() {
    for planted in
        ["/// Of the worker that serves.", "    //! What is counted.", "/// The same for links.", "///So it is."]
    {
        assert_eq!(find_forbidden(&format!("mod a;\n{planted}\nmod b;\n")), [(2, planted.trim_start())]);
    }
    let second_item = "/// Counts.\na: u8,\n/// Held by the writer.\nb: u8,\n";
    assert_eq!(find_forbidden(second_item), [(3, "/// Held by the writer.")]);
    let after_module_docs = "//! Counters.\n/// Both of them.\n";
    assert_eq!(find_forbidden(after_module_docs), [(2, "/// Both of them.")]);
}

#[test]
fn doc_comment_that_only_contains_a_forbidden_word_is_free() {
    let free = [
        "/// Sends the answer.\n/// What follows is not read.\n",
        "/// Steps:\n///\n/// - Of each lane, the tail.\n/// ```\n/// Who::new();\n/// ```\n",
        "/// Asks, Offers and Sometimes are other words.\n",
        "/// `What` is a type.\n",
        "//// Of no item.\n// What is no doc comment.\n",
        "let text = \"/// What\";\n",
    ];
    for source in free {
        assert_eq!(find_forbidden(source), [], "{source}");
    }
}
