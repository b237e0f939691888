//! Files for shells and for `man`, which are made from the description of the commands.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use clap::{Command, ValueEnum};
use clap_complete::Shell as Generator;

/// A shell for which a completion script can be generated.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Writes the shell-completion script of `tern` to standard output.
pub fn write_completions(shell: Shell, mut command: Command) -> anyhow::Result<()> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut command, "tern", &mut script);
    io::stdout().write_all(&script).context("the script cannot be written")
}

/// Writes a manual page for `tern` and for each of its commands, such as `tern-link-add.1`.
pub fn write_manual(command: Command, directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot create {shown}"))?;
    clap_mangen::generate_to(command, directory).with_context(|| format!("the manual cannot be written to {shown}"))
}
