//! What only C can do: libraries to preload, and a program that holds devices.

use std::path::{Path, PathBuf};
use std::process::Command;

fn cc(flags: &[&str], source: &str, output: PathBuf) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/support");
    let source = folder.join(source).with_extension("c");
    let built = Command::new("cc")
        .args(flags)
        .args([Path::new("-o"), &output, &source])
        .status()
        .expect("cc is there: the Rust toolchain links with it");
    assert!(built.success(), "cc failed on {}", source.display());
    output
}

/// Builds a library of that name to be preloaded.
pub(crate) fn preloaded(directory: &Path, name: &str) -> PathBuf {
    let library = directory.join(name).with_extension("so");
    cc(&["-O1", "-shared", "-fPIC"], name, library)
}

/// Builds a program of that name.
pub(crate) fn compiled(directory: &Path, name: &str) -> PathBuf {
    cc(&["-O1"], name, directory.join(name))
}
