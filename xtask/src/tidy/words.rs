//! Words that do not belong into this repository.
//!
//! The lists are written in halves, so that this file passes its own rule.

use super::{Violation, naming};
use crate::repo::File;
use crate::source;

/// Found anywhere, in any file but the lock file.
const ANYWHERE: &[(&str, &str, &str)] = &[
    (
        "/wo",
        "rk/",
        "a path of one machine; use a path inside the repository",
    ),
    ("/tm", "p/", "a path of one machine; tests take `tempfile`"),
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    (
        "crates",
        ".io",
        "a registry's host; cargo knows it by default",
    ),
    ("docs", ".rs/", "a registry's host; name the crate instead"),
    ("pypi", ".org", "a registry's host"),
    (
        "npmjs",
        ".org",
        "a registry's host; a lock file records no download address",
    ),
    (
        "../sha",
        "red",
        "outside the repository; copy what is needed into it",
    ),
    ("co-auth", "ored", "the project speaks of itself alone"),
    (
        "generated",
        " with",
        "the project speaks of itself alone; say what generates it and how",
    ),
    ("language", " model", "the project speaks of itself alone"),
    (
        "ownership",
        " issue",
        "speak of what is there, not of the work on it",
    ),
    (
        "planner",
        " issue",
        "speak of what is there, not of the work on it",
    ),
    (
        "this",
        " issue",
        "speak of what is there, not of the work on it",
    ),
    (
        "next",
        " issue",
        "speak of what is there, not of the work on it",
    ),
];

/// What a failure domain is never called, in code, flags and JSON.
const NEVER_A_DOMAIN: &str = concat!("zo", "ne");

/// Captured answers and golden inputs are kept as they came.
const CAPTURED: &[&str] = &["crates/ck-http/tests/seed/"];

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    if file.path == "Cargo.lock" || CAPTURED.iter().any(|start| file.path.starts_with(start)) {
        return;
    }
    let ends = [".rs", ".json", ".toml", ".ts", ".js"];
    // A test may show that the other word is refused.
    let is_code = ends.iter().any(|end| file.path.ends_with(end)) && !naming::is_test(&file.path);
    for (number, line) in file.text.lines().enumerate() {
        let lower = line.to_lowercase();
        for (head, tail, why) in ANYWHERE {
            let needle = [*head, *tail].concat();
            if lower.contains(&needle) {
                let message = format!("`{needle}`: {why}");
                found.push(Violation::at(file, number + 1, message));
            }
        }
        if is_code && line.split(|c| !source::is_word(c)).any(has_never_a_domain) {
            let message = format!("`{NEVER_A_DOMAIN}`: say `domain`, the one word for it");
            found.push(Violation::at(file, number + 1, message));
        }
    }
}

/// Whether a part of an identifier, in snake case or camel case, is the word or its plural.
fn has_never_a_domain(word: &str) -> bool {
    let mut parts = String::new();
    for c in word.chars() {
        if c.is_uppercase() {
            parts.push('_');
        }
        parts.extend(c.to_lowercase());
    }
    parts
        .split('_')
        .any(|part| part.strip_suffix('s').unwrap_or(part) == NEVER_A_DOMAIN)
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn every_word_of_the_list_is_refused_in_any_case() {
        for (head, tail, _) in ANYWHERE {
            let text = format!("a\nb {}{} c\n", head.to_uppercase(), tail);
            let found = found_by(check, "docs/a.md", &text);
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].starts_with("docs/a.md:2: "), "{found:?}");
        }
    }

    #[test]
    fn a_failure_domain_has_one_name() {
        for shape in ["?", "?s", "--?", "\"?\"", "my_?_id", "?Id"] {
            let text = shape.replace('?', NEVER_A_DOMAIN);
            assert_eq!(found_by(check, "a.rs", &text).len(), 1, "{text}");
            assert_eq!(found_by(check, "a.md", &text).len(), 0, "{text}");
        }
        let inside = ["o?", "?d"].map(|shape| shape.replace('?', NEVER_A_DOMAIN));
        assert_eq!(found_by(check, "a.rs", &inside.join(" ")).len(), 0);
    }

    #[test]
    fn captured_answers_are_left_alone() {
        let text = "crates.".to_owned() + "io";
        assert_eq!(
            found_by(check, "crates/ck-http/tests/seed/a.json", &text).len(),
            0
        );
        assert_eq!(found_by(check, "Cargo.lock", &text).len(), 0);
        assert_eq!(found_by(check, "Cargo.toml", &text).len(), 1);
    }
}
