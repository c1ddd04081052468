//! Why a file is not stored, or not yet.

use std::{fmt, io, path::PathBuf, time::Duration};

use chassis::{Exit, Failure, exit::chain, problem::ProblemBody};
use http::StatusCode;
use reqwest::Url;

use crate::commands::faults;

/// Why a file is not stored, or not yet.
#[derive(Debug)]
pub(super) enum PushError {
    NoKey,
    UnknownFormat(PathBuf),
    File(PathBuf, io::Error),
    Client(reqwest::Error),
    Unreachable(Url, reqwest::Error),
    /// The connection broke while the file was sent, or afterwards.
    Lost(reqwest::Error),
    /// The status, and when to try again according to the server.
    Busy(StatusCode, Option<Duration>),
    OtherServer(Url, StatusCode),
    KeyRejected(Box<ProblemBody>),
    Rejected(Box<ProblemBody>),
    /// The batch failed for a reason that the server does not report.
    Failed(i64),
    /// A batch of this name was stored and withdrawn; with the command that stores the file again.
    Withdrawn(i64, String),
}

impl PushError {
    /// Whether the same request may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(..) | Self::Lost(_) | Self::Busy(..))
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Busy(_, wait) = self { *wait } else { None }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoKey | Self::UnknownFormat(_) | Self::OtherServer(..) | Self::KeyRejected(_) => {
                Exit::Usage
            }
            Self::Rejected(_) | Self::Failed(_) | Self::Withdrawn(..) => Exit::Data,
            Self::File(..) => Exit::NoInput,
            Self::Unreachable(..) => Exit::Unavailable,
            Self::Lost(_) | Self::Busy(..) => Exit::Temporary,
            Self::Client(_) => Exit::Failure,
        }
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        let advice = if error.may_pass() {
            "\n  run the same command again later; nothing is stored twice".to_owned()
        } else if let PushError::Rejected(problem) = &error {
            faults::lines(&problem.errors)
        } else {
            String::new()
        };
        Self::new(error.exit(), format!("{error}{advice}"))
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("no key: set RATES_KEY to the key that you were given"),
            Self::UnknownFormat(file) => write!(
                f,
                "the format of {} is unknown: its name must end with .csv, .xlsx, .json or .ndjson, or one of these and .gz",
                file.display()
            ),
            Self::File(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Client(error) => write!(f, "cannot send the request: {}", chain(error)),
            Self::Unreachable(url, error) => write!(f, "cannot reach {url}: {}", chain(error)),
            Self::Lost(error) => write!(f, "lost the connection to the server: {}", chain(error)),
            Self::Busy(status, _) => write!(f, "the server answers {status}"),
            Self::OtherServer(url, status) => {
                write!(f, "{url} answers {status}; this does not look like a rates server; check --url")
            }
            Self::KeyRejected(problem) => write!(f, "key rejected: {}", detail(problem)),
            Self::Rejected(problem) => f.write_str(detail(problem)),
            Self::Failed(id) => write!(f, "batch {id} failed, and the server does not say why"),
            Self::Withdrawn(id, again) => {
                write!(
                    f,
                    "batch {id} of this name was withdrawn; to store the file again as a new batch:\n  {again}"
                )
            }
        }
    }
}

fn detail(problem: &ProblemBody) -> &str {
    problem.detail.as_deref().unwrap_or(&problem.title)
}
