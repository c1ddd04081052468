//! How a process ends, so that scripts and supervisors can tell a typing mistake from an outage.

use std::{error::Error, fmt, process::ExitCode};

/// Exit codes shared by every command of every service; the numbers are those of BSD's `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// A check answered "no", or a task died by itself.
    Failure,
    /// 64: the command line or the configuration is wrong.
    Usage,
    /// 65: the input was read and is not acceptable.
    Data,
    /// 66: the input cannot be read.
    NoInput,
    /// 69: something this process depends on (database, other service) cannot be reached.
    Unavailable,
    /// 75: try again later; another process is at it, or work was cut off.
    Temporary,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::NoInput => 66,
            Exit::Unavailable => 69,
            Exit::Temporary => 75,
        })
    }
}

/// Why a command cannot do its work: a text for the person who ran it, the cause, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a cause. `message` says what is wrong and what to do; further lines may say more.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), source: None }
    }

    /// The same failure, as the reason for another one: `what` comes first.
    #[must_use]
    pub fn context(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// A failure with its cause. [`OrFail`] makes one of any result.
    pub fn caused_by(
        exit: Exit,
        message: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { exit, message: message.into(), source: Some(cause.into()) }
    }
}

/// The message and its causes, without causes that are in the text already.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(cause) => write!(f, ": {}", chain(&**cause)),
            None => Ok(()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error with its causes in one line, outermost first.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many errors print their cause themselves.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Turns any error into a [`Failure`].
pub trait OrFail<T> {
    /// The value, or a failure with this exit code that says `what` could not be done, and why.
    fn or_fail<W: Into<String>>(self, exit: Exit, what: impl FnOnce() -> W) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail<W: Into<String>>(self, exit: Exit, what: impl FnOnce() -> W) -> Result<T, Failure> {
        self.map_err(|error| Failure::caused_by(exit, what(), error))
    }
}
