//! How a command ends: the exit code, and what is said on standard error.

use std::io;
use std::process::ExitCode;

use ck_client::ClientError;
use ck_spec::Refusal;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1: it was tried and went wrong.
    Failed(anyhow::Error),
    /// Exit code 2: the flags contradict each other or the surroundings.
    Usage(anyhow::Error),
    /// Exit code 3: nobody answered, or not in time.
    Unreachable(anyhow::Error),
    /// Exit code 4: a conflict, not allowed, or unsafe.
    Refused(anyhow::Error),
    /// Exit code 5: nothing wrong was found, and not everything was looked at.
    Undecided(anyhow::Error),
}

/// What every command returns.
pub(crate) type Done = Result<(), Failure>;

impl Failure {
    /// A failure told in one sentence.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(message.into()))
    }

    /// A contradiction in what was asked, told in one sentence.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(anyhow::Error::msg(message.into()))
    }

    /// Something that took more than it may, told in one sentence.
    pub(crate) fn undecided(message: impl Into<String>) -> Self {
        Self::Undecided(anyhow::Error::msg(message.into()))
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Refused(_) => 4,
            Self::Undecided(_) => 5,
        }
    }

    fn error(&self) -> &anyhow::Error {
        match self {
            Self::Failed(error)
            | Self::Usage(error)
            | Self::Unreachable(error)
            | Self::Refused(error)
            | Self::Undecided(error) => error,
        }
    }

    /// Whether the reader of our output went away, which is no failure: `ck partitions | head`.
    fn is_closed_pipe(&self) -> bool {
        self.error().chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        })
    }

    /// `{"error":{"code","message","field","value"}}`, whatever the cause.
    fn as_json(&self) -> Value {
        if let Some(refusal) = self.error().downcast_ref::<Refusal>() {
            return json!({ "error": refusal });
        }
        let problem = self
            .error()
            .downcast_ref::<ClientError>()
            .and_then(ClientError::problem);
        if let Some(problem) = problem {
            let (field, value) = (&problem.field, &problem.value);
            return json!({ "error": {
                "code": problem.code, "message": by_command(&problem.detail), "field": field, "value": value,
            } });
        }
        let code = match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Undecided(_) => "undecided",
        };
        let message = told(self.error());
        json!({ "error": { "code": code, "message": message, "field": null, "value": null } })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        // Writing is what fails here; the cause is the pipe's or the disk's.
        Self::Failed(io::Error::from(error).into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        // What was written is what is wrong: a name, a number, settings that contradict each other.
        if error.problem().is_some_and(|problem| problem.status == 400) {
            return Self::Usage(error.into());
        }
        match error.exit_code() {
            3 => Self::Unreachable(error.into()),
            4 => Self::Refused(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

/// The error and its causes in one line, without causes that their effect has told already.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    by_command(&text)
}

/// What servers name by its route, and `ck` by a command.
const COMMANDS: [(&str, &str); 7] = [
    ("GET /v1/plans/", "ck plan "),
    ("POST /v1/plans", "`ck plan`"),
    ("GET /v1/history", "`ck history`"),
    ("GET /v1/nodes", "`ck nodes`"),
    ("GET /v1/cluster", "`ck status`"),
    ("POST /v1/partitions", "`ck create`"),
    ("GET /v1/custom", "`ck custom list`"),
];

/// A remedy as the reader of a command line would type it.
fn by_command(text: &str) -> String {
    COMMANDS
        .iter()
        .fold(text.to_owned(), |text, (route, command)| {
            text.replace(route, command)
        })
}

/// Says what went wrong on standard error, and gives the exit code.
pub(crate) fn report(done: Done, json: bool) -> ExitCode {
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    if failure.is_closed_pipe() {
        return ExitCode::SUCCESS;
    }
    let text = if json {
        failure.as_json().to_string()
    } else {
        format!("{} {}", "error:".red().bold(), told(failure.error()))
    };
    // Nothing is left to be done when standard error is closed as well.
    let _ = io::Write::write_fmt(&mut anstream::stderr(), format_args!("{text}\n"));
    ExitCode::from(failure.code())
}

/// What clap has to say: help and versions as they are, what is wrong as JSON when asked for.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !json || !error.use_stderr() {
        // Nothing is left to be done when the stream is closed.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
    }
    let text = error.render().to_string();
    // The first paragraph is the message; usage and hints are for people.
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let message = words.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    report(Err(Failure::usage(message)), true)
}

/// Says on standard error what does not stop a command.
pub(crate) fn warn(message: &str) {
    let label = "warning:".yellow();
    let text = format!("{} {message}\n", label.bold());
    // With standard error closed there is nobody to tell.
    let _ = io::Write::write_all(&mut anstream::stderr(), text.as_bytes());
}
