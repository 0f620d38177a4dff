//! Files that nobody can read in a review: few, and each with a reason.

use super::Violation;
use crate::repo::File;

/// Golden bytes of a format, and pictures.
const ALLOWED: &[&str] = &[".bin", ".png", ".ico", ".woff2"];

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    if file.is_binary && !ALLOWED.iter().any(|end| file.path.ends_with(end)) {
        let message = format!("no text; only {} may be", ALLOWED.join(", "));
        found.push(Violation::at(file, 0, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloaded_package_is_refused_golden_bytes_are_not() {
        for (path, refused) in [("a/b.whl", 1), ("a", 1), ("tests/golden/a.bin", 0)] {
            let file = File {
                is_binary: true,
                ..File::of(path, "")
            };
            let mut found = Vec::new();
            check(&file, &mut found);
            assert_eq!(found.len(), refused, "{path}");
        }
    }
}
