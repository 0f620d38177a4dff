//! `ck recover`: a cluster whose majority is lost for good goes on from a survivor.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use ck_node::offline::{Anew, OfflineError, Survivor};
use ck_node::{ClusterId, Incarnation, NodeId, PartitionId};
use clap::Args;
use serde::Serialize;

use crate::exit::{Done, Failure};
use crate::output::{Output, count, write_item};

/// Partitions named in a sentence; `--json` names all.
const NAMED_MAX: usize = 16;

/// Begin the cluster anew from a survivor, when the majority of voters is lost for good.
///
/// Offline, while the node does not run. What the survivor's log has is kept, the rest is lost: it says
/// what that may be, and asks twice. Choose the survivor whose last entry has the highest term and, among
/// those, the highest number; --dry-run shows both. Run it on that one alone: two that begin anew are two
/// clusters. Other survivors stay members when --keep names them: recover them too, with --into and the UUID
/// that is printed, and the same --keep.
/// All others are out for good. Never start one of those again with its old data: enough of them together
/// would go on as the cluster they were.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck recover --data /var/lib/clusterkit --dry-run
  ck recover --data /var/lib/clusterkit --keep node-2
  ck recover --data /var/lib/clusterkit --into UUID --keep node-2")]
pub(crate) struct RecoverArgs {
    /// The survivor's data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Other survivors, which stay members; with --into, as the survivor that began was told.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    keep: Vec<NodeId>,
    /// The cluster that another survivor has begun anew, which this one goes on in.
    #[arg(long, value_name = "UUID", conflicts_with = "incarnation")]
    into: Option<ClusterId>,
    /// Least incarnation to begin with, where clocks cannot be trusted: higher than any before.
    #[arg(long, value_name = "NUMBER")]
    incarnation: Option<u64>,
    /// Only say what would be kept and lost; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing: for scripts, which have to know what they do.
    #[arg(long)]
    yes_i_accept_data_loss: bool,
}

/// What the survivor has, and what becomes of it.
#[derive(Debug, Serialize)]
struct Recovered {
    node: String,
    data: PathBuf,
    cluster: String,
    uuid_before: String,
    uuid: Option<String>,
    incarnation_before: u64,
    incarnation: Option<u64>,
    /// Last entry of the survivor's log, and its term.
    last_log_index: u64,
    last_log_term: u64,
    /// Last entry that it knows to be committed.
    commit_index: u64,
    version: u64,
    stay: Vec<String>,
    gone: Vec<String>,
    /// Partitions of which no copy stays.
    lost: Vec<String>,
    /// Partitions of which copies stay, none of which is known to have every write.
    out_of_sync: Vec<String>,
    done: bool,
    /// The data as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
}

/// A runtime for what waits for the disk alone.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}

impl From<OfflineError> for Failure {
    fn from(error: OfflineError) -> Self {
        match error {
            OfflineError::Keep { .. } | OfflineError::Codec(_) | OfflineError::Halt(_) => {
                Self::Failed(error.into())
            }
            OfflineError::Store(_) => Self::Failed(error.into()),
            _ => Self::Refused(error.into()),
        }
    }
}

/// Recovers a node.
pub(crate) fn run(args: &RecoverArgs, output: Output) -> Done {
    let survivor = Survivor::open(&args.data)?;
    if let Some(cluster) = args.into {
        return follow(args, survivor, cluster, output);
    }
    let anew = survivor.plan(&args.keep, args.incarnation.map(Incarnation))?;
    let mut told = told(&args.data, &survivor, Some(&anew));
    if !args.dry_run {
        if !args.yes_i_accept_data_loss {
            let mut err = anstream::stderr();
            write(&mut err, &told)?;
            confirm(&told)?;
        }
        told.kept = Some(runtime()?.block_on(survivor.begin(&anew))?);
        told.done = true;
    }
    output.show(&told, |out| {
        if !told.done || args.yes_i_accept_data_loss {
            write(out, &told)?;
        }
        write_done(out, &told)
    })
}

fn follow(args: &RecoverArgs, survivor: Survivor, cluster: ClusterId, output: Output) -> Done {
    if args.keep.is_empty() {
        let message = "--into needs --keep as well, with the survivors that stay: as it was told to the one \
                       that began, which prints the whole command; nothing was changed";
        return Err(Failure::usage(message));
    }
    survivor.may_follow(cluster, &args.keep)?;
    let mut told = told(&args.data, &survivor, None);
    told.uuid = Some(cluster.to_string());
    told.stay = args.keep.iter().map(ToString::to_string).collect();
    if !args.dry_run {
        if !args.yes_i_accept_data_loss {
            confirm(&told)?;
        }
        told.kept = Some(runtime()?.block_on(survivor.follow(cluster, &args.keep))?);
        told.done = true;
    }
    output.show(&told, |out| {
        let what = if told.done { "awaits" } else { "would await" };
        let (node, name, last) = (&told.node, &told.cluster, told.last_log_index);
        let told = format!(
            "{node} {what} the log of {name} {cluster}; its own, up to entry {last}, is given up"
        );
        write_item(out, "", &told)
    })
}

fn told(data: &Path, survivor: &Survivor, anew: Option<&Anew>) -> Recovered {
    let before = survivor.state();
    let formed = before.formed();
    let stays =
        |node: &NodeId| anew.is_some_and(|anew| anew.state.member_by_node(node.as_str()).is_some());
    let (stay, gone): (Vec<_>, Vec<_>) = before
        .members()
        .map(|member| member.node.clone())
        .partition(stays);
    let names = |nodes: Vec<NodeId>| nodes.iter().map(ToString::to_string).collect();
    let partitions = |of: Vec<PartitionId>| of.iter().map(ToString::to_string).collect();
    Recovered {
        node: survivor.node().to_string(),
        data: data.to_owned(),
        cluster: formed.map(|one| one.name.clone()).unwrap_or_default(),
        uuid_before: survivor.cluster().to_string(),
        uuid: anew.map(|anew| anew.cluster.to_string()),
        incarnation_before: before.incarnation().0,
        incarnation: anew.map(|anew| anew.incarnation.0),
        last_log_index: survivor.last().0,
        last_log_term: survivor.last_term(),
        commit_index: survivor.committed().0,
        version: before.version().0,
        stay: names(stay),
        gone: if anew.is_some() {
            names(gone)
        } else {
            Vec::new()
        },
        lost: partitions(anew.map(Anew::lost).unwrap_or_default()),
        out_of_sync: partitions(anew.map(Anew::out_of_sync).unwrap_or_default()),
        done: false,
        kept: None,
    }
}

fn named(partitions: &[String]) -> String {
    let shown = partitions.iter().take(NAMED_MAX).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match partitions.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What would be kept, and what may be lost.
fn write(out: &mut dyn Write, told: &Recovered) -> io::Result<()> {
    let who = format!(
        "{} of {} {}, incarnation {}:",
        told.node, told.cluster, told.uuid_before, told.incarnation_before
    );
    let log = format!(
        "its log ends with entry {} of term {} (entry {} is known to be committed), version {}",
        told.last_log_index, told.last_log_term, told.commit_index, told.version
    );
    write_item(out, "", &format!("{who} {log}"))?;
    let item = |out: &mut dyn Write, text: &str| write_item(out, "- ", text);
    item(out, &format!("stay: {}", told.stay.join(", ")))?;
    if !told.gone.is_empty() {
        item(out, &format!("out for good: {}", told.gone.join(", ")))?;
    }
    item(
        out,
        "lost: every change of the cluster after that entry, such as custom values, in-sync sets and members",
    )?;
    if !told.lost.is_empty() {
        let text = format!(
            "{} of which no copy stays, `ck promote ID NODE --accept-data-loss` begins each empty: {}",
            count(told.lost.len() as u64, "partition", "partitions"),
            named(&told.lost)
        );
        item(out, &text)?;
    }
    if !told.out_of_sync.is_empty() {
        let text = format!(
            "{} of which only copies out of sync stay, `ck promote ID NODE --accept-data-loss` goes on \
             with one: {}",
            count(told.out_of_sync.len() as u64, "partition", "partitions"),
            named(&told.out_of_sync)
        );
        item(out, &text)?;
    }
    Ok(())
}

fn write_done(out: &mut dyn Write, told: &Recovered) -> io::Result<()> {
    let uuid = told.uuid.as_deref().unwrap_or_default();
    if !told.done {
        return writeln!(out, "nothing was changed");
    }
    let incarnation = told.incarnation.unwrap_or_default();
    writeln!(
        out,
        "incarnation {incarnation} begins: {} {uuid}",
        told.cluster
    )?;
    if let Some(kept) = &told.kept {
        writeln!(out, "the data as it was is in {}", kept.display())?;
    }
    let others: Vec<&str> = told.stay.iter().map(String::as_str).collect();
    let others: Vec<&str> = others.into_iter().filter(|one| *one != told.node).collect();
    if !others.is_empty() {
        writeln!(out, "on {}, before it is started:", others.join(", "))?;
        let keep = others.join(",");
        writeln!(out, "  ck recover --data DIR --into {uuid} --keep {keep}")?;
    }
    Ok(())
}

/// Asks twice, on a terminal.
fn confirm(told: &Recovered) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "standard input is no terminal, so nobody can be asked; nothing was changed. \
                       Look with --dry-run, then say --yes-i-accept-data-loss";
        return Err(Failure::usage(message));
    }
    let mut input = io::stdin().lock();
    let mut err = anstream::stderr();
    let first = "Have all other nodes of the cluster ended? Type yes: ";
    ask(&mut input, &mut err, first, "yes")?;
    let second = format!(
        "Whatever is not in this log is lost. Type the name of the cluster, {}: ",
        told.cluster
    );
    ask(&mut input, &mut err, &second, &told.cluster)
}

fn ask(
    input: &mut impl BufRead,
    output: &mut impl Write,
    question: &str,
    wanted: &str,
) -> Result<(), Failure> {
    output.write_all(question.as_bytes())?;
    output.flush()?;
    let mut line = String::new();
    // One line of what a person types; more than that is no answer.
    io::Read::take(input, 4 << 10).read_line(&mut line)?;
    if line.trim() == wanted {
        return Ok(());
    }
    let message = format!("{:?} is not {wanted:?}; nothing was changed", line.trim());
    Err(Failure::Refused(anyhow::Error::msg(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_answer_counts() {
        let answered = |given: &str| {
            let mut asked = Vec::new();
            let answer = ask(&mut given.as_bytes(), &mut asked, "Really? ", "prod");
            assert_eq!(asked, b"Really? ");
            answer.is_ok()
        };
        assert!(answered("prod\n") && answered(" prod"));
        for wrong in ["", "\n", "y\n", "yes\n", "Prod\n", "prod2\n", "pro\nd\n"] {
            assert!(!answered(wrong), "{wrong:?}");
        }
    }
}
