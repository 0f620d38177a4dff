//! One node of a sharded SQL database.

mod dev;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ck_serve::{Announce, Mounted, ServeArgs};
use ck_sql::{Sql, SqlConfig};
use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// A sharded SQL database: one SQLite file for each partition.
///
/// Takes the flags of `ck serve`. Each partition has one copy, so --replication-factor is 1.
#[derive(Parser)]
#[command(name = "ck-sql", version, after_help = ck_serve::FILE_HELP, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Commands>,
    #[command(flatten)]
    serve: ServeArgs,
    /// Time a request is tried for while its partition moves or its node is away.
    #[arg(long, env = "CK_PATIENCE", default_value = "5s", value_parser = ck_serve::duration)]
    patience: Duration,
    /// Print events as JSON, one a line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Commands {
    /// Run several nodes on this machine; Ctrl-C stops them.
    Dev(dev::DevArgs),
}

/// The flags, with the one copy that this example keeps.
fn command() -> Command {
    Args::command().mut_arg("replication_factor", |flag| {
        flag.default_value("1").value_parser(one_copy)
    })
}

fn one_copy(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(1) => Ok(1),
        _ => Err(
            "ck-sql keeps one copy of each partition; use 1, or the key-value example for more"
                .to_owned(),
        ),
    }
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    if let Some(Commands::Dev(args)) = &args.command {
        return dev::run(args);
    }
    let announce = Announce::json(args.json);
    let sql = Arc::new(Mounted::<Sql>::new(SqlConfig {
        patience: args.patience,
        ..SqlConfig::default()
    }));
    let done = ck_serve::run(&args.serve, announce, sql);
    ck_serve::report(done, announce)
}
