//! Completions of shells, and manual pages.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{tern, text};

#[test]
fn bash_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["zsh", "fish"] {
        let script = tern(directory.path(), &["completions", shell]).output().unwrap();
        assert!(script.status.success() && text(&script.stdout).contains("completions"), "{shell}");
    }
    let script = tern(directory.path(), &["completions", "bash"]).output().unwrap();
    assert!(script.status.success(), "{}", text(&script.stderr));
    std::fs::write(directory.path().join("tern.bash"), script.stdout).unwrap();
    // The shell of a person: readline completes at a tab.
    let typed = "PS1=; . ./tern.bash; tern() { echo \"GOT $*\"; }\n\
                 tern lin\tsta\tone --tim\tUTC\ntern comp\tba\t\ntern link add --forw\tx\nexit\n";
    let shown = type_into_bash(directory.path(), typed);
    for line in ["GOT link stats one --timezone UTC", "GOT completions bash", "GOT link add --forward-query x"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
}

fn type_into_bash(directory: &Path, typed: &str) -> String {
    let mut script = Command::new("/usr/bin/script");
    script.args(["-q", "-c", "bash --norc --noprofile -i", "/dev/null"]).current_dir(directory).env_clear();
    script.env("SHELL", "/bin/sh").env("TERM", "xterm").env("PATH", "/usr/bin:/bin");
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    script.stdin.as_mut().unwrap().write_all(typed.as_bytes()).unwrap();
    text(&script.wait_with_output().unwrap().stdout).replace('\r', "")
}

#[test]
fn manual_has_a_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let made = tern(directory.path(), &["manual", "man1"]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let page = |name: &str| std::fs::read_to_string(directory.path().join("man1").join(name)).unwrap();
    for name in ["tern.1", "tern-serve.1", "tern-link.1", "tern-link-add.1", "tern-backup.1", "tern-token-create.1"] {
        assert!(page(name).contains(".TH "), "{name}");
    }
    assert!(page("tern-link.1").contains("77  unauthorised"), "{}", page("tern-link.1"));
    assert!(page("tern-link-add.1").contains("expires"));
}
