//! The command line: what is accepted, with its help.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use ck_serve::duration;
use clap::{Args, Parser, Subcommand};

use crate::{commands, top};

/// Width at which help is wrapped.
const HELP_WIDTH: usize = 100;

/// Partitions of a keyspace, who holds them, and the cluster that keeps track of it.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
/// 2 usage, 3 unreachable or timed out, 4 refused, 5 undecided (`ck check` alone).
#[derive(Debug, Parser)]
#[command(name = "ck", version, max_term_width = HELP_WIDTH)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example, a cluster of three nodes on this machine:\n  ck dev")]
pub(crate) struct Cli {
    /// Print one JSON document instead of text; failures become JSON too.
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(commands::dev::DevArgs),
    Serve(Box<commands::serve::ServeArgs>),
    Create(commands::plan::CreateArgs),
    Rebalance(commands::plan::RebalanceArgs),
    Plan(commands::plans::PlanArgs),
    Apply(commands::plans::ApplyArgs),
    Pause(commands::steer::PauseArgs),
    Resume(commands::steer::ResumeArgs),
    Abort(commands::steer::AbortArgs),
    Drain(commands::drain::DrainArgs),
    Cordon(commands::drain::CordonArgs),
    Uncordon(commands::drain::UncordonArgs),
    Remove(commands::remove::RemoveArgs),
    Promote(commands::own::PromoteArgs),
    MayStop(commands::questions::MayStopArgs),
    Status(commands::status::StatusArgs),
    Nodes(commands::nodes::NodesArgs),
    Partitions(commands::partitions::PartitionsArgs),
    Partition(commands::partitions::PartitionArgs),
    Key(commands::key::KeyArgs),
    Stats(commands::partitions::StatsArgs),
    Explain(commands::questions::ExplainArgs),
    WhyNot(commands::questions::WhyNotArgs),
    History(commands::questions::HistoryArgs),
    Watch(commands::watch::WatchArgs),
    Top(top::TopArgs),
    Owned(commands::own::OwnedArgs),
    Config(commands::config::ConfigArgs),
    Set(commands::config::SetArgs),
    Custom(commands::custom::CustomArgs),
    Place(commands::place::PlaceArgs),
    WhatIf(Box<commands::what_if::WhatIfArgs>),
    Snapshot(commands::snapshot::SnapshotArgs),
    Check(commands::check::CheckArgs),
    Cert(commands::cert::CertArgs),
    Backup(commands::backup::BackupArgs),
    Restore(commands::restore::RestoreArgs),
    Recover(commands::recover::RecoverArgs),
    Migrate(commands::migrate::MigrateArgs),
    Completions(commands::completions::CompletionsArgs),
}

/// How to reach the cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reaching the cluster")]
pub(crate) struct Connection {
    /// Addresses of any nodes, separated by commas; the first that answers is asked.
    #[arg(
        long,
        env = "CK_SERVER",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) server: Vec<String>,
    /// File with the token to send; of several, as a node's file has them, the highest role's.
    #[arg(long, env = "CK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Authority of the servers' certificates, in PEM, for addresses of https.
    #[arg(long, env = "CK_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Most time the command may take: 10s unless given, without an end where it waits for nodes.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Lines of fenced blocks that call `ck`, as a shell would split them, without what follows a pipe,
    /// a redirection or a comment.
    fn commands(markdown: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        let mut in_code = false;
        for line in markdown.lines() {
            if line.trim_start().starts_with("```") {
                let info = line.trim_start().trim_start_matches('`');
                in_code = !in_code && matches!(info, "sh" | "console");
                continue;
            }
            let line = line.trim();
            let line = line.strip_prefix("$ ").unwrap_or(line);
            if !in_code || !line.starts_with("ck ") {
                continue;
            }
            let end = line.find(['|', '>', '#', '&']).unwrap_or(line.len());
            let words = line[..end].split_whitespace();
            found.push(
                words
                    .map(|word| word.trim_matches(['\'', '"']).to_owned())
                    .collect(),
            );
        }
        found
    }

    #[test]
    fn every_command_of_the_guides_is_one() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let docs = std::fs::read_dir(root.join("docs")).unwrap();
        let docs = docs.map(|entry| entry.unwrap().path());
        let mut checked = 0;
        for path in docs.chain([root.join("README.md")]) {
            if path.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for words in commands(&text) {
                checked += 1;
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{}: {words:?}: {error}", path.display());
                }
            }
        }
        assert!(checked > 10, "only {checked} commands were found");
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                let help = sub
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(help.contains("Example"), "{path} --help has no example");
                assert!(
                    help.contains(&path),
                    "the example of {path} does not show it"
                );
                check(sub, &path);
            }
        }
        check(&Cli::command(), "ck");
    }
}
