//! What only C can do: libraries to preload, and a program that holds devices.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The sources, by name. They come along with whichever package's tests include this file.
const SOURCES: [(&str, &str); 3] = [
    ("clocks", include_str!("clocks.c")),
    ("power_loss", include_str!("power_loss.c")),
    ("switch", include_str!("switch.c")),
];

fn cc(flags: &[&str], name: &str, output: PathBuf) -> PathBuf {
    let source = SOURCES.iter().find(|(known, _)| *known == name);
    let (_, text) = source.unwrap_or_else(|| panic!("there is no {name}.c"));
    let source = output.with_extension("c");
    std::fs::write(&source, text).expect("the folder can be written");
    let built = Command::new("cc")
        .args(flags)
        .args([Path::new("-o"), &output, &source])
        .status()
        .expect("cc is there: the Rust toolchain links with it");
    assert!(built.success(), "cc failed on {name}.c");
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
