//! What went wrong, as answers.

use ck_http::{Code, Problem};
use ck_node::{Handle, NotOwner, OperationError};

use crate::file::{FileError, Refused, SchemaRefused};

/// A problem of this service: the code is its own, the status says whether anything was applied.
pub(crate) fn ours(
    code: &str,
    status: u16,
    title: &str,
    detail: impl Into<String>,
) -> Box<Problem> {
    Box::new(Problem::refusal(code, status, title, detail))
}

/// A request that the file refused. Nothing was applied.
pub(crate) fn refused(node: &Handle, refused: &Refused) -> Box<Problem> {
    let (code, status, title) = match refused {
        Refused::Sql {
            constraint: true, ..
        } => ("sql-constraint", 409, "A constraint does not hold"),
        Refused::Sql { .. } => ("sql-error", 400, "SQLite refuses the statement"),
        Refused::Denied { .. } => ("sql-denied", 403, "The statement does what it may not"),
        Refused::StatementLong { .. } => ("statement-too-long", 413, "A statement is too long"),
        Refused::Empty { .. } | Refused::Parameter { .. } | Refused::Parameters { .. } => (
            "sql-parameters",
            400,
            "The statement or its parameters are wrong",
        ),
        Refused::NotRead { .. } => ("not-a-read", 400, "The statement changes something"),
        Refused::AnswerLarge { .. } => ("answer-too-large", 422, "The answer is too large"),
        Refused::Slow { .. } => ("sql-timeout", 422, "The statement took too long"),
        Refused::Full { .. } => ("disk-full", 507, "The disk is full"),
        Refused::NotOwner(why) => return not_owner(node, why),
        // The next request finds who the primary is.
        Refused::Fenced(fenced) => {
            let problem = Problem::new(Code::Moving, fenced.to_string());
            return Box::new(problem.with_retry_after_ms(20));
        }
        Refused::Read { .. } => ("file-failed", 500, "The file cannot be read"),
    };
    ours(code, status, title, refused.to_string())
}

/// This node may not act on the partition.
pub(crate) fn not_owner(node: &Handle, why: &NotOwner) -> Box<Problem> {
    ck_http::not_owner(node, why, None)
}

/// A file that cannot be used.
pub(crate) fn file(error: &FileError) -> Box<Problem> {
    if error.is_full() {
        return ours("disk-full", 507, "The disk is full", error.to_string());
    }
    tracing::error!("{error}");
    ours(
        "file-failed",
        500,
        "The file cannot be used",
        error.to_string(),
    )
}

/// What is no schema.
pub(crate) fn schema(refused: &SchemaRefused) -> Box<Problem> {
    ours(
        "schema-refused",
        400,
        "The schema is refused",
        refused.to_string(),
    )
}

/// The control plane did not do what the answer depends on. Whether the write stays is not known.
pub(crate) fn unknown(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(Code::OutcomeUnknown, detail))
}

/// The control plane did not do it, and nothing was changed.
pub(crate) fn operation(error: &OperationError) -> Box<Problem> {
    let status = if error.is_retryable() { 503 } else { 409 };
    let problem = Problem::refusal(
        error.code(),
        status,
        "The cluster refuses",
        error.to_string(),
    );
    Box::new(if error.is_retryable() {
        problem.with_retry_after_ms(100)
    } else {
        problem
    })
}

/// Too much waits already.
pub(crate) fn overloaded(detail: String) -> Box<Problem> {
    Box::new(Problem::new(Code::Overloaded, detail).with_retry_after_ms(50))
}

/// A copy that cannot go on from where it is.
pub(crate) fn copy(code: &str, detail: impl Into<String>) -> Box<Problem> {
    ours(code, 409, "The copy cannot go on", detail)
}
