//! Whether the cluster here can take the table over, and the table in its terms.

use std::collections::{BTreeMap, BTreeSet};

use ck_api::{ClusterAnswer, GivenTable, Partition};
use ck_spec::Refusal;

use super::source::Source;
use crate::exit::Failure;

/// How keys of the Go library fall into partitions, by the name it has here.
pub(super) const HASH: &str = "md5-mod";

/// What is wrong with the table of the cluster here, at most so many at a time.
const REASONS_MAX: usize = 16;

/// What nodes of the other cluster are called here.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// The names, each given once.
    pub(super) fn new(pairs: &[(String, String)]) -> Result<Self, Failure> {
        let mut names = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for (there, here) in pairs {
            if names.insert(there.clone(), here.clone()).is_some() {
                let message = format!("--rename names {there} twice; give it one name");
                return Err(Failure::usage(message));
            }
            if !taken.insert(here) {
                let message = format!("--rename makes two nodes {here}; give each its own");
                return Err(Failure::usage(message));
            }
        }
        Ok(Self(names))
    }

    fn here<'a>(&'a self, there: &'a str) -> &'a str {
        self.0.get(there).map_or(there, String::as_str)
    }
}

/// A table that can be taken over.
#[derive(Debug)]
pub(super) struct Fit {
    /// The table to begin with.
    pub(super) table: GivenTable,
    /// Whether it is the table already.
    pub(super) done: bool,
    /// What an operator should know all the same.
    pub(super) warnings: Vec<String>,
}

/// Flags that every node here is to be started with.
pub(super) fn flags(source: &Source) -> Vec<String> {
    let name = &source.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = if name.chars().all(plain) {
        name.clone()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    };
    let (partitions, factor) = (source.rows.len(), source.replication_factor);
    [
        format!("--cluster {name}"),
        format!("--partitions {partitions}"),
        format!("--replication-factor {factor}"),
        format!("--hash {HASH}"),
        "--no-auto-create".to_owned(),
    ]
    .into()
}

/// The table in the terms of the cluster here, if that can have it. Every difference is named at once.
pub(super) fn fits(source: &Source, names: &Names, here: &ClusterAnswer) -> Result<Fit, Failure> {
    let rows: Vec<Vec<&str>> = source
        .rows
        .iter()
        .map(|row| row.iter().map(|node| names.here(node)).collect())
        .collect();
    let mut reasons = configured(source, here);
    reasons.extend(absent(source, names, here));
    let existing = &here.cluster.partition_map.partitions;
    let done = !existing.is_empty() && reasons.is_empty() && same(&rows, existing);
    if !existing.is_empty() && !done && reasons.is_empty() {
        reasons.push(differing(&rows, existing));
    }
    if !reasons.is_empty() {
        let more = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        let message = format!("cannot take {} over: {}", source.name, reasons.join("; "));
        return Err(Refusal::whole("differs", message).into());
    }
    Ok(Fit {
        table: given(&rows),
        done,
        warnings: warnings(source, &rows, here),
    })
}

/// What is fixed when a cluster forms, or limits its rows.
fn configured(source: &Source, here: &ClusterAnswer) -> Vec<String> {
    let config = &here.cluster.config;
    let mut reasons = Vec::new();
    let form = || format!("form a cluster with {}", flags(source).join(" "));
    if config.hash != HASH {
        reasons.push(format!(
            "keys are hashed by {} here, by {HASH} there; {}",
            config.hash,
            form()
        ));
    }
    if config.partition_count as usize != source.rows.len() {
        reasons.push(format!(
            "there are {} partitions here, {} there; {}",
            config.partition_count,
            source.rows.len(),
            form()
        ));
    }
    let longest = source.rows.iter().map(Vec::len).max().unwrap_or_default();
    if longest > config.replication_factor as usize {
        reasons.push(format!(
            "partitions have up to {longest} copies there, the replication factor here is {}; \
             `ck set replication_factor={longest}`",
            config.replication_factor
        ));
    }
    reasons
}

/// Nodes that hold something there and could not here.
fn absent(source: &Source, names: &Names, here: &ClusterAnswer) -> Vec<String> {
    let holding: BTreeSet<&str> = source.rows.iter().flatten().map(String::as_str).collect();
    let mut reasons = Vec::new();
    for there in holding {
        let name = names.here(there);
        let node = here.cluster.nodes.iter().find(|node| node.id == name);
        match node.map(|node| node.status.as_str()) {
            Some("active" | "cordoned" | "draining") => {}
            Some(status) => reasons.push(format!("node {name} is {status} here; start it")),
            None => reasons.push(format!(
                "node {name} has partitions there and is no node here; start it with --id {name}, \
                 or say what it is called here with --rename {there}=NAME"
            )),
        }
    }
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for there in source.nodes.keys() {
        if let Some(other) = owners.insert(names.here(there), there) {
            reasons.push(format!(
                "nodes {other} and {there} would both be {} here; give each its own name with \
                 --rename",
                names.here(there)
            ));
        }
    }
    for there in names
        .0
        .keys()
        .filter(|name| !source.nodes.contains_key(*name))
    {
        reasons.push(format!("--rename {there}: there is no node {there} there"));
    }
    reasons
}

fn present(row: &Partition) -> impl Iterator<Item = &str> {
    let primary = Some(row.primary_node.as_str()).filter(|primary| !primary.is_empty());
    primary
        .into_iter()
        .chain(row.replica_nodes.iter().map(String::as_str))
}

fn differs(number: usize, row: &[&str], existing: &BTreeMap<String, Partition>) -> bool {
    let found = existing.get(&format!("partition-{number}"));
    found.is_none_or(|found| !present(found).eq(row.iter().copied()))
}

fn same(rows: &[Vec<&str>], existing: &BTreeMap<String, Partition>) -> bool {
    let mut all = rows.iter().enumerate();
    !all.any(|(number, row)| differs(number, row, existing))
}

/// The first partition that is elsewhere here than there.
fn differing(rows: &[Vec<&str>], existing: &BTreeMap<String, Partition>) -> String {
    let all = || rows.iter().enumerate();
    let other = all().filter(|(number, row)| differs(*number, row, existing));
    let count = other.count();
    let first = all().find(|(number, row)| differs(*number, row, existing));
    let (number, row) = first.map_or((0, &[][..]), |(number, row)| (number, &row[..]));
    let found = existing.get(&format!("partition-{number}"));
    let found: Vec<&str> = found.into_iter().flat_map(present).collect();
    format!(
        "partitions exist here, and {count} of {} are elsewhere: partition-{number} is on {} here, on {} \
         there; start the nodes with empty data directories and --no-auto-create",
        rows.len(),
        found.join(", "),
        row.join(", ")
    )
}

fn given(rows: &[Vec<&str>]) -> GivenTable {
    let nodes: BTreeSet<&str> = rows.iter().flatten().copied().collect();
    let place: BTreeMap<&str, u32> = nodes.iter().copied().zip(0..).collect();
    GivenTable {
        rows: rows
            .iter()
            .map(|row| row.iter().map(|node| place[node]).collect())
            .collect(),
        nodes: nodes.into_iter().map(str::to_owned).collect(),
    }
}

fn warnings(source: &Source, rows: &[Vec<&str>], here: &ClusterAnswer) -> Vec<String> {
    let factor = here.cluster.config.replication_factor as usize;
    let mut warnings = Vec::new();
    let short = rows.iter().filter(|row| row.len() < factor).count();
    if short > 0 {
        warnings.push(format!(
            "{short} of {} partitions have fewer than {factor} copies there; they get the others here",
            rows.len()
        ));
    }
    if source.replication_factor as usize != factor {
        warnings.push(format!(
            "the replication factor is {} there and {factor} here",
            source.replication_factor
        ));
    }
    let idle = here.cluster.nodes.iter().map(|node| node.id.as_str());
    let idle: Vec<&str> = idle
        .filter(|node| !rows.iter().any(|row| row.contains(node)))
        .collect();
    if !idle.is_empty() {
        warnings.push(format!(
            "{} holds nothing there, and gets its share here by the next rebalance",
            idle.join(", ")
        ));
    }
    warnings
}
