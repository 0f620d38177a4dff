//! Every package takes the workspace's lints, and every clippy.toml the root's thresholds.

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
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let files: Vec<File> = files.iter().map(file).collect();
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
}
