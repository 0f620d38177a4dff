//! The checkout: its root, its files, and what cargo says of its packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The checkout this program was built from.
pub(crate) struct Repo {
    root: PathBuf,
}

/// One file under version control, or new and not ignored.
pub(crate) struct File {
    /// Path from the root, with forward slashes.
    pub(crate) path: String,
    /// What is in it; empty when that is no text.
    pub(crate) text: String,
    pub(crate) is_binary: bool,
}

#[cfg(test)]
impl File {
    /// A text file, for tests of rules.
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            is_binary: false,
        }
    }
}

/// `cargo metadata`, the fields read here.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// A package of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as the manifest states it.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` is a normal one; else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Where it lies when it is a path dependency.
    #[serde(default)]
    pub(crate) path: Option<PathBuf>,
}

impl Repo {
    /// The workspace this program belongs to, wherever it is called from.
    ///
    /// # Errors
    /// When the program outlived its checkout.
    pub(crate) fn open() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .context("xtask lies in a workspace")?
            .to_path_buf();
        anyhow::ensure!(
            root.join("Cargo.toml").is_file(),
            "no Cargo.toml in {}",
            root.display()
        );
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file git knows or would add.
    ///
    /// # Errors
    /// When git fails or a file cannot be read.
    pub(crate) fn files(&self) -> Result<Vec<File>> {
        let mut list = Command::new("git");
        list.current_dir(&self.root).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ]);
        let mut files = Vec::new();
        for path in process::output(&mut list)?
            .split('\0')
            .filter(|path| !path.is_empty())
        {
            let full = self.root.join(path);
            // Listed, yet deleted and not committed so.
            if !full.is_file() {
                continue;
            }
            let bytes = std::fs::read(&full).with_context(|| format!("reading {path}"))?;
            let text = String::from_utf8(bytes);
            let (text, is_binary) = text.map_or((String::new(), true), |text| (text, false));
            let path = path.to_owned();
            files.push(File {
                path,
                text,
                is_binary,
            });
        }
        Ok(files)
    }

    /// What cargo knows of the workspace's own packages.
    ///
    /// # Errors
    /// When a manifest is wrong.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        self.metadata_of("")
    }

    /// The same of a workspace in a folder of the checkout.
    ///
    /// # Errors
    /// When a manifest is wrong.
    pub(crate) fn metadata_of(&self, folder: &str) -> Result<Metadata> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1"];
        let json = process::output(&mut process::cargo(&self.root.join(folder), &arguments))?;
        serde_json::from_str(&json).context("reading `cargo metadata`")
    }

    /// Text of a file that has to be there.
    ///
    /// # Errors
    /// When it is missing or no text.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("reading {path}"))
    }
}
