//! Documents whose links lead somewhere, whose glossary has one entry a word, and whose decisions
//! are numbered and listed.

use std::path::{Component, Path, PathBuf};

use super::Violation;
use crate::repo::File;

pub(super) fn check(root: &Path, files: &[File], found: &mut Vec<Violation>) {
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        links(root, file, found);
    }
    if let Some(file) = files.iter().find(|file| file.path == "docs/glossary.md") {
        glossary(file, found);
    }
    decisions(files, found);
}

/// Relative links, the part before `#`; those to other hosts are not followed.
fn links(root: &Path, file: &File, found: &mut Vec<Violation>) {
    let mut in_code = false;
    for (number, line) in file.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split('#').next().unwrap_or(target);
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
            let path = flatten(&folder.join(target));
            if !path.is_some_and(|path| root.join(path).exists()) {
                let message = format!("link to {target}, which is not there");
                found.push(Violation::at(file, number + 1, message));
            }
        }
    }
}

/// The path without `.` and `..`; `None` when it leaves the repository.
fn flatten(path: &Path) -> Option<PathBuf> {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if flat.pop() => {}
            Component::Normal(name) => flat.push(name),
            _ => return None,
        }
    }
    Some(flat)
}

/// `- **word**, …` entries: each word once, in alphabetical order below its heading.
fn glossary(file: &File, found: &mut Vec<Violation>) {
    let mut seen: Vec<&str> = Vec::new();
    let mut last = "";
    for (number, line) in file.text.lines().enumerate() {
        if line.starts_with('#') {
            last = "";
        }
        let entry = line
            .strip_prefix("- **")
            .and_then(|rest| rest.split("**").next());
        let Some(word) = entry else { continue };
        if seen.contains(&word) {
            found.push(Violation::at(
                file,
                number + 1,
                format!("`{word}` is explained twice"),
            ));
        } else if word < last {
            let message = format!("`{word}` stands after `{last}`; sort the entries");
            found.push(Violation::at(file, number + 1, message));
        }
        seen.push(word);
        last = word;
    }
}

/// `docs/decisions/NNNN-title.md`, numbered without a gap from 0001, each linked in the README.
fn decisions(files: &[File], found: &mut Vec<Violation>) {
    let folder = "docs/decisions/";
    let list = files
        .iter()
        .find(|file| file.path == "docs/decisions/README.md");
    let records = files
        .iter()
        .filter_map(|file| Some((file, file.path.strip_prefix(folder)?)));
    let records = records.filter(|(_, name)| *name != "README.md");
    for (at, (file, name)) in records.enumerate() {
        let number = format!("{:04}-", at + 1);
        if !name.starts_with(&number) {
            let message = format!("expected number {number}…: no gap, no number twice");
            found.push(Violation::at(file, 0, message));
        }
        if !list.is_some_and(|list| list.text.contains(&format!("]({name})"))) {
            let message = "not linked in docs/decisions/README.md".to_owned();
            found.push(Violation::at(file, 0, message));
        }
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
        check(Path::new(env!("CARGO_MANIFEST_DIR")), &files, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn link_to_nothing_is_refused() {
        let text = "[a](src/main.rs#x) [b](https://host/x) [c](#d)\n[e](none.md) [f](../..)\n";
        let expected = [
            "A.md:2: link to none.md, which is not there",
            "A.md:2: link to ../.., which is not there",
        ];
        assert_eq!(found(&[("A.md", text)]), expected);
        assert_eq!(found(&[("docs/A.md", "[a](../src/main.rs)")]), [""; 0]);
        assert_eq!(found(&[("A.md", "```\n[a](none.md)\n```\n")]), [""; 0]);
    }

    #[test]
    fn glossary_has_one_sorted_entry_a_word() {
        let text = "# G\n- **b**: x\n- **a**: x\n## H\n- **b**: x\n";
        let expected = [
            "docs/glossary.md:3: `a` stands after `b`; sort the entries",
            "docs/glossary.md:5: `b` is explained twice",
        ];
        assert_eq!(found(&[("docs/glossary.md", text)]), expected);
    }

    #[test]
    fn decision_out_of_number_or_unlisted_is_refused() {
        let list = ("docs/decisions/README.md", "- see 0001-a.md\n");
        let files = [
            list,
            ("docs/decisions/0001-a.md", ""),
            ("docs/decisions/0003-b.md", ""),
        ];
        assert_eq!(found(&files).len(), 3);
    }
}
