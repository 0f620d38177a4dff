//! Rules that neither the compiler nor clippy knows. Each module is one family of rules, and each
//! rule has a test that shows it fire.

mod binary;
mod crates;
mod docs;
mod edges;
mod length;
mod manifests;
mod naming;
mod pure;
mod rooms;
pub(crate) mod tree;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::repo::{File, Repo};

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// File, or package, it was found in.
    place: String,
    /// Line, from 1; 0 when the whole place is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn at(file: &File, line: usize, message: String) -> Self {
        Self {
            place: file.path.clone(),
            line,
            message,
        }
    }

    fn of(place: &str, message: String) -> Self {
        Self {
            place: place.to_owned(),
            line: 0,
            message,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.message),
            line => write!(f, "{}:{line}: {}", self.place, self.message),
        }
    }
}

/// Rules that look at one file at a time.
const FILE_RULES: &[fn(&File, &mut Vec<Violation>)] = &[
    binary::check,
    length::check,
    words::check,
    naming::check,
    pure::check,
    rooms::check,
];

/// Prints every violation, then fails if there was one.
///
/// # Errors
/// When a rule is broken, or the checkout cannot be read.
pub(crate) fn run(repo: &Repo, _arguments: &[String]) -> Result<()> {
    let files = repo.files()?;
    let mut found = Vec::new();
    for file in &files {
        for rule in FILE_RULES {
            rule(file, &mut found);
        }
    }
    docs::check(repo.root(), &files, &mut found);
    manifests::check(&files, &mut found);
    let mut packages = repo.metadata()?.packages;
    packages.extend(repo.metadata_of("fuzz")?.packages);
    edges::check(&packages, &mut found);
    crates::check(&packages, &mut found);
    tree::check(repo, &mut found)?;
    for violation in &found {
        println!("{violation}");
    }
    if !found.is_empty() {
        bail!(
            "{} places break a rule; CONTRIBUTING.md gives the reasons",
            found.len()
        );
    }
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

/// Messages of one file rule, for tests.
#[cfg(test)]
fn found_by(rule: fn(&File, &mut Vec<Violation>), path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    rule(&File::of(path, text), &mut found);
    found.iter().map(ToString::to_string).collect()
}
