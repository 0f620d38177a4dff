//! The repository's own checks, run as `cargo xtask <command>`.
//!
//! [`COMMANDS`] is the whole list; `cargo xtask` without a command prints it. Nothing here is part
//! of what ships.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people at a terminal"
)]

mod ci;
mod dashboard;
mod fresh;
mod fuzz;
mod guide;
mod instructions;
mod process;
mod purity;
mod repo;
mod schema;
mod source;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

use crate::repo::Repo;

/// One command: its name, what it does, and the function that does it.
struct Command {
    name: &'static str,
    does: &'static str,
    run: fn(&Repo, &[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        does: "every check, in order; stops at the first failure",
        run: ci::run,
    },
    Command {
        name: "tidy",
        does: "what the compiler cannot see: lengths, words, crate edges, links",
        run: tidy::run,
    },
    Command {
        name: "purity",
        does: "proves that ck-core and ck-control link without the standard library",
        run: purity::run,
    },
    Command {
        name: "fresh",
        does: "runs the snapshot guide's test in a new project that depends on ck-core alone",
        run: fresh::run,
    },
    Command {
        name: "fuzz",
        does: "feeds the input of `ck place` to libFuzzer for a minute, or the seconds given",
        run: fuzz::run,
    },
    Command {
        name: "schema",
        does: "asks every route of a live server what its description allows and what it forbids",
        run: schema::run,
    },
    Command {
        name: "dashboard",
        does: "builds the page at /ui once more, compares, and uses it in a real browser",
        run: dashboard::run,
    },
    Command {
        name: "instructions",
        does: "counts those of a small plan with callgrind and compares them with those kept",
        run: instructions::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", usage());
        return ExitCode::from(2);
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprint!("no command {name:?}\n{}", usage());
        return ExitCode::from(2);
    };
    match Repo::open().and_then(|repo| (command.run)(&repo, rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask <command>\n");
    for Command { name, does, .. } in COMMANDS {
        text.push_str(&format!("  {name:<12} {does}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_names_every_command() {
        let text = usage();
        assert!(COMMANDS.iter().all(|command| text.contains(command.does)));
    }
}
