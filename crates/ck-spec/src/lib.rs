//! What `ck place` reads and answers: a spec in TOML or JSON, checked field by field, and the plan
//! for it in the words of the HTTP interface.
//!
//! Text in, text out: it reads no file, knows no terminal and asks no server, so that it can be
//! fed anything, by a program as by a fuzzer. Every refusal names the field and the value.

mod answer;
mod batch;
mod previous;
mod raw;
mod refusal;
mod request;
#[cfg(test)]
mod tests;
mod wording;

pub use answer::{Answer, OneRow};
pub use batch::answer_lines;
pub use refusal::Refusal;
pub use request::{Request, Strategy};
