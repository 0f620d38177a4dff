//! Fuzzing on stable: libFuzzer needs counters, not a sanitizer.
//!
//! The compiler's own coverage pass is asked for by flags, as `cargo fuzz … -s none` would on
//! nightly. The run has to find new paths, or else it shows nothing but that the seeds still work.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::repo::Repo;

/// Seconds of fuzzing, unless told otherwise.
const SECONDS: u64 = 60;

/// Counters for every edge, and a look at what is compared with what.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Fuzzes the input of `ck place` for a minute, or as many seconds as the first argument says.
///
/// # Errors
/// When an input breaks something, or no new path is found.
pub(crate) fn run(repo: &Repo, arguments: &[String]) -> Result<()> {
    let seconds: u64 = match arguments.first() {
        Some(text) => text
            .parse()
            .context("the argument is a number of seconds")?,
        None => SECONDS,
    };
    if Command::new(compiler()).arg("--version").output().is_err() {
        println!(
            "fuzz: skipped, as there is no `{}`: libFuzzer is C++",
            compiler()
        );
        return Ok(());
    }
    let folder = repo.root().join("fuzz");
    let target = repo.metadata()?.target_directory.join("fuzz");
    // The same versions as everywhere else; cargo adds libFuzzer's own.
    fs::copy(repo.root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let host = host(repo)?;
    let build = ["build", "--quiet", "--release", "--target", &host];
    let mut build = process::cargo(&folder, &build);
    // With a target named, the flags leave build scripts alone.
    process::run(
        build
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
            .env("CARGO_TARGET_DIR", &target),
    )?;

    let (corpus, artifacts) = (target.join("corpus"), target.join("artifacts"));
    for kept in [&corpus, &artifacts] {
        if kept.exists() {
            fs::remove_dir_all(kept)?;
        }
        fs::create_dir_all(kept)?;
    }
    let mut fuzz = Command::new(target.join(&host).join("release/place"));
    fuzz.current_dir(&folder)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-dict=place.dict",
            "-max_len=2048",
            "-timeout=20",
            "-rss_limit_mb=2048",
        ])
        .arg(&corpus)
        .arg("seeds");
    let told = process::capture(&mut fuzz)?;
    let tail: Vec<&str> = told.stderr.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    ensure!(
        told.success,
        "an input broke the planner; it is kept in {}\n{}",
        artifacts.display(),
        tail.join("\n")
    );
    let (start, end) = coverage(&told.stderr)?;
    println!("fuzz: {seconds} s, edges covered {start} by the seeds, {end} at the end");
    if end <= start {
        bail!("no new edge was found in {seconds} s: the counters or the target are broken");
    }
    Ok(())
}

/// The C++ compiler that building libFuzzer will look for.
fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// What this machine's programs are built for.
fn host(repo: &Repo) -> Result<String> {
    let told = process::output(Command::new("rustc").current_dir(repo.root()).arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names its host")?.to_owned())
}

/// Edges covered when the seeds were read, and when the run ended.
fn coverage(told: &str) -> Result<(u64, u64)> {
    let covered = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once("cov: ")?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let start = told.lines().find(|line| line.contains("INITED"));
    let start = start.and_then(covered);
    let end = told.lines().rev().find_map(covered);
    start
        .zip(end)
        .context("libFuzzer reported no coverage: the counters are missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_read_from_the_first_and_the_last_report() {
        let told = "INFO: seed\n#6\tINITED cov: 812 ft: 900 corp: 5/1Kb\n\
                    #99\tNEW    cov: 815 ft: 903\n#100\tDONE   cov: 815 ft: 903\nDone 100 runs\n";
        assert_eq!(coverage(told).unwrap(), (812, 815));
        let error = coverage("#2\tINITED exec/s: 0\n").unwrap_err();
        assert!(error.to_string().contains("no coverage"), "{error}");
    }
}
