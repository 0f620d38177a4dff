//! `ck completions`: what a shell needs to complete commands and flags.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Done, Failure};

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

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Done {
    // Written to memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ck", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(Failure::from)
}
