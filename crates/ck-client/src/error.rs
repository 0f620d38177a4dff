//! Why a call gave no answer.

use std::time::Duration;

use ck_api::Problem;

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No server could be connected to; nothing was sent.
    #[error("no server answers: {}; check that the nodes run and the addresses are theirs", list(.tried))]
    Unreachable {
        /// Each server tried, with what went wrong there.
        tried: Vec<(String, String)>,
    },
    /// The connection broke after the request had been sent. A change may have taken effect.
    #[error("{server} broke the connection: {reason}; {}", remedy(*.change))]
    Broken {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
        /// Whether the request was to change something.
        change: bool,
    },
    /// The deadline passed. A change may have taken effect.
    #[error("{server} gave no answer within {after:?}; {}", patience(*.change))]
    TimedOut {
        /// The server asked last.
        server: String,
        /// The whole time of the call.
        after: Duration,
        /// Whether the request was to change something.
        change: bool,
    },
    /// The server answered with an error.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not what this path answers; probably not a server of this cluster.
    #[error(
        "{server} answered something else than expected: {reason}; is it a node of the cluster?"
    )]
    Malformed {
        /// The server.
        server: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// What was asked for cannot be put into a request.
    #[error("the request cannot be written: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

fn remedy(change: bool) -> &'static str {
    if change {
        "look whether it took effect before repeating it"
    } else {
        "ask again, or another server"
    }
}

fn patience(change: bool) -> &'static str {
    if change {
        "the outcome is unknown: look whether it took effect before repeating it"
    } else {
        "ask another server or allow more time"
    }
}

fn list(tried: &[(String, String)]) -> String {
    let each: Vec<_> = tried
        .iter()
        .map(|(server, why)| format!("{server} ({why})"))
        .collect();
    each.join(", ")
}

impl ClientError {
    /// The error body, when the server gave one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether a change may have taken effect all the same.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Broken { change, .. } | Self::TimedOut { change, .. } => *change,
            Self::Malformed { .. } => true,
            Self::Problem(problem) => problem.status == 504,
            Self::Unreachable { .. } | Self::Request { .. } => false,
        }
    }

    /// Whether the same call may succeed later, without anything else being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Problem(problem) => problem.retry_after_ms.is_some() || problem.status == 503,
            Self::Malformed { .. } | Self::Request { .. } => false,
        }
    }

    /// The exit code of a command that ends with this error: 3 unreachable or timed out,
    /// 4 refused, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => 3,
            Self::Problem(problem) => match problem.status {
                401 | 403 | 409 | 412 | 421 | 422 => 4,
                408 | 503 | 504 => 3,
                _ => 1,
            },
            Self::Malformed { .. } | Self::Request { .. } => 1,
        }
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}
