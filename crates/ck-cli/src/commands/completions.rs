//! `ck completions`: what a shell needs to complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

use crate::args::Cli;
use crate::exit::Done;
use crate::output::Output;

/// Print a script that lets a shell complete commands, flags and their values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck completions bash > /etc/bash_completion.d/ck
  ck completions zsh > \"${fpath[1]}/_ck\"
  ck completions fish > ~/.config/fish/completions/ck.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    shell: String,
    script: &'a str,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs, output: Output) -> Done {
    // Written to memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ck", &mut script);
    let script = String::from_utf8_lossy(&script);
    let shown = Shown {
        shell: args.shell.to_string(),
        script: &script,
    };
    output.show(&shown, |out| out.write_all(script.as_bytes()))
}
