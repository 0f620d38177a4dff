//! `ck serve`: one node.

use ck_serve::{Announce, ServeError};
use clap::Args;

use crate::exit::{Done, Failure};
use crate::output::Output;

const EXAMPLE: &str = "\
Examples, three nodes that find each other:
  ck serve --id node-1 --http 127.0.0.1:8080 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082
  ck serve --id node-2 --http 127.0.0.1:8081 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082
  ck serve --id node-3 --http 127.0.0.1:8082 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082";

/// Run one node until it is told to stop.
///
/// Nodes that are given the same --join list form one cluster, in whatever order they start; a
/// node without one forms a cluster of its own. SIGTERM or Ctrl-C stops the node, which stays a
/// member; a second one stops it at once. With --json, every event is one line of JSON: listening,
/// ready, stopped.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("{EXAMPLE}\n\n{}", ck_serve::FILE_HELP))]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    node: ck_serve::ServeArgs,
}

/// Runs the node until it is told to stop, or cannot go on.
pub(crate) fn run(args: &ServeArgs, output: Output) -> Done {
    ck_serve::run_node(&args.node, Announce::json(output.json))?;
    Ok(())
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error.exit_code() {
            2 => Self::Usage(error.into()),
            4 => Self::Refused(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}
