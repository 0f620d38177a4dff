//! The server held against its own description, by schemathesis.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::repo::Repo;

/// Requests of each kind made up for each route.
const EXAMPLES: &str = "5";

/// Always the same requests: a check has to repeat itself.
const SEED: &str = "1";

/// Longest time the server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Longest time the requests may take; a third of it is usual.
const ASKED_WITHIN: Duration = Duration::from_secs(120);

/// Asks every route of a live `ck serve` what its description allows and what it forbids.
///
/// # Errors
/// When an answer is not as described. Where what it takes cannot be installed it is left out, and said.
pub(crate) fn run(repo: &Repo, _: &[String]) -> Result<()> {
    let Some(python) = python() else {
        println!("schema: skipped, as there is no python3 of 3.10 or later with venv");
        return Ok(());
    };
    let build = [
        "build", "--locked", "--quiet", "-p", "ck-cli", "--bin", "ck",
    ];
    process::run(&mut process::cargo(repo.root(), &build))?;
    let target = repo.metadata()?.target_directory;
    let settings = repo.root().join("xtask/schema");
    let tool = match installed(&python, &settings, &target) {
        Ok(tool) => tool,
        Err(why) => {
            println!("schema: skipped, as what it takes cannot be installed: {why:#}");
            return Ok(());
        }
    };
    let room = target.join("schema");
    if room.exists() {
        fs::remove_dir_all(&room)?;
    }
    fs::create_dir_all(&room)?;
    let server = Server::start(&target.join("debug/ck"), &room)?;
    let mut ask = Command::new(tool);
    ask.current_dir(&room)
        .stdin(Stdio::null())
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", server.http))
        .args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES])
        .args(["--seed", SEED, "--max-redirects", "0"])
        .args(["--request-timeout", "20", "--warnings", "off", "--no-color"]);
    within(&mut ask, ASKED_WITHIN)
}

/// The interpreter, where there is one that can make an environment of its own.
fn python() -> Option<PathBuf> {
    let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    let mut python = Command::new("python3");
    let able = process::capture(python.args(["-c", probe])).is_ok_and(|told| told.success);
    able.then(|| PathBuf::from("python3"))
}

/// The tool, installed once for each list of versions.
fn installed(python: &Path, settings: &Path, target: &Path) -> Result<PathBuf> {
    let wanted = settings.join("requirements.txt");
    let list = fs::read_to_string(&wanted)?;
    let home = target.join("schemathesis");
    let (tool, mark) = (home.join("bin/schemathesis"), home.join("installed.txt"));
    if tool.exists() && fs::read_to_string(&mark).is_ok_and(|known| known == list) {
        return Ok(tool);
    }
    process::run(
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&home),
    )?;
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    process::run(pip.arg(&wanted))?;
    fs::write(mark, list)?;
    Ok(tool)
}

/// Runs a command that has to end within that time.
fn within(command: &mut Command, bound: Duration) -> Result<()> {
    let mut child = command.spawn().context("schemathesis did not start")?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(
                status.success(),
                "the server is not as it is described: {status}"
            );
            return Ok(());
        }
        if begun.elapsed() > bound {
            child.kill()?;
            child.wait()?;
            bail!("schemathesis was not through after {bound:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A cluster of one node.
struct Server {
    process: Child,
    /// Where it listens.
    http: String,
}

impl Server {
    /// Started, and ready.
    fn start(ck: &Path, room: &Path) -> Result<Self> {
        let mut command = Command::new(ck);
        command
            .args(["serve", "--id", "node-1", "--http", "127.0.0.1:0"])
            .args(["--replication-factor", "1", "--partitions", "8", "--data"])
            .arg(room.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(room.join("server.log"))?);
        let mut process = command.spawn().context("`ck serve` did not start")?;
        let printed = process.stdout.take().context("its output is read here")?;
        let mut server = Self {
            process,
            http: String::new(),
        };
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that the server is never kept from printing.
        std::thread::spawn(move || {
            for line in BufReader::new(printed).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let begun = Instant::now();
        loop {
            let left = READY_WITHIN.saturating_sub(begun.elapsed());
            let line = told
                .recv_timeout(left)
                .with_context(|| format!("`ck serve` was not ready; see {}", room.display()))?;
            if let Some(http) = address(&line) {
                server.http = http.to_owned();
            }
            if line.contains(" is ready") && !server.http.is_empty() {
                return Ok(server);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in `node-1 listens: http 127.0.0.1:8080, peers …`.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" listens: http ")?;
    rest.split(',').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_what_is_printed() {
        let line = "node-1 listens: http 127.0.0.1:18931, peers 127.0.0.1:20931, data data";
        assert_eq!(address(line), Some("127.0.0.1:18931"));
        assert_eq!(address("node-1 is ready: 1 node, 8 partitions"), None);
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let mut sleep = Command::new("sleep");
        let error = within(sleep.arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("not through"), "{error}");
        assert!(within(&mut Command::new("false"), ASKED_WITHIN).is_err());
    }
}
