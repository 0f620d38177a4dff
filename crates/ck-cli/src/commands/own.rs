//! `ck owned` and `ck promote`.

use std::collections::BTreeMap;

use ck_api::PromoteRequest;
use ck_client::Client;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use comfy_table::Cell;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count, figure, partition_number, runs, table, write_table};

/// Show what the node that answers may act on as primary at this instant.
///
/// Every node answers for itself alone: name one with --server.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck owned --server http://127.0.0.1:8081")]
pub(crate) struct OwnedArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Shows what a node owns.
pub(crate) fn owned(args: &OwnedArgs, output: Output) -> Done {
    let owned = with_client(&args.connection, async |client: Client| {
        client.owned().await
    })?;
    output.show(&owned, |out| {
        let partitions = count(owned.owned.len() as u64, "partition", "partitions");
        writeln!(
            out,
            "{} may act on {partitions} for {} ms, version {}.{}",
            owned.node, owned.lease_remaining_ms, owned.incarnation, owned.version
        )?;
        if owned.owned.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut by_epoch: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for one in &owned.owned {
            let number = partition_number(&one.id);
            by_epoch.entry(one.epoch).or_default().extend(number);
        }
        let mut rows = table(["epoch", "partitions"]);
        for (epoch, numbers) in by_epoch {
            rows.add_row(vec![figure(epoch), Cell::new(runs(numbers, usize::MAX))]);
        }
        write_table(out, &rows)
    })
}

/// Make a node the primary of a partition that nobody may act on.
///
/// Writes that only other nodes have are lost: without --accept-data-loss this is refused unless the
/// node is known to have them all. `ck explain` tells which nodes have.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck promote partition-3 node-2 --accept-data-loss")]
pub(crate) struct PromoteArgs {
    /// The partition, as `partition-3` or `3`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The node; it needs to be up and to have a copy.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// Go on although writes may be lost.
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Makes a node the primary.
pub(crate) fn promote(args: &PromoteArgs, output: Output) -> Done {
    let request = PromoteRequest {
        node: args.node.clone(),
        accept_data_loss: args.accept_data_loss,
    };
    let changed = with_client(&args.connection, async |client: Client| {
        client.promote(&args.id, &request).await
    })?;
    output.show(&changed, |out| {
        let (incarnation, version) = (changed.incarnation, changed.version);
        writeln!(
            out,
            "{} is the primary of {}, version {incarnation}.{version}",
            args.node, args.id
        )
    })
}
