//! The snapshot guide, followed to the letter: a new project, `ck-core` its only dependency.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::repo::Repo;
use crate::tidy::tree;
use crate::{guide, process};

const GUIDE: &str = "docs/snapshot-testing.md";

/// Makes the project in the target folder, runs the guide's test, and looks through its tree.
///
/// # Errors
/// When the guide has no test, the test fails, or the tree holds a runtime.
pub(crate) fn run(repo: &Repo, _arguments: &[String]) -> Result<()> {
    let test = test_of(&repo.read(GUIDE)?)?;
    let project = repo.metadata()?.target_directory.join("fresh");
    // Of an earlier run, snapshots included: the project has to be new.
    for leftover in ["src", "tests"] {
        let folder = project.join(leftover);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
    }
    let core = repo.root().join("crates/ck-core");
    let manifest = format!(
        "[package]\nname = \"fresh\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nck-core = {{ path = \"{}\" }}\n\n[dev-dependencies]\ninsta = \"1\"\n",
        core.display()
    );
    fs::write(project.join("Cargo.toml"), manifest)?;
    fs::write(project.join("src/lib.rs"), "")?;
    fs::write(project.join("tests/guide.rs"), test)?;
    fs::copy(repo.root().join("Cargo.lock"), project.join("Cargo.lock"))?;

    process::run(&mut process::cargo(
        &project,
        &["test", "--quiet", "--offline"],
    ))
    .with_context(|| format!("the test of {GUIDE} fails in a new project"))?;
    let names = tree::names_below(&project, "fresh")?;
    let forbidden: Vec<&String> = names
        .iter()
        .filter(|name| tree::is_forbidden(name))
        .collect();
    ensure!(
        forbidden.is_empty(),
        "a project with ck-core alone links {forbidden:?}"
    );
    println!(
        "fresh: the guide's test passes; in its tree: {}",
        names.join(", ")
    );
    Ok(())
}

/// The one `rust` block that is a test.
fn test_of(guide: &str) -> Result<String> {
    let blocks = guide::blocks(guide, "rust");
    let test = blocks.into_iter().find(|block| block.contains("#[test]"));
    test.with_context(|| format!("{GUIDE} has no ```rust block with a #[test]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guide_without_a_test_is_refused() {
        let refused = test_of("```rust\nlet x = 1;\n```\n").unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("no ```rust block with a #[test]")
        );
        assert!(test_of("```rust\n#[test]\nfn a() {}\n```\n").is_ok());
    }
}
