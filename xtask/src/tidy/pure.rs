//! The pure crates compute with integers alone: a float rounds differently from one machine, one
//! compiler, one order of additions to the next, and a table must not.

use super::Violation;
use crate::repo::File;
use crate::source;

const PURE: &[&str] = &["crates/ck-core/src/", "crates/ck-control/src/"];

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    let is_pure = PURE.iter().any(|start| file.path.starts_with(start));
    if !is_pure || !file.path.ends_with(".rs") {
        return;
    }
    for (number, line) in source::code_only(&file.text).lines().enumerate() {
        let typed = source::words(line).find(|word| {
            let suffix = word.starts_with(|c: char| c.is_ascii_digit());
            matches!(*word, "f32" | "f64")
                || (suffix && (word.ends_with("f32") || word.ends_with("f64")))
        });
        if typed.is_some() || has_float_literal(line) {
            let message = "a float in a pure crate; use integers or fixed point".to_owned();
            found.push(Violation::at(file, number + 1, message));
        }
    }
}

/// `1.5`, `1.` is not looked for; `pair.0.1` and `0..5` are no floats.
fn has_float_literal(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    (1..chars.len().saturating_sub(1)).any(|dot| {
        if chars[dot] != '.' || !chars[dot + 1].is_ascii_digit() {
            return false;
        }
        let digits = chars[..dot]
            .iter()
            .rev()
            .take_while(|c| source::is_word(**c))
            .count();
        let starts_with_digit = digits > 0 && chars[dot - digits].is_ascii_digit();
        let after_field = dot > digits && chars[dot - digits - 1] == '.';
        starts_with_digit && !after_field
    })
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    const PATH: &str = "crates/ck-core/src/a.rs";

    #[test]
    fn floats_are_refused() {
        for text in [
            "fn a(x: f64) {}",
            "x as f32",
            "let x = 1.5;",
            "let x = 1_f64;",
            "2e3f64",
        ] {
            assert_eq!(found_by(check, PATH, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn integers_ranges_and_fields_pass() {
        for text in [
            "pair.0.1",
            "0..5",
            "x.0",
            "// 1.5 f64",
            "\"1.5\"",
            "hex_f64_like",
        ] {
            assert_eq!(found_by(check, PATH, text), [""; 0], "{text}");
        }
        assert_eq!(found_by(check, "crates/ck-node/src/a.rs", "1.5"), [""; 0]);
    }
}
