//! `ck restore`: data directories from a backup, for a new incarnation of its cluster.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ck_node::{Backup, ClusterId, Incarnation, NodeId, offline};
use clap::Args;
use serde::Serialize;

use super::recover::runtime;
use crate::exit::{Done, Failure};
use crate::output::{Output, write_item};

/// Make the data directory of a node from a backup, offline: a cluster begins anew with it.
///
/// On one node first, which begins a new incarnation and prints its UUID; then on each other node that the
/// backup knows, with --into that UUID. Start them all then. Tokens and epochs of before are refused, as is
/// every node that comes back with its old data. A node that is not restored is taken out with `ck remove`.
///
/// The applications' data is not in a backup. Nobody serves a partition until `ck promote` has said which copy
/// counts, unless --trust-copies says that the nodes have what the backup says they have.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck restore cluster.ckbackup --id node-1 --data /var/lib/clusterkit --trust-copies
  ck restore cluster.ckbackup --id node-2 --data /var/lib/clusterkit --into UUID")]
pub(crate) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// The node, one that the backup knows.
    #[arg(long, value_name = "NODE")]
    id: NodeId,
    /// Its data directory, which must not have data yet.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The cluster that another node has begun anew from this backup.
    #[arg(long, value_name = "UUID", conflicts_with = "incarnation")]
    into: Option<ClusterId>,
    /// Take the nodes at their word for the copies that the backup calls in sync. Only where the data of the
    /// applications is that of the moment of the backup, on the same nodes.
    #[arg(long, conflicts_with = "into")]
    trust_copies: bool,
    /// Least incarnation to begin with, where clocks cannot be trusted: higher than any since the backup.
    #[arg(long, value_name = "NUMBER")]
    incarnation: Option<u64>,
}

/// What was restored.
#[derive(Debug, Serialize)]
struct Restored<'a> {
    node: String,
    data: &'a Path,
    cluster: String,
    uuid: String,
    /// The incarnation that begins; absent with --into.
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    backup_incarnation: u64,
    backup_version: u64,
    backup_taken_at_ms: u64,
    /// Whether partitions are served without `ck promote`.
    trusts_copies: bool,
}

/// Restores a node.
pub(crate) fn run(args: &RestoreArgs, output: Output) -> Done {
    let shown = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot open {shown}"))?;
    let backup = Backup::read(file).map_err(anyhow::Error::from)?;
    let restored = runtime()?.block_on(restore(args, &backup))?;
    let (uuid, incarnation) = restored;
    let formed = backup.state.formed();
    let restored = Restored {
        node: args.id.to_string(),
        data: &args.data,
        cluster: formed.map(|one| one.name.clone()).unwrap_or_default(),
        uuid: uuid.to_string(),
        incarnation: incarnation.map(|one| one.0),
        backup_incarnation: backup.state.incarnation().0,
        backup_version: backup.state.version().0,
        backup_taken_at_ms: backup.taken_at_ms,
        trusts_copies: args.trust_copies,
    };
    output.show(&restored, |out| {
        let (node, uuid) = (&restored.node, &restored.uuid);
        let version = format!(
            "{}.{}",
            restored.backup_incarnation, restored.backup_version
        );
        match restored.incarnation {
            Some(incarnation) => {
                writeln!(
                    out,
                    "{node} begins incarnation {incarnation} of {} with version {version}",
                    restored.cluster
                )?;
                if !restored.trusts_copies {
                    let why = "no partition is served until `ck promote ID NODE \
                               --accept-data-loss` has said which copy counts";
                    write_item(out, "", why)?;
                }
                writeln!(out, "on each other node, before it is started:")?;
                writeln!(
                    out,
                    "  ck restore {shown} --id NODE --data DIR --into {uuid}"
                )
            }
            None => writeln!(out, "{node} awaits the log of {} {uuid}", restored.cluster),
        }
    })
}

async fn restore(
    args: &RestoreArgs,
    backup: &Backup,
) -> Result<(ClusterId, Option<Incarnation>), Failure> {
    if let Some(cluster) = args.into {
        offline::restore_into(backup, &args.id, &args.data, cluster).await?;
        return Ok((cluster, None));
    }
    let incarnation = args.incarnation.map(Incarnation);
    let anew =
        offline::restore(backup, &args.id, &args.data, incarnation, args.trust_copies).await?;
    Ok((anew.cluster, Some(anew.incarnation)))
}
