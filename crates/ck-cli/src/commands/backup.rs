//! `ck backup`: the replicated state of a running cluster, as a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ck_client::Client;
use ck_node::Backup;
use clap::Args;
use serde::Serialize;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::{Done, Failure};
use crate::output::{Output, count};

/// Keep what the cluster has agreed on in a file, while it runs.
///
/// Members, table, epochs, in-sync sets, configuration, custom values, history: all of one version, from
/// any node. The data of applications is not in it. `ck restore` begins a cluster with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck backup cluster.ckbackup
  ck backup nightly.ckbackup --force --token-file /etc/clusterkit/token")]
pub(crate) struct BackupArgs {
    /// Where to; a file that is there is left alone.
    file: PathBuf,
    /// Replace the file when it is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a backup has.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    file: &'a Path,
    bytes: u64,
    cluster: String,
    uuid: String,
    incarnation: u64,
    version: u64,
    node: String,
    taken_at_ms: u64,
    members: u64,
    partitions: u64,
}

/// Takes the backup.
pub(crate) fn run(args: &BackupArgs, output: Output) -> Done {
    let shown = args.file.display();
    if !args.force && args.file.exists() {
        let message =
            format!("{shown} is there already; name another file, or replace it with --force");
        return Err(Failure::Refused(anyhow::Error::msg(message)));
    }
    let bytes = with_client(&args.connection, async |client: Client| {
        client.backup().await
    })?;
    // What cannot be read back is no backup.
    let backup = Backup::decode(&bytes).map_err(anyhow::Error::from)?;
    write(&args.file, &bytes, args.force).with_context(|| format!("cannot write {shown}"))?;
    let state = &backup.state;
    let partitions = state.table().map_or(0, |table| table.partitions());
    let formed = state.formed();
    let backup = Shown {
        file: &args.file,
        bytes: bytes.len() as u64,
        cluster: formed.map(|one| one.name.clone()).unwrap_or_default(),
        uuid: formed
            .map(|one| one.cluster.to_string())
            .unwrap_or_default(),
        incarnation: state.incarnation().0,
        version: state.version().0,
        node: backup.node.to_string(),
        taken_at_ms: backup.taken_at_ms,
        members: state.members().len() as u64,
        partitions: partitions.into(),
    };
    output.show(&backup, |out| {
        writeln!(
            out,
            "{} of {} at version {}.{}, from {}: {} bytes in {shown}",
            count(backup.partitions, "partition", "partitions"),
            backup.cluster,
            backup.incarnation,
            backup.version,
            backup.node,
            backup.bytes
        )
    })
}

/// Writes the file beside itself first: it is there whole, or not at all.
fn write(path: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    if replace {
        file.persist(path)?;
    } else {
        file.persist_noclobber(path)?;
    }
    File::open(folder)?.sync_all()
}
