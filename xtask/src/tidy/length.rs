//! Files short enough to be read in one sitting. Function length is clippy's `too_many_lines`.

use super::Violation;
use crate::repo::File;

/// Longest Rust file, in lines, tests included.
const LINES_MAX: usize = 400;

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    let lines = file.text.lines().count();
    if file.path.ends_with(".rs") && lines > LINES_MAX {
        let message = format!("{lines} lines, {LINES_MAX} allowed; split it along a concern");
        found.push(Violation::at(file, 0, message));
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn file_of_401_lines_is_refused() {
        let text = "\n".repeat(401);
        let expected = ["a.rs: 401 lines, 400 allowed; split it along a concern"];
        assert_eq!(found_by(check, "a.rs", &text), expected);
        assert_eq!(found_by(check, "a.rs", &text[1..]), [""; 0]);
        assert_eq!(found_by(check, "a.json", &text), [""; 0]);
    }
}
