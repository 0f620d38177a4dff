//! Every check, in the order in which a failure is cheapest to find.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repo::Repo;
use crate::{dashboard, fresh, fuzz, guide, instructions, process, purity, schema, tidy};

/// A named check.
struct Step {
    name: &'static str,
    run: fn(&Repo) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "lock file",
        run: |repo| cargo(repo, &["fetch", "--locked", "--quiet"]),
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "tidy",
        run: |repo| tidy::run(repo, &[]),
    },
    Step {
        name: "tests, as the README says",
        run: readme_tests,
    },
    Step {
        name: "python client",
        run: python,
    },
    Step {
        name: "tools and benches run",
        run: tools_and_benches,
    },
    Step {
        name: "dashboard",
        run: |repo| dashboard::run(repo, &[]),
    },
    Step {
        name: "documentation",
        run: documentation,
    },
    Step {
        name: "licences, bans, sources",
        run: deny,
    },
    Step {
        name: "simulator seeds",
        run: simulator,
    },
    Step {
        name: "purity",
        run: |repo| purity::run(repo, &[]),
    },
    Step {
        name: "fresh project",
        run: |repo| fresh::run(repo, &[]),
    },
    Step {
        name: "schema",
        run: |repo| schema::run(repo, &[]),
    },
    Step {
        name: "fuzzing",
        run: |repo| fuzz::run(repo, &["10".to_owned()]),
    },
];

/// Checks that are asked for by name, so that the others take less than twenty minutes.
const ON_REQUEST: &[Step] = &[
    Step {
        name: "instructions",
        run: |repo| instructions::run(repo, &[]),
    },
    Step {
        name: "torture",
        run: torture,
    },
    Step {
        name: "otlp",
        run: otlp,
    },
];

/// Runs all steps, or those whose name holds the first argument, then the ones on request too.
///
/// # Errors
/// The first step that fails, by name, with its reason.
pub(crate) fn run(repo: &Repo, arguments: &[String]) -> Result<()> {
    let wanted = arguments.first().map_or("", String::as_str);
    let on_request = ON_REQUEST.iter().filter(|_| !wanted.is_empty());
    let steps: Vec<&Step> = STEPS
        .iter()
        .chain(on_request)
        .filter(|step| step.name.contains(wanted))
        .collect();
    if steps.is_empty() {
        let all = STEPS.iter().chain(ON_REQUEST);
        let names: Vec<&str> = all.map(|step| step.name).collect();
        bail!("no step holds {wanted:?}; there are: {}", names.join("; "));
    }
    let start = Instant::now();
    let mut durations = Vec::new();
    for step in steps {
        println!("\n== {}", step.name);
        let start = Instant::now();
        (step.run)(repo).with_context(|| format!("step {:?} failed", step.name))?;
        durations.push((step.name, start.elapsed()));
        println!("== {}: passed in {}", step.name, seconds(start.elapsed()));
    }
    println!();
    for (name, duration) in &durations {
        println!("{:>9}  {name}", seconds(*duration));
    }
    println!("{:>9}  in all", seconds(start.elapsed()));
    println!("\nsteps: {} passed, 0 failed", durations.len());
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn cargo(repo: &Repo, arguments: &[&str]) -> Result<()> {
    process::run(&mut process::cargo(repo.root(), arguments))
}

/// The fuzz target is a workspace of its own.
fn format(repo: &Repo) -> Result<()> {
    cargo(repo, &["fmt", "--all", "--check"])?;
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    cargo(repo, &fuzz)
}

fn clippy(repo: &Repo) -> Result<()> {
    let all = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--quiet",
    ];
    cargo(repo, &[&all[..], &["--", "-D", "warnings"]].concat())
}

/// Tests at a time, at least.
const TESTS_MIN: usize = 4;

/// The README's own second command, word for word.
fn readme_tests(repo: &Repo) -> Result<()> {
    let [run, test] = first_commands(&repo.read("README.md")?)?;
    if run != "cargo run --bin ck -- dev" || test != "cargo test" {
        bail!("the README starts with `{run}` and `{test}`; a newcomer needs no more than cargo");
    }
    let mut shell = Command::new("sh");
    shell
        .current_dir(repo.root())
        .args(["-c", &test])
        .stdin(Stdio::null());
    // Tests of real processes mostly wait, for leases above all: a small machine does more at a time.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < TESTS_MIN {
        shell.env("RUST_TEST_THREADS", TESTS_MIN.to_string());
    }
    process::run(&mut shell)
}

/// The two lines of the README's first `sh` block, comments cut off.
fn first_commands(readme: &str) -> Result<[String; 2]> {
    let block = guide::blocks(readme, "sh").into_iter().next();
    let block = block.context("the README has no ```sh block")?;
    let lines = block
        .lines()
        .map(|line| line.split('#').next().unwrap_or(line).trim());
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let count = lines.len();
    lines.try_into().map_err(|_| {
        anyhow::anyhow!("the README's first ```sh block has {count} commands; it must have two")
    })
}

/// What plain `cargo test` leaves out: the packages that do not ship. Benches run once, unmeasured.
fn tools_and_benches(repo: &Repo) -> Result<()> {
    cargo(repo, &["test", "--locked", "--quiet", "-p", "xtask"])?;
    cargo(
        repo,
        &[
            "test",
            "--locked",
            "--quiet",
            "-p",
            "benches",
            "--all-targets",
        ],
    )
}

/// The client in Python against its vectors and servers that misbehave; `ck-kv`'s tests have it live.
fn python(repo: &Repo) -> Result<()> {
    let version = ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"];
    let probe = process::capture(Command::new("python3").args(version));
    if !probe.is_ok_and(|probe| probe.success) {
        println!("skipped: there is no python3 of 3.9 or later");
        return Ok(());
    }
    let mut tests = Command::new("python3");
    tests
        .args(["-m", "unittest", "discover", "clients/python/tests"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(repo.root())
        .stdin(Stdio::null());
    process::run(&mut tests)
}

fn documentation(repo: &Repo) -> Result<()> {
    let arguments = ["doc", "--locked", "--workspace", "--no-deps", "--quiet"];
    let mut doc = process::cargo(repo.root(), &arguments);
    process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Optimised, so that the seeds take seconds: every rule that can be broken is broken and noticed, and
/// 20,000 seeds pass.
fn simulator(repo: &Repo) -> Result<()> {
    let run = [
        "run",
        "--release",
        "--locked",
        "--quiet",
        "-p",
        "ck-sim",
        "--features",
        "planted-bugs",
        "--",
    ];
    cargo(repo, &[&run[..], &["--planted"]].concat())?;
    cargo(repo, &[&run[..], &["--seeds", "20000"]].concat())
}

/// Real processes of the key-value store while everything goes wrong: what its clients saw was possible,
/// and with a bug switched on it was not.
fn torture(repo: &Repo) -> Result<()> {
    let features = ["--features", "ck-kv/planted"];
    let packages = [
        "build", "--locked", "--quiet", "-p", "ck-kv", "-p", "ck-load",
    ];
    cargo(repo, &[&packages[..], &features].concat())?;
    let built = repo.metadata()?.target_directory.join("debug");
    let run = |planted: &str, flags: &[&str]| {
        let mut torture = Command::new(built.join("ck-load"));
        // Built without optimisation and beside whatever else runs, they take their time to settle.
        torture.args(["torture", "--seconds", "20", "--settle", "120s", "--kv"]);
        torture.arg(built.join("ck-kv")).args(flags);
        torture.args(["--", "--partitions", "16"]);
        process::run(torture.env("CK_KV_PLANTED", planted))
    };
    run("", &["--gentle"])?;
    for kind in ["stale-read", "lost-write"] {
        run(kind, &["--expect", kind])?;
    }
    Ok(())
}

/// What is not built by default: spans to a collector, `ck` with them included.
fn otlp(repo: &Repo) -> Result<()> {
    let packages = [
        "--locked",
        "--quiet",
        "-p",
        "ck-serve",
        "-p",
        "ck-cli",
        "--features",
        "otlp",
    ];
    let lint = ["--all-targets", "--", "-D", "warnings"];
    cargo(repo, &[&["clippy"], &packages[..], &lint].concat())?;
    let test = [
        "test",
        "--locked",
        "--quiet",
        "-p",
        "ck-serve",
        "--features",
        "otlp",
    ];
    cargo(repo, &[&test[..], &["--lib", "--test", "otlp"]].concat())
}

/// The advisory database is left out: it needs a network, and a check has to repeat itself.
fn deny(repo: &Repo) -> Result<()> {
    let check = ["deny", "--locked", "check", "--hide-inclusion-graph"];
    cargo(
        repo,
        &[&check[..], &["bans", "licenses", "sources"]].concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_must_start_with_two_commands() {
        let two = first_commands("# A\n```sh\na   # b\n\nc\n```\n```sh\nd\n```\n").unwrap();
        assert_eq!(two, ["a", "c"]);
        let three = first_commands("```sh\na\nb\nc\n```\n").unwrap_err();
        assert!(three.to_string().contains("has 3 commands"), "{three}");
        assert!(first_commands("# A\n").is_err());
    }

    #[test]
    fn step_that_is_not_there_is_refused_with_the_list() {
        let error = run(&Repo::open().unwrap(), &["nonsense".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("purity; fresh project"),
            "{error}"
        );
    }
}
