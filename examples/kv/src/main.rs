//! `ck-kv`: one node of a replicated key-value store, or a cluster of them.

use std::process::ExitCode;
use std::sync::Arc;

use ck_kv::{Args, Dev, Kv};
use ck_serve::{Announce, Mounted};
use clap::{Parser, Subcommand};

/// One node of a replicated key-value store.
///
/// `PUT`, `GET` and `DELETE /kv/KEY` on any node; `ck` operates the cluster on the same port.
#[derive(Debug, Parser)]
#[command(name = "ck-kv", version, args_conflicts_with_subcommands = true, after_help = ck_serve::FILE_HELP)]
struct Cli {
    #[command(flatten)]
    node: Args,
    #[command(subcommand)]
    command: Option<Other>,
}

#[derive(Debug, Subcommand)]
enum Other {
    Dev(Dev),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Other::Dev(dev)) = &cli.command {
        return match ck_kv::dev(dev) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                use std::io::Write as _;
                // Nobody reads it any more, perhaps.
                let _ = writeln!(std::io::stderr(), "error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let service = Arc::new(Mounted::<Kv>::new(cli.node.config()));
    let done = ck_serve::run(cli.node.node(), Announce::Text, service);
    ck_serve::report(done, Announce::Text)
}
