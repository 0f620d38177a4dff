//! Just enough of Rust's grammar to tell code from comments, strings and tests.

use std::ops::Range;

/// `text` with comments and the contents of literals blanked out, line breaks kept: same length in
/// characters, same lines, so that positions carry over.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
            continue;
        }
        code.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    code
}

/// End of the comment or literal that starts at `at`; `at` itself when none does.
fn skip(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => at + block_comment(rest),
        ['"', ..] => at + string(rest),
        ['r', '"' | '#', ..] if !follows_word(chars, at) => at + raw_string(rest),
        ['\'', ..] => at + character(rest),
        _ => at,
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    // `br"` and `cr"` are raw strings, too; the letter before them then stays as code.
    at > 0 && is_word(chars[at - 1]) && !matches!(chars[at - 1], 'b' | 'c')
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"…"` or `r#"…"#`; 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    let body = 2 + hashes;
    let found = rest[body..]
        .windows(close.len())
        .position(|window| window == close);
    found.map_or(rest.len(), |found| body + found + close.len())
}

/// Length of a character literal; 0 for a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            3 + tail
                .iter()
                .position(|c| *c == '\'')
                .map_or(tail.len(), |end| end + 1)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// Letters, digits and `_`.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Identifiers and numbers of a line of code.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// Lines (from 0) under `#[cfg(test)]`, in text that [`code_only`] gave.
pub(crate) fn test_lines(code: &str) -> Vec<Range<usize>> {
    let lines: Vec<&str> = code.lines().collect();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let inside = ranges.last().is_some_and(|range| range.contains(&start));
        if !inside && line.contains("#[cfg(test)]") {
            ranges.push(start..end_of_item(&lines, start));
        }
    }
    ranges
}

/// The line after the item that starts at `start`: after its `;` or its matching brace.
fn end_of_item(lines: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    for (number, line) in lines.iter().enumerate().skip(start) {
        let line = if number == start {
            line.trim_start_matches("#[cfg(test)]")
        } else {
            line
        };
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth <= 1 => return number + 1,
                '}' => depth -= 1,
                ';' if depth == 0 => return number + 1,
                _ => {}
            }
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(
            code_only(text)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            code
        );
        assert_eq!(code_only(text).chars().count(), text.chars().count());
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b\" // c") d"#, "a( ) d");
        check("a(r#\"b \" c\"#) d", "a( ) d");
        check("let x = br\"y\";", "let x = b ;");
        check("'a' 'b: &'c str '\\n' '\\u{1F}' d", "'b: &'c str d");
        check("r#type for_r\"x\"", "r#type for_r");
    }

    #[test]
    fn lines_stay_where_they_were() {
        assert_eq!(code_only("a\n\"b\nc\"\nd").lines().nth(3), Some("d"));
    }

    #[test]
    fn test_modules_end_at_their_brace() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { {} }\n}\nfn c() {}\n";
        assert_eq!(test_lines(code).first(), Some(&(1..5)));
        let declared = test_lines("#[cfg(test)]\nmod tests;\nfn c() {}\n");
        assert_eq!(declared.first(), Some(&(0..2)));
        assert_eq!(test_lines("fn c() {}\n"), []);
    }
}
