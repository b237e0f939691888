//! Failures of a command, each with an exit code.

use std::io;

/// The exit codes of `tern link`, for its help and its manual page.
pub const EXIT_CODES: &str = "\
Exit codes:
  0   success
  1   any other failure
  2   wrong arguments
  64  wrong settings
  65  refused: the API found a value, or the state of the link, that it does not accept
  66  not found: no link has this short code
  69  unavailable: the server did not answer, or has no capacity now; a later attempt may succeed
  77  unauthorised: a token is missing or unknown, or may not do this";

/// A failed command. The message is a sentence for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Other,
    Refused,
    NotFound,
    Unavailable,
    Unauthorised,
    /// The reader of standard output has closed it.
    ClosedPipe,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    /// Returns the exit code, whose numbers are those of `sysexits.h`.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Other | Kind::ClosedPipe => 1,
            Kind::Refused => 65,
            Kind::NotFound => 66,
            Kind::Unavailable => 69,
            Kind::Unauthorised => 77,
        }
    }

    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.kind == Kind::ClosedPipe
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::ClosedPipe } else { Kind::Other };
        Failure::new(kind, format!("the output cannot be written: {error}"))
    }
}
