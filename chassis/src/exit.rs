//! How a process ends, so that scripts and supervisors can tell a typing mistake from an outage.

use std::process::ExitCode;

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
