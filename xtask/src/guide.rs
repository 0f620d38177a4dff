//! Fenced blocks of a Markdown document, so that what a reader types is what the checks run.

/// Contents of every block fenced as `language`, in order.
///
/// The first word after the fence counts, so `rust,no_run` is not `rust`.
pub(crate) fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in markdown.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => {
                let wanted = info.split_whitespace().next() == Some(language);
                open = Some((wanted, String::new()));
            }
            (Some((wanted, text)), Some(_)) => {
                if *wanted {
                    blocks.push(std::mem::take(text));
                }
                open = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_language_alone_are_taken() {
        let text = "a\n```rust\none\n```\nb\n```sh\ntwo\n```\n```rust title\nthree\n\nfour\n```\n";
        assert_eq!(blocks(text, "rust"), ["one\n", "three\n\nfour\n"]);
        assert_eq!(blocks(text, "sh"), ["two\n"]);
        assert_eq!(blocks(text, "toml"), [""; 0]);
    }
}
