//! Instructions of a small plan, counted by callgrind: a machine that is busy with something else
//! makes them no more, so that a regression shows where times say nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::repo::Repo;

/// The counts that were last taken on purpose, a change a line.
const KEPT: &str = "xtask/instructions.txt";

/// Percent by which a count may differ: the C library picks its routines by the processor.
const TOLERANCE: u64 = 5;

/// Plans beyond the first whose instructions are averaged.
const TIMES: u64 = 10;

/// Counts instructions of planning 256 partitions on 10 nodes and compares them with those kept;
/// `--keep` writes them down instead.
///
/// # Errors
/// When a count is over the kept one by more than the tolerance, or a program fails.
pub(crate) fn run(repo: &Repo, arguments: &[String]) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: skipped, as there is no `valgrind`");
        return Ok(());
    }
    let target = repo.metadata()?.target_directory;
    let build = [
        "build",
        "--locked",
        "--quiet",
        "--release",
        "-p",
        "ck-core",
        "--example",
        "plans",
    ];
    process::run(&mut process::cargo(repo.root(), &build))?;
    let program = target.join("release/examples/plans");
    let kept = repo.read(KEPT)?;
    let keep = arguments.iter().any(|argument| argument == "--keep");
    let (mut text, mut worse) = (String::new(), Vec::new());
    for line in kept.lines() {
        let (change, kept) = entry(line)?;
        let (one, many) = (
            counted(&program, &target, change, 1)?,
            counted(&program, &target, change, 1 + TIMES)?,
        );
        let each = many.saturating_sub(one) / TIMES;
        text.push_str(&format!("{change} {each}\n"));
        let verdict = verdict(kept, each);
        println!("instructions: {change:<8} {each:>9} a plan, {kept:>9} kept; {verdict}");
        if verdict == Verdict::Worse {
            worse.push(change);
        }
    }
    if keep {
        fs::write(repo.root().join(KEPT), text)?;
        println!("instructions: written to {KEPT}");
        return Ok(());
    }
    if !worse.is_empty() {
        bail!(
            "{} takes over {TOLERANCE} % more instructions; if that is on purpose: \
             `cargo xtask instructions --keep`",
            worse.join(", ")
        );
    }
    Ok(())
}

/// A line of the kept counts.
fn entry(line: &str) -> Result<(&str, u64)> {
    let (change, count) = line
        .split_once(' ')
        .context("a line is a change and a count")?;
    Ok((
        change,
        count
            .parse()
            .with_context(|| format!("{line:?} holds no count"))?,
    ))
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Better,
    Worse,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Same => "as before",
            Self::Better => "fewer: keep them with --keep",
            Self::Worse => "MORE",
        })
    }
}

fn verdict(kept: u64, now: u64) -> Verdict {
    if now * 100 > kept * (100 + TOLERANCE) {
        Verdict::Worse
    } else if now * 100 < kept * (100 - TOLERANCE) {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

/// Instructions of the whole program.
fn counted(program: &Path, target: &Path, change: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    let file = target.join("callgrind.out");
    valgrind
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([change, &times.to_string()]);
    let told = process::capture(&mut valgrind)?;
    if !told.success {
        bail!("callgrind failed on {change}:\n{}", told.stderr);
    }
    collected(&told.stderr)
}

/// The total that callgrind reports.
fn collected(told: &str) -> Result<u64> {
    let total = told
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let total = total.and_then(|(_, rest)| rest.trim().parse().ok());
    total.context("callgrind reported no total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_instructions_than_the_tolerance_are_worse() {
        assert_eq!(verdict(1000, 1050), Verdict::Same);
        assert_eq!(verdict(1000, 1051), Verdict::Worse);
        assert_eq!(verdict(1000, 949), Verdict::Better);
    }

    #[test]
    fn total_and_kept_counts_are_read() {
        let told = "==7== Events    : Ir\n==7== Collected : 4711\n==7==\n";
        assert_eq!(collected(told).unwrap(), 4711);
        assert!(collected("==7== Events    : Ir\n").is_err());
        assert_eq!(entry("join 12").unwrap(), ("join", 12));
        assert!(entry("join").is_err() && entry("join many").is_err());
    }
}
