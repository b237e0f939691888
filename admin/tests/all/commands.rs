//! The commands of `tern-admin` where the database is not in reach: they say where they looked.

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tern-admin"));
    command.args(arguments).current_dir(directory.path()).env_clear().env("REDIS_URL", "redis://127.0.0.1:1");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

#[test]
fn command_whose_database_is_away_names_it_without_its_password() {
    let url = ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/nowhere");
    for arguments in
        [&["token", "list"][..], &["token", "create", "ops", "--role", "admin"], &["load", "x.csv"], &["migrate"]]
    {
        let (output, said) = run(arguments, &[url]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
        let error = said.lines().last().unwrap();
        assert!(error.contains("PostgreSQL database nowhere on 127.0.0.1:1: the database is unavailable"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn command_without_a_database_says_where_to_name_one() {
    let (output, said) = run(&["token", "list"], &[]);
    assert_eq!(output.status.code(), Some(64));
    let expected =
        "tern-admin: DATABASE_URL: must be set, in the environment or in a file .env in the working directory\n";
    assert_eq!(said, expected);
}
