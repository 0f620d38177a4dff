//! The whole tree below the pure crates: nothing in it runs tasks, opens sockets or draws numbers.

use anyhow::Result;

use super::{Violation, crates};
use crate::process;
use crate::repo::Repo;

const FORBIDDEN: &[&str] = &[
    "tokio",
    "mio",
    "hyper",
    "socket2",
    "rand",
    "rand_core",
    "getrandom",
    "fastrand",
    "libc",
    "rustix",
    "nix",
    "async-std",
    "smol",
    "futures-executor",
    "web-time",
    "chrono",
    "time",
];

pub(super) fn check(repo: &Repo, found: &mut Vec<Violation>) -> Result<()> {
    for package in crates::PURE {
        for name in names_below(repo.root(), package)? {
            if is_forbidden(&name) {
                let message = format!("{name} is in its tree (`cargo tree -e normal -i {name}`)");
                found.push(Violation::of(package, message));
            }
        }
    }
    Ok(())
}

/// Names of all crates that are linked into `package`, itself included.
///
/// # Errors
/// When cargo fails.
pub(crate) fn names_below(directory: &std::path::Path, package: &str) -> Result<Vec<String>> {
    let arguments = [
        "tree", "--edges", "normal", "--prefix", "none", "--format", "{lib}", "-p", package,
    ];
    let text = process::output(&mut process::cargo(directory, &arguments))?;
    // `(*)` marks a crate whose own tree was printed before.
    let libraries = text
        .split_whitespace()
        .filter(|word| !word.starts_with('('));
    let mut names: Vec<String> = libraries.map(|lib| lib.replace('_', "-")).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether a pure tree must not hold this crate; `-` and `_` are the same.
pub(crate) fn is_forbidden(name: &str) -> bool {
    FORBIDDEN
        .iter()
        .any(|forbidden| forbidden.replace('_', "-") == name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_in_a_pure_tree_is_refused() {
        assert!(is_forbidden("tokio") && is_forbidden("rand-core") && is_forbidden("rand_core"));
        assert!(!is_forbidden("serde"));
    }

    #[test]
    fn tree_of_this_very_package_is_read() {
        let repo = Repo::open().unwrap();
        let names = names_below(repo.root(), "xtask").unwrap();
        assert!(names.iter().any(|name| name == "anyhow"), "{names:?}");
    }
}
