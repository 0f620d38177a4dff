//! `ck-load`: load on a key-value service.

use std::process::ExitCode;

mod args;
mod command;

use clap::Parser;

fn main() -> ExitCode {
    command::main(&args::Cli::parse())
}
