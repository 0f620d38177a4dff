//! Every package takes the workspace's lints, every clippy.toml the root's thresholds, and every
//! version in the root manifest is somebody's.

use super::Violation;
use crate::repo::File;

pub(super) fn check(files: &[File], found: &mut Vec<Violation>) {
    let root = files.iter().find(|file| file.path == "clippy.toml");
    let shared = root.map(|file| settings(&file.text)).unwrap_or_default();
    for file in files {
        match file.path.rsplit('/').next() {
            Some("clippy.toml") => repeats(file, &shared, found),
            Some("Cargo.toml") if file.path != "Cargo.toml" => takes_lints(file, found),
            _ => {}
        }
    }
    if let Some(root) = files.iter().find(|file| file.path == "Cargo.toml") {
        versions_are_used(root, files, found);
    }
}

/// Each line below `[workspace.dependencies]` names a crate that some package takes from there.
fn versions_are_used(root: &File, files: &[File], found: &mut Vec<Violation>) {
    let packages = files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    let taken: Vec<&str> = packages
        .flat_map(|file| settings(&file.text))
        .map(|(key, _)| key)
        .collect();
    let lines = root.text.lines().enumerate();
    let list = lines
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1);
    for (number, line) in list.take_while(|(_, line)| !line.starts_with('[')) {
        let name = line.split_once('=').map(|(name, _)| name.trim());
        let Some(name) = name.filter(|name| !name.starts_with('#')) else {
            continue;
        };
        let dotted = format!("{name}.workspace");
        if !taken.iter().any(|key| *key == name || *key == dotted) {
            let message = format!("no package takes `{name}` from here; drop it");
            found.push(Violation::at(root, number + 1, message));
        }
    }
}

/// One-line settings: `key = value`, blanks around both dropped.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.trim(), value.trim()));
    pairs
        .filter(|(key, _)| !key.starts_with(['#', '{']))
        .collect()
}

fn repeats(file: &File, shared: &[(&str, &str)], found: &mut Vec<Violation>) {
    let own = settings(&file.text);
    for (key, value) in shared {
        if !own.contains(&(key, value)) {
            let message = format!("repeat the root's `{key} = {value}`, which this file replaces");
            found.push(Violation::at(file, 0, message));
        }
    }
}

fn takes_lints(file: &File, found: &mut Vec<Violation>) {
    let mut lines = file
        .text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]");
    if lines.nth(1) != Some("workspace = true") {
        let message = "no `[lints] workspace = true`; nothing would be checked in it".to_owned();
        found.push(Violation::at(file, 0, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File::of(path, text))
            .collect();
        let mut found = Vec::new();
        check(&files, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clippy_file_that_drops_a_threshold_is_refused() {
        let root = ("clippy.toml", "# a = b\nlines = 70\n");
        let found = found(&[
            root,
            ("crates/a/clippy.toml", ""),
            ("b/clippy.toml", "lines = 70"),
        ]);
        let expected =
            "crates/a/clippy.toml: repeat the root's `lines = 70`, which this file replaces";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn package_without_the_lints_is_refused() {
        let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(found(&[("a/Cargo.toml", good)]), [""; 0]);
        assert_eq!(
            found(&[("a/Cargo.toml", "[package]\nname = \"a\"\n")]).len(),
            1
        );
    }

    #[test]
    fn version_that_nobody_takes_is_refused() {
        let root = "[workspace.dependencies]\na = \"1\"\n# b = \"1\"\nc = { version = \"1\" }\n\n[x]\nd = 1";
        let package = "[lints]\nworkspace = true\n[dependencies]\nc = { workspace = true }\n";
        let found = found(&[("Cargo.toml", root), ("a/Cargo.toml", package)]);
        assert_eq!(
            found,
            ["Cargo.toml:2: no package takes `a` from here; drop it"]
        );
    }
}
