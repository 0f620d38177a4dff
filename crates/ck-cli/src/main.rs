//! `ck`: start nodes, ask and operate a cluster, plan placements offline.

mod args;
mod commands;
mod exit;
mod follow;
mod output;
mod top;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::Output;

/// Whether `--json` is among the arguments; asked when they cannot be read as a whole.
fn asks_for_json() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error, asks_for_json()),
    };
    let output = Output { json: cli.json };
    let done = match cli.command {
        Command::Dev(args) => commands::dev::run(&args, output),
        Command::Serve(args) => commands::serve::run(&args, output),
        Command::Create(args) => commands::plan::create(&args, output),
        Command::Rebalance(args) => commands::plan::rebalance(&args, output),
        Command::Plan(args) => commands::plans::plan(&args, output),
        Command::Apply(args) => commands::plans::apply(&args, output),
        Command::Pause(args) => commands::steer::pause(&args, output),
        Command::Resume(args) => commands::steer::resume(&args, output),
        Command::Abort(args) => commands::steer::abort(&args, output),
        Command::Drain(args) => commands::drain::drain(&args, output),
        Command::Cordon(args) => commands::drain::cordon(&args, output),
        Command::Uncordon(args) => commands::drain::uncordon(&args, output),
        Command::Remove(args) => commands::remove::run(&args, output),
        Command::Promote(args) => commands::own::promote(&args, output),
        Command::MayStop(args) => commands::questions::may_stop(&args, output),
        Command::Status(args) => commands::status::run(&args, output),
        Command::Nodes(args) => commands::nodes::run(&args, output),
        Command::Partitions(args) => commands::partitions::list(&args, output),
        Command::Partition(args) => commands::partitions::one(&args, output),
        Command::Key(args) => commands::key::run(&args, output),
        Command::Stats(args) => commands::partitions::stats(&args, output),
        Command::Explain(args) => commands::questions::explain(&args, output),
        Command::WhyNot(args) => commands::questions::why_not(&args, output),
        Command::History(args) => commands::questions::history(&args, output),
        Command::Watch(args) => commands::watch::run(&args, output),
        Command::Top(args) => top::run(&args, output),
        Command::Owned(args) => commands::own::owned(&args, output),
        Command::Config(args) => commands::config::show(&args, output),
        Command::Set(args) => commands::config::set(&args, output),
        Command::Custom(args) => commands::custom::run(args, output),
        Command::Place(args) => commands::place::run(&args, output),
        Command::WhatIf(args) => commands::what_if::run(&args, output),
        Command::Snapshot(args) => commands::snapshot::run(&args, output),
        Command::Check(args) => commands::check::run(&args, output),
        Command::Cert(args) => commands::cert::run(&args, output),
        Command::Backup(args) => commands::backup::run(&args, output),
        Command::Restore(args) => commands::restore::run(&args, output),
        Command::Recover(args) => commands::recover::run(&args, output),
        Command::Migrate(args) => commands::migrate::run(&args, output),
        Command::Completions(args) => commands::completions::run(&args, output),
    };
    exit::report(done, cli.json)
}
