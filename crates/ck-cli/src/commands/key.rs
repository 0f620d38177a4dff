//! `ck key`: where a key goes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ck_client::Client;
use ck_spec::OneRow;
use clap::Args;

use super::online::with_client;
use super::partitions::write_one;
use super::place;
use crate::args::Connection;
use crate::exit::{Done, Failure};
use crate::output::Output;

/// Show the partition of a key, its primary and its replicas.
#[derive(Debug, Args)]
#[command(override_usage = "ck key [OPTIONS] <KEY>")]
#[command(after_help = "\
Examples:
  ck key user:1001
  ck key user:1001 --spec cluster.toml")]
pub(crate) struct KeyArgs {
    /// The key; its bytes are taken as they are.
    key: OsString,
    /// Answer offline, planned from this spec, instead of asking a cluster.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows where a key goes.
pub(crate) fn run(args: &KeyArgs, output: Output) -> Done {
    let key = args.key.as_bytes();
    if key.is_empty() {
        return Err(Failure::usage("the key is empty; give at least one byte"));
    }
    if let Some(spec) = &args.spec {
        return offline(key, spec, output);
    }
    let answer = with_client(&args.connection, async |client: Client| {
        client.partition_for_key(key).await
    })?;
    output.show(&answer, |out| write_one(out, &answer))
}

fn offline(key: &[u8], spec: &Path, output: Output) -> Done {
    let request = place::read_spec(spec)?;
    let plan = request.plan()?;
    let row = plan.table.lookup(request.hash, key);
    output.show(&OneRow(row), |out| {
        writeln!(out, "partition  {}", row.partition())?;
        writeln!(
            out,
            "primary    {}",
            row.primary().map_or("-", |id| id.as_str())
        )?;
        let replicas: Vec<&str> = row.replicas().map(ck_core::NodeId::as_str).collect();
        writeln!(out, "replicas   {}", replicas.join(", "))
    })
}
