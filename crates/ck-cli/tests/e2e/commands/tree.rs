//! The commands and flags there are, as their `--help` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::support::run;

/// The flags of each command, such as `custom set`, without `--help`.
pub(super) type Tree = BTreeMap<String, BTreeSet<String>>;

/// All of them, asked for once.
pub(super) fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut tree = Tree::new();
        grow(&mut tree, &[]);
        tree
    })
}

fn grow(tree: &mut Tree, path: &[&str]) {
    let help = help(path);
    let below = subcommands(&help);
    for name in &below {
        grow(tree, &[path, &[name.as_str()]].concat());
    }
    if below.is_empty() {
        tree.insert(path.join(" "), flags(&help));
    }
}

/// The help of a command, with what holds of every one.
#[track_caller]
fn help(path: &[&str]) -> String {
    let output = run(&[path, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "ck {path:?} --help");
    assert!(output.stderr.is_empty(), "ck {path:?} --help");
    let help = String::from_utf8(output.stdout).expect("help is text");
    assert!(
        help.contains("\nExample"),
        "ck {path:?} --help has no example"
    );
    let narrow = |line: &str| line.chars().count() <= 100;
    assert!(help.lines().all(narrow), "ck {path:?} --help is too wide");
    help
}

/// The lines of the list of commands that begin an entry.
fn subcommands(help: &str) -> Vec<String> {
    let list = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    let list = list.split("\n\n").next().unwrap_or_default();
    let entries = list.lines().filter_map(|line| line.strip_prefix("  "));
    entries
        .filter(|entry| !entry.starts_with(' '))
        .filter_map(|entry| entry.split(' ').next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// What stands at the beginning of a line, further to the left than what is told of it.
fn flags(help: &str) -> BTreeSet<String> {
    let indented = |line: &&str| line.starts_with("  ") && !line.starts_with("        ");
    let lines = help.lines().filter(indented).map(str::trim_start);
    // `-h, --help` has a short form before it.
    let lines = lines.map(|line| {
        line.split_once(", ")
            .filter(|(short, _)| short.len() == 2)
            .map_or(line, |(_, long)| long)
    });
    lines
        .filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split([' ', '=']).next())
        .filter(|flag| !matches!(*flag, "--help" | "--version"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn help_is_read_as_it_is_written() {
    let tree = tree();
    assert!(tree.len() > 40, "{:?}", tree.keys());
    for (command, flag) in [
        ("status", "--json"),
        ("drain", "--wait"),
        ("custom set", "--expected"),
        ("cert node", "--renew"),
        ("serve", "--no-auto-create"),
        ("recover", "--yes-i-accept-data-loss"),
    ] {
        assert!(
            tree[command].contains(flag),
            "{command} {flag}: {:?}",
            tree[command]
        );
    }
}
