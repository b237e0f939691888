//! Commands of `tern-admin` without a reachable database: the error names the address.

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tern-admin"));
    command.args(arguments).current_dir(directory.path()).env_clear().env("REDIS_URL", "redis://127.0.0.1:1");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let error_output = String::from_utf8(output.stderr.clone()).unwrap();
    (output, error_output)
}

#[test]
fn command_with_unavailable_database_names_it_without_password() {
    let url = ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/nowhere");
    for arguments in
        [&["token", "list"][..], &["token", "create", "ops", "--role", "admin"], &["load", "x.csv"], &["migrate"]]
    {
        let (output, error_output) = run(arguments, &[url]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error_output}");
        let error = error_output.lines().last().unwrap();
        assert!(
            error.contains("PostgreSQL database nowhere on 127.0.0.1:1: the database is unavailable"),
            "{error_output}"
        );
        assert!(!error_output.contains("hunter2"), "{error_output}");
    }
}

#[test]
fn command_without_database_url_explains_where_to_set_it() {
    let (output, error_output) = run(&["token", "list"], &[]);
    assert_eq!(output.status.code(), Some(64));
    let expected =
        "tern-admin: DATABASE_URL: must be set, in the environment or in a file .env in the working directory\n";
    assert_eq!(error_output, expected);
}
