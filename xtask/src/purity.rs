//! Proof that `ck-core` and `ck-control` need no standard library: see `xtask/purity/lib.rs`.
//!
//! The crate is written into the target folder, as a workspace of its own: a member of ours would
//! share features with crates that do use `std`, and would need `panic = "abort"` in our profiles.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::repo::Repo;

/// The compiler's word for "there are two panic handlers".
const TWO_PANIC_HANDLERS: &str = "E0152";

/// Builds the proof, then shows that it fails as it should once a crate below enables `std`.
///
/// # Errors
/// When the proof does not build, or builds although it must not.
pub(crate) fn run(repo: &Repo, _arguments: &[String]) -> Result<()> {
    let folder = repo.metadata()?.target_directory.join("purity");
    let pure = write(repo, &folder, "pure", "")?;
    process::run(&mut process::cargo(
        &pure,
        &["build", "--quiet", "--offline"],
    ))
    .context("a crate below ck-core or ck-control uses the standard library")?;
    println!("purity: ck-core and ck-control link without the standard library");

    let spoilt_by = "serde = { version = \"1\", default-features = false, features = [\"std\"] }\n";
    let spoilt = write(repo, &folder, "spoilt", spoilt_by)?;
    let build = &mut process::cargo(&spoilt, &["build", "--quiet", "--offline"]);
    let outcome = process::capture(build)?;
    ensure!(
        !outcome.success,
        "the proof builds even with serde's `std`; it proves nothing"
    );
    ensure!(
        outcome.stderr.contains(TWO_PANIC_HANDLERS),
        "the proof fails for another reason than {TWO_PANIC_HANDLERS}:\n{}",
        outcome.stderr
    );
    println!("purity: with serde's `std` it fails ({TWO_PANIC_HANDLERS}), as it must");
    Ok(())
}

/// Writes the proof with one more line of dependencies; gives its folder.
fn write(repo: &Repo, folder: &Path, name: &str, dependency: &str) -> Result<PathBuf> {
    let package = folder.join(name);
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), include_str!("../purity/lib.rs"))?;
    fs::write(
        package.join("Cargo.toml"),
        manifest(repo.root(), name, dependency),
    )?;
    // The same versions as everywhere else; cargo drops what is not needed.
    fs::copy(repo.root().join("Cargo.lock"), package.join("Cargo.lock"))?;
    Ok(package)
}

fn manifest(root: &Path, name: &str, dependency: &str) -> String {
    let crates = root.join("crates");
    let crates = crates.display();
    format!(
        "[package]\nname = \"purity-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[lib]\ncrate-type = [\"staticlib\"]\n\n\
         [profile.dev]\npanic = \"abort\"\ndebug = false\n\n\
         [dependencies]\nck-core = {{ path = \"{crates}/ck-core\" }}\n\
         ck-control = {{ path = \"{crates}/ck-control\" }}\n{dependency}"
    )
}
