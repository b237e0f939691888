//! A connection to the fleet's database for direct SQL, with state between statements.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// psql process that runs one statement after another.
#[derive(Debug)]
pub struct Session {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(database_url: &str) -> Session {
        let mut command = Command::new("psql");
        command.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database_url]);
        let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (psql.stdin.take().unwrap(), BufReader::new(psql.stdout.take().unwrap()));
        Session { psql, input, output }
    }

    /// Runs statements of which only the last returns a row, of one column; returns its value.
    pub fn ask(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};").unwrap();
        let mut row = String::new();
        self.output.read_line(&mut row).unwrap();
        assert!(row.ends_with('\n'), "psql ended: {sql}");
        row.trim_end().to_owned()
    }

    /// Runs the last statements and ends the session.
    pub fn finish(mut self, sql: &str) {
        writeln!(self.input, "{sql};").unwrap();
        drop(self.input);
        assert!(self.psql.wait().unwrap().success());
    }
}
