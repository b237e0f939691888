//! Finds files of a crate that import each other in a circle.
//!
//! A file imports another one if a path in it leads to an item that the other one defines. Paths in `use` declarations
//! and in code count alike. Re-exports are followed to the definition, so `mod` and `pub use` alone are no imports.
//! Tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A name, or one character of punctuation. A path separator is two colons.
type Token = String;

/// The path of a module within its crate; that of the root is empty.
type Module = Vec<String>;

/// A source file of a crate.
struct Source {
    tokens: Vec<Token>,
    module: Module,
}

/// A path in a file. `use a::{b, c}` has two paths.
struct Mention {
    segments: Vec<String>,
    /// The name that the path has in the file.
    name: String,
    /// Whether the path is in a `use` declaration that is visible outside of its module.
    is_reexport: bool,
}

/// Returns each circle of imports below `root`, the folder of a crate's sources, as the names of its files.
pub fn find(root: &Path) -> Vec<Vec<String>> {
    let mut circles = Vec::new();
    let mut imports = imports_between(&sources(root));
    while let Some(circle) = circle_within(&mut imports) {
        for (from, to) in circle.iter().zip(circle.iter().cycle().skip(1)) {
            imports.get_mut(from).unwrap().remove(to);
        }
        circles.push(circle);
    }
    circles
}

/// Removes the files that are in no circle, and returns a circle of the others.
fn circle_within(imports: &mut BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    loop {
        let before = imports.len();
        let left: BTreeSet<String> = imports.keys().cloned().collect();
        imports.values_mut().for_each(|imported| imported.retain(|file| left.contains(file)));
        imports.retain(|_, imported| !imported.is_empty());
        if imports.len() == before {
            break;
        }
    }
    let mut walk = vec![imports.keys().next()?.clone()];
    loop {
        let next = imports[walk.last().unwrap()].iter().next().unwrap();
        if let Some(begin) = walk.iter().position(|file| file == next) {
            return Some(walk.split_off(begin));
        }
        walk.push(next.clone());
    }
}

/// Reads the files of one crate below `root`. Programs beside a library are crates of their own.
fn sources(root: &Path) -> BTreeMap<String, Source> {
    let mut found = BTreeMap::new();
    let mut tests = BTreeSet::new();
    let has_library = root.join("lib.rs").exists();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let is_another_crate = path != root && (path.ends_with("bin") || path.join("main.rs").exists());
        if path.is_dir() && !is_another_crate {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !(has_library && path == root.join("main.rs"))
        {
            let relative = path.strip_prefix(root).unwrap();
            let module = module_of(relative);
            let tokens = without_tests(&tokens(&fs::read_to_string(&path).unwrap()), &module, &mut tests);
            found.insert(relative.display().to_string(), Source { tokens, module });
        }
    }
    found.retain(|_, source| !tests.iter().any(|test: &Module| source.module.starts_with(test)));
    found
}

fn module_of(file: &Path) -> Module {
    let mut module: Module = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(module.last().unwrap().as_str(), "mod" | "lib" | "main") {
        module.pop();
    }
    module
}

/// Splits Rust into names and punctuation. Comments, strings and the values of numbers are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let after = |text: &'static str| move |rest: &str| rest.find(text).map_or(rest.len(), |at| at + text.len());
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let raw = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r');
        let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let len = if rest.starts_with("//") {
            after("\n")(rest)
        } else if rest.starts_with("/*") {
            after("*/")(rest)
        } else if raw.is_some_and(|raw| raw[hashes..].starts_with('"')) {
            let begin = rest.find('"').unwrap() + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            begin + rest[begin..].find(&end).unwrap() + end.len()
        } else if first == '"' || first == '\'' && is_character(rest) {
            let mut escaped = false;
            let end = |c: char| {
                let is_end = c == first && !escaped;
                escaped = c == '\\' && !escaped;
                is_end
            };
            rest[1..].find(end).unwrap() + 2
        } else if is_name(first) {
            let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// Returns whether a quote begins a character, and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// Removes each item after `#[cfg(test)]`, and notes test modules that are files.
fn without_tests(tokens: &[Token], module: &Module, tests: &mut BTreeSet<Module>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut remaining = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            remaining.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let item = &tokens[at..];
        let mut depth = 0;
        let end = item.iter().position(|token| {
            depth += i32::from("([{".contains(token.as_str())) - i32::from(")]}".contains(token.as_str()));
            depth == 0 && (token == ";" || token == "}")
        });
        if let Some(["mod", name, ";"]) = item.get(..3).map(|item| [&*item[0], &*item[1], &*item[2]]) {
            tests.insert(module.iter().cloned().chain([name.to_owned()]).collect());
        }
        at += end.unwrap() + 1;
    }
    remaining
}

fn imports_between(sources: &BTreeMap<String, Source>) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<&Module, &String> = sources.iter().map(|(file, source)| (&source.module, file)).collect();
    let mentions: BTreeMap<&String, Vec<Mention>> =
        sources.iter().map(|(file, source)| (file, mentions(&source.tokens))).collect();
    let mut reexports: BTreeMap<(&String, &str), (&Module, &Mention)> = BTreeMap::new();
    for (file, source) in sources {
        let visible = mentions[file].iter().filter(|mention| mention.is_reexport);
        reexports.extend(visible.map(|mention| ((file, mention.name.as_str()), (&source.module, mention))));
    }
    // A path is followed through modules that are files, and then through re-exports of its item.
    let target = |module: &Module, mention: &Mention| {
        let (mut module, mut mention, mut target) = (module, mention, None);
        for _ in 0..8 {
            let Some((file, item)) = lead(&files, module, &mention.segments) else { break };
            target = Some(file);
            let Some(found) = item.and_then(|item| reexports.get(&(file, item))) else { break };
            (module, mention) = *found;
        }
        target
    };
    let imported = |(file, source): (&String, &Source)| {
        let private = mentions[file].iter().filter(|mention| !mention.is_reexport);
        let targets = private.filter_map(|mention| target(&source.module, mention));
        (file.clone(), targets.filter(|target| *target != file).cloned().collect())
    };
    sources.iter().map(imported).collect()
}

/// Returns the file that a path of `module` leads to, and the name of the item there.
fn lead<'a, 'b>(
    files: &BTreeMap<&Module, &'a String>,
    module: &Module,
    segments: &'b [String],
) -> Option<(&'a String, Option<&'b str>)> {
    let mut at = module.clone();
    let mut rest = segments;
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            name => {
                at.push(name.to_owned());
                if !files.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
        rest = behind;
    }
    // A path that begins with neither a keyword nor a module below is of another crate.
    (rest.len() < segments.len()).then(|| (files[&at], rest.first().map(String::as_str)))
}

/// Collects the paths of a file, in `use` declarations and elsewhere in code.
fn mentions(tokens: &[Token]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let is_reexport = is_use && at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
        let begins = |at: usize| at == 0 || tokens[at - 1] != ":" && tokens[at - 1] != ".";
        let is_path = tokens[at + 1..].iter().take(2).eq([":", ":"]) && begins(at);
        if is_use || is_path {
            at = tree(tokens, at + usize::from(is_use), &[], is_reexport, is_use, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one tree of paths that begins at `at`, and returns its end.
fn tree(
    tokens: &[Token],
    mut at: usize,
    before: &[String],
    is_reexport: bool,
    is_use: bool,
    found: &mut Vec<Mention>,
) -> usize {
    let mut segments = before.to_vec();
    loop {
        if tokens[at] == "{" {
            at += 1;
            while tokens[at] != "}" {
                at = tree(tokens, at, &segments, is_reexport, is_use, found);
                at += usize::from(tokens[at] == ",");
            }
            return at + 1;
        }
        segments.push(tokens[at].clone());
        at += 1;
        if !tokens[at..].iter().take(2).eq([":", ":"]) || (!is_use && tokens[at + 2] == "<") {
            break;
        }
        at += 2;
    }
    let mut name = segments.last().unwrap().clone();
    if is_use && tokens[at] == "as" {
        name = tokens[at + 1].clone();
        at += 2;
    }
    found.push(Mention { segments, name, is_reexport });
    at
}

#[test]
fn planted_circle_is_found_and_named() {
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path: PathBuf = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod low;\nmod high;\npub use high::High;\n// use crate::low::Low;\n");
    write("low.rs", "pub struct Low;\n#[cfg(test)]\nmod tests { use crate::High; }\n");
    write("high/mod.rs", "mod part;\npub use part::High;\n");
    write("high/part.rs", "use crate::low::{self, Low};\npub struct High<'a>(&'a Low, char);\nconst C: char = '\"';\n");
    assert_eq!(find(root.path()), [] as [Vec<String>; 0]);
    write("low.rs", "pub struct Low;\nfn low() -> crate::High<'static> { loop {} }\n");
    assert_eq!(find(root.path()), [["high/part.rs", "low.rs"]]);
}
