//! Names that say nothing, errors nobody can match on, and panics without a reason.

use super::Violation;
use crate::repo::File;
use crate::source;

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    if !file.path.ends_with(".rs") {
        return;
    }
    let code = source::code_only(&file.text);
    let tests = source::test_lines(&code);
    for (number, line) in code.lines().enumerate() {
        let mut say = |message: String| found.push(Violation::at(file, number + 1, message));
        let words: Vec<&str> = source::words(line).collect();
        if let Some(name) = getter(&words) {
            say(format!(
                "`{name}`: a getter is called what it gives, without `get_`"
            ));
        }
        if let Some(name) = vague_type(&words) {
            say(format!(
                "`{name}`: name the type after what it is, not Manager or Helper"
            ));
        }
        if line.contains("Other(String)") || line.contains("Message(String)") {
            say("an error of text alone cannot be matched on; give it a variant".to_owned());
        }
        let in_test = is_test(&file.path) || tests.iter().any(|range| range.contains(&number));
        if !in_test && line.contains(".unwrap()") {
            say("`.unwrap()` outside tests; return an error, or `expect` the invariant".to_owned());
        }
    }
}

/// Files compiled for tests and benches only.
pub(super) fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "benches" || part == "tests.rs")
}

/// A public function `get_…`; methods of foreign traits carry no `pub`.
fn getter<'a>(words: &[&'a str]) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == "fn")?;
    let name = *words.get(at + 1)?;
    (words[..at].contains(&"pub") && name.starts_with("get_")).then_some(name)
}

fn vague_type<'a>(words: &[&'a str]) -> Option<&'a str> {
    let at = words
        .iter()
        .position(|word| matches!(*word, "struct" | "enum" | "trait" | "type"))?;
    let name = *words.get(at + 1)?;
    (name.ends_with("Manager") || name.ends_with("Helper")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[track_caller]
    fn refused(path: &str, text: &str, part: &str) {
        let found = found_by(check, path, text);
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{text}: {found:?}"
        );
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        refused("src/a.rs", "pub fn get_node(&self) {}", "`get_node`");
        refused(
            "src/a.rs",
            "pub(crate) async fn get_node() {}",
            "`get_node`",
        );
        refused("src/a.rs", "struct NodeManager;", "`NodeManager`");
        refused("src/a.rs", "pub trait TableHelper {}", "`TableHelper`");
    }

    #[test]
    fn error_of_text_alone_is_refused() {
        refused(
            "src/a.rs",
            "enum E { Other(String) }",
            "cannot be matched on",
        );
    }

    #[test]
    fn unwrap_is_refused_outside_tests_only() {
        refused("src/a.rs", "a.unwrap();\n", "outside tests");
        for (path, text) in [
            ("src/a.rs", "#[cfg(test)]\nmod tests {\n a.unwrap();\n}\n"),
            ("src/a/tests.rs", "a.unwrap();"),
            ("tests/a.rs", "a.unwrap();"),
            ("src/a.rs", "/// a.unwrap();"),
            ("src/a.rs", "fn get_log_state() {} // of a foreign trait"),
        ] {
            assert_eq!(found_by(check, path, text), [""; 0]);
        }
    }
}
