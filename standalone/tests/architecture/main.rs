//! Checks the dependencies between crates and modules that ARCHITECTURE.md allows, and the first words of doc comments.

#![expect(clippy::unwrap_used, reason = "a source that cannot be read is a failed test")]

mod circles;
mod doc_comments;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the Tern crates that a crate depends on outside of its tests.
fn tern_dependencies(name: &str) -> BTreeSet<String> {
    let metadata = MetadataCommand::new().current_dir(workspace()).no_deps().exec().unwrap();
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let package = package.unwrap_or_else(|| panic!("no crate {name}"));
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).filter(|name| name.starts_with("tern")).collect()
}

#[test]
fn planes_are_independent_and_common_depends_on_no_plane() {
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(tern_dependencies(name), expected.iter().map(ToString::to_string).collect(), "{name}");
    };
    check("tern-common", &[]);
    check("tern-import", &[]);
    check("tern-serving", &["tern-common"]);
    check("tern-redirector", &["tern-common", "tern-serving"]);
    check("tern-admin", &["tern-common", "tern-import", "tern-serving"]);
    check("tern-client", &[]);
    check("tern", &["tern-admin", "tern-client", "tern-common", "tern-import", "tern-redirector", "tern-serving"]);
    check("tern-testkit", &[]);
}

/// Returns the crates that a program links when it is built alone.
fn linked_crates(package: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"]);
    // Built as in a release, without the features of other crates of the workspace.
    let tree = tree.current_dir(workspace()).env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION").output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    String::from_utf8(tree.stdout).unwrap().lines().map(name).collect()
}

#[test]
fn processes_over_postgresql_link_no_sqlite() {
    for (package, links) in [("tern-redirector", false), ("tern-admin", false), ("tern", true)] {
        let linked = linked_crates(package);
        assert!(linked.contains("tokio-postgres"), "{package}");
        for sqlite in ["rusqlite", "libsqlite3-sys", "deadpool-sqlite"] {
            assert_eq!(linked.contains(sqlite), links, "{package}: {sqlite}");
        }
    }
}

#[test]
fn files_of_a_crate_have_no_circular_imports() {
    let mut circles = Vec::new();
    for package in
        ["common", "import", "serving", "redirector", "admin", "client", "standalone", "testkit", "tests", "bench"]
    {
        let root = workspace().join(package);
        let root = if package == "tests" { root } else { root.join("src") };
        circles.extend(circles::find(&root).into_iter().map(|circle| format!("{package}: {}", circle.join(" -> "))));
    }
    assert!(circles.is_empty(), "imports in a circle:\n{}", circles.join("\n"));
}

#[test]
fn json_parser_has_no_keys_with_special_meaning() {
    let metadata =
        MetadataCommand::new().current_dir(workspace()).other_options(["--locked".to_owned()]).exec().unwrap();
    let resolved = metadata.resolve.unwrap().nodes;
    let json = resolved.iter().find(|node| node.id.repr.contains("serde_json@")).unwrap();
    for feature in &json.features {
        assert!(!["arbitrary_precision", "raw_value"].contains(&feature.as_str()), "serde_json has {feature}");
    }
}

/// Reads the Rust sources below a folder, or one source file.
fn texts(below: &str) -> Vec<(String, String)> {
    let root = workspace();
    let mut found = Vec::new();
    let mut waiting = vec![root.join(below)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no sources below {below}");
    found
}

#[test]
fn doc_comments_begin_with_words_that_are_understood_alone() {
    let folders = [
        "common",
        "import",
        "serving",
        "redirector",
        "admin",
        "client",
        "standalone",
        "testkit",
        "tests",
        "bench/src",
        "fuzz/fuzz_targets",
    ];
    let mut found = Vec::new();
    for (name, text) in folders.iter().flat_map(|folder| texts(folder)) {
        let lines = doc_comments::find_forbidden(&text).into_iter();
        found.extend(lines.map(|(number, line)| format!("{name}:{number}: {line}")));
    }
    assert!(found.is_empty(), "doc comments that begin with a forbidden word:\n{}", found.join("\n"));
}

/// Returns the lines of code of each source below a folder.
fn sources(below: &str) -> Vec<(String, Vec<String>)> {
    let is_code = |line: &&str| !line.starts_with("//");
    let code = |text: String| text.lines().map(str::trim).filter(is_code).map(str::to_owned).collect();
    texts(below).into_iter().map(|(name, text)| (name, code(text))).collect()
}

/// Panics if a line of code below `folder` contains a forbidden word.
fn check_ignorant(folder: &str, except: &[&str], forbidden: &[&str]) {
    for (name, lines) in sources(folder) {
        if except.iter().any(|exception| name.starts_with(exception)) {
            continue;
        }
        for line in lines {
            for word in forbidden {
                assert!(!line.contains(word), "{name} must not know {word:?}: {line}");
            }
        }
    }
}

/// Lists the modules of the redirector by the paths that other modules use.
fn redirector_modules() -> Vec<String> {
    let names = fs::read_dir(workspace().join("redirector/src")).unwrap().map(|entry| entry.unwrap().path());
    let stems = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    stems.filter(|stem| stem != "lib").map(|stem| format!("crate::{stem}")).collect()
}

fn all_but(known: &[&str]) -> Vec<String> {
    redirector_modules().into_iter().filter(|module| !known.contains(&module.as_str())).collect()
}

fn check_knows_only(module: &str, modules: &[&str], also_forbidden: &[&str]) {
    check_knows_only_except(module, &[], modules, also_forbidden);
}

fn check_knows_only_except(module: &str, except: &[&str], modules: &[&str], also_forbidden: &[&str]) {
    let mut forbidden = all_but(modules);
    forbidden.extend(also_forbidden.iter().map(ToString::to_string));
    check_ignorant(module, except, &forbidden.iter().map(String::as_str).collect::<Vec<_>>());
}

const CONTROL: [&str; 4] = ["tern_common::store", "tern_common::bus", "tern_common::cache", "tokio::"];

#[test]
fn redirect_path_knows_no_store_no_bus_and_no_runtime() {
    // The HTTP loop knows no links. Only this file of it names the locations that it writes.
    let loop_parts = "redirector/src/http/mod.rs";
    check_knows_only_except(
        "redirector/src/http",
        &[loop_parts],
        &["crate::http"],
        &[&CONTROL[..], &["tern_common", "tern_serving", "axum"]].concat(),
    );
    let links = [&CONTROL[..], &["served_link", "ShortCode", "TargetUrl"]].concat();
    check_ignorant(loop_parts, &[], &[&links[..], &["tern_serving", "axum"]].concat());
    let crate_links =
        ["crate::store", "crate::bus", "crate::cache", "tokio::", "served_link", "ShortCode", "TargetUrl"];
    check_ignorant("common/src/location", &[], &crate_links);
    check_knows_only("redirector/src/link_map", &["crate::link_map"], &[&CONTROL[..], &["axum", "may::"]].concat());
    let decision = ["crate::http", "crate::link_map", "crate::outcome", "crate::redirect", "crate::link_defaults"];
    check_knows_only("redirector/src/redirect.rs", &[&decision[..], &["crate::code_path"]].concat(), &CONTROL);
    check_knows_only("redirector/src/outcome.rs", &decision[..3], &CONTROL);
    check_knows_only("redirector/src/code_path.rs", &[], &CONTROL);
    check_knows_only("redirector/src/pages.rs", &["crate::http"], &CONTROL);
    check_knows_only("common/src/accept.rs", &[], &CONTROL);
    for path in ["redirector/src/choice.rs", "redirector/src/countries.rs", "common/src/routing"] {
        check_ignorant(path, &[], &CONTROL);
    }
    check_ignorant("redirector/src/engine.rs", &[], &[&CONTROL[..], &["crate::replica"]].concat());
    check_ignorant("common/src/budget.rs", &[], &[&CONTROL[..], &["Mutex", "RwLock"]].concat());
}

#[test]
fn redirect_path_takes_no_lock() {
    let http = ["exchange", "answer", "refusal", "encode", "input", "parse", "document"]
        .map(|module| format!("http/{module}.rs"));
    let journal = ["clicks/journal/segment/format.rs", "clicks/journal/segment/record.rs", "clicks/journal/tail"];
    let clicks = ["clicks/mod.rs", "clicks/lost.rs", "clicks/journal/flush.rs"].into_iter().chain(journal);
    let decision = ["redirect.rs", "choice.rs", "countries.rs", "code_path.rs", "outcome.rs", "engine.rs"];
    for path in ["tracking.rs", "fields.rs", "metrics.rs", "link_map"]
        .into_iter()
        .chain(decision)
        .chain(http.iter().map(String::as_str))
        .chain(clicks)
    {
        // The model is only for tests.
        let except = ["redirector/src/link_map/model"];
        check_ignorant(&format!("redirector/src/{path}"), &except, &["Mutex", "RwLock", "Condvar", "thread_local!"]);
    }
    // Minimal clicks are classified on the redirect path. The automaton is built before.
    check_ignorant("common/src/routing", &[], &["Mutex", "RwLock", "Condvar", "thread_local!"]);
    check_ignorant("common/src/visitor", &[], &["Mutex", "RwLock", "Condvar", "thread_local!"]);
    check_ignorant("common/src/location", &[], &["Mutex", "RwLock", "Condvar", "thread_local!"]);
    // The redirect path only tries the lock of a lane's writer. Other threads wait for it when a lane starts, ends or gets
    // a new tail. The redirect path waits for the segments only if each click is synced.
    check_ignorant("redirector/src/clicks/journal/lane.rs", &[], &["RwLock", "Condvar", "thread_local!"]);
    let lane = sources("redirector/src/clicks/journal/lane.rs").remove(0).1;
    let waits = lane.iter().filter(|line| line.contains(".lock()")).count();
    assert_eq!(waits, 3, "one place waits for the writer, one for the segments, one for the sync");
    let users = |what: &str| lane.iter().filter(|line| line.contains(what)).count();
    let waiting = ["self.writer()", "self.flush()", "self.sync()"].map(users);
    assert_eq!(waiting, [4, 1, 1], "places that wait for them");
}

#[test]
fn map_is_written_by_the_replica_alone() {
    let allowed = ["redirector/src/link_map", "redirector/src/replica"];
    check_ignorant("redirector/src", &allowed, &["LinkMapWriter"]);
}

#[test]
fn sql_is_in_the_store_alone() {
    let statements =
        ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE ", "rusqlite", "tokio_postgres"];
    check_ignorant("common/src", &["common/src/store"], &statements);
    for plane in ["redirector/src", "admin/src", "standalone/src"] {
        check_ignorant(plane, &[], &statements);
    }
}

#[test]
fn http_frameworks_are_used_only_by_http_modules() {
    check_ignorant("common/src", &[], &["axum", "httparse", "hyper", "may::"]);
    check_ignorant("redirector/src", &["redirector/src/ops.rs", "redirector/src/redirector.rs"], &["axum", "hyper"]);
    check_ignorant("redirector/src", &["redirector/src/http"], &["httparse", "may::"]);
    check_ignorant("admin/src", &[], &["httparse", "hyper", "may::"]);
    check_ignorant("serving/src", &[], &["httparse", "may::", "tern_common::store", "tern_common::bus", "ShortCode"]);
}

#[test]
fn environment_is_read_in_one_place() {
    for plane in ["common/src", "redirector/src", "admin/src", "standalone/src"] {
        check_ignorant(plane, &["common/src/config/environment.rs"], &["env::var"]);
    }
}

/// Finds the names of settings between quotes on a line.
fn settings_of(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        let is_long = word.contains('_') || word.len() >= 6;
        is_long && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    line.split('"').skip(1).step_by(2).filter(is_name)
}

#[test]
fn example_of_settings_lists_exactly_the_settings() {
    let files = [
        "common/src/telemetry/mod.rs",
        "common/src/redis/config.rs",
        "common/src/store/postgres/settings.rs",
        "admin/src/config.rs",
        "admin/src/main.rs",
        "redirector/src/answers.rs",
        "redirector/src/config.rs",
        "redirector/src/link_defaults.rs",
        "redirector/src/main.rs",
        "redirector/src/tracking.rs",
        "standalone/src/config.rs",
        "standalone/src/link_settings.rs",
    ];
    let lines = files.iter().flat_map(|file| sources(file)).flat_map(|(_, lines)| lines).collect::<Vec<_>>();
    let read: BTreeSet<&str> = lines.iter().flat_map(|line| settings_of(line)).collect();
    let example = fs::read_to_string(workspace().join(".env.example")).unwrap();
    let documented: BTreeSet<&str> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|p| p.0)
        .collect();
    assert_eq!(read, documented);
}
