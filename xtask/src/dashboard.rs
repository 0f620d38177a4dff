//! The dashboard: built from its sources once more and compared with what is committed, then used in a
//! real browser, before a real cluster too.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::repo::Repo;

const SOURCES: &str = "crates/ck-http/ui";

/// Least major version of Node.
const NODE_MIN: u32 = 20;

/// Names under which a browser of that kind is installed.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

/// Builds, compares, tests. What a machine has no program for is left out, and said.
///
/// # Errors
/// When the committed files are not what the sources give, or a test fails.
pub(crate) fn run(repo: &Repo, _arguments: &[String]) -> Result<()> {
    if let Some(missing) = missing_node() {
        println!("dashboard: skipped, {missing}");
        return Ok(());
    }
    let sources = repo.root().join(SOURCES);
    let quiet = [
        "ci",
        "--ignore-scripts",
        "--no-progress",
        "--loglevel=error",
    ];
    if let Err(why) = npm(&sources, &quiet) {
        println!("dashboard: skipped, as what it takes cannot be installed: {why:#}");
        return Ok(());
    }
    npm(&sources, &["run", "--silent", "check"])?;
    println!("dashboard: what is committed is what its sources give");
    let Some(browser) = BROWSERS.iter().find_map(|name| find(name)) else {
        println!("dashboard: not tried out, there is no chromium on this machine");
        return Ok(());
    };
    let build = ["build", "--locked", "--quiet", "--bin", "ck"];
    process::run(&mut process::cargo(repo.root(), &build))?;
    let ck = repo.metadata()?.target_directory.join("debug").join("ck");
    let mut test = command("npm", &sources, &["run", "--silent", "test"]);
    process::run(test.env("CK", ck).env("CHROMIUM", browser))
}

/// Why the dashboard cannot be built here, if it cannot.
fn missing_node() -> Option<String> {
    for name in ["node", "npm"] {
        if find(name).is_none() {
            return Some(format!("there is no {name} on this machine"));
        }
    }
    let version = process::output(Command::new("node").arg("--version"));
    match version.as_deref().map(major) {
        Ok(Some(major)) if major >= NODE_MIN => None,
        Ok(_) => Some(format!("its node is older than {NODE_MIN}")),
        Err(error) => Some(format!("its node does not run: {error:#}")),
    }
}

/// The first number of a version such as `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    let digits = version.trim().strip_prefix('v')?.split('.').next()?;
    digits.parse().ok()
}

/// A program among those of the search path.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places = env::split_paths(&path).map(|folder| folder.join(name));
    places.into_iter().find(|place| place.is_file())
}

fn command(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<()> {
    let status = command("npm", folder, arguments).status();
    let status = status.context("npm did not start")?;
    if !status.success() {
        bail!(
            "`npm {}` in {SOURCES} failed: {status}",
            arguments.join(" ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20"), None);
        assert_eq!(major("vx.1"), None);
    }

    #[test]
    fn a_program_is_found_by_its_name_alone() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
    }
}
