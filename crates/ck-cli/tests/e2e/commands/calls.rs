//! Commands that are run, written down with their flags.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use super::tree::tree;
use crate::support::{ck, output_of, said};

/// Commands of which each flag is to be run.
pub(super) type Group = &'static [&'static str];

/// What was run so far.
pub(super) struct Calls {
    group: Group,
    /// Flags that every command of the group gets, such as where the servers are.
    pub(super) common: Vec<String>,
    ran: BTreeSet<(String, String)>,
}

impl Calls {
    pub(super) fn of(group: Group) -> Self {
        Self {
            group,
            common: Vec::new(),
            ran: BTreeSet::new(),
        }
    }

    /// The flags of a call, with those that are common.
    pub(super) fn line<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let common = self.common.iter().map(String::as_str);
        args.iter().copied().chain(common).collect()
    }

    /// Writes down what was run.
    pub(super) fn ran(&mut self, args: &[&str]) {
        let length = match args {
            ["custom" | "cert", ..] => 2,
            _ => 1,
        };
        let command = args[..length].join(" ");
        for flag in args.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or_default();
            self.ran.insert((command.clone(), flag.to_owned()));
        }
    }

    /// Runs a command as in a pipe of a terminal that knows colours.
    #[track_caller]
    pub(super) fn call(&mut self, args: &[&str], input: &[u8]) -> Output {
        let line: Vec<String> = self.line(args).into_iter().map(str::to_owned).collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut command = ck();
        command
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .args(&line);
        let output = output_of(command, input);
        for stream in [&output.stdout, &output.stderr] {
            assert!(!stream.contains(&0x1b), "colour in a pipe: ck {line:?}");
        }
        // What is refused for its flags has not used them.
        if output.status.code() != Some(2) {
            self.ran(&line);
        }
        output
    }

    /// One document, and nothing beside it.
    #[track_caller]
    pub(super) fn json(&mut self, args: &[&str]) -> Value {
        self.json_of(args, b"")
    }

    /// The same, with something on standard input.
    #[track_caller]
    pub(super) fn json_of(&mut self, args: &[&str], input: &[u8]) -> Value {
        let output = self.call(&[args, &["--json"]].concat(), input);
        assert_eq!(
            output.status.code(),
            Some(0),
            "ck {args:?}: {}",
            said(&output)
        );
        assert!(output.stderr.is_empty(), "ck {args:?}: {}", said(&output));
        document(&output.stdout, args)
    }

    /// Text for a person, that fits a pager and holds each part.
    #[track_caller]
    pub(super) fn text(&mut self, args: &[&str], parts: &[&str]) -> String {
        let output = self.call(args, b"");
        assert_eq!(
            output.status.code(),
            Some(0),
            "ck {args:?}: {}",
            said(&output)
        );
        let text = String::from_utf8(output.stdout).expect("it is text");
        let narrow = |line: &str| line.chars().count() <= 100;
        assert!(text.lines().all(narrow), "ck {args:?} is too wide: {text}");
        for part in parts {
            assert!(
                text.contains(part),
                "ck {args:?}: {part:?} is not in\n{text}"
            );
        }
        text
    }

    /// A failure: its exit code, its code for programs, and parts of its message, in both forms.
    #[track_caller]
    pub(super) fn fails(&mut self, args: &[&str], exit: i32, code: &str, parts: &[&str]) {
        let output = self.call(&[args, &["--json"]].concat(), b"");
        assert_eq!(
            output.status.code(),
            Some(exit),
            "ck {args:?}: {}",
            said(&output)
        );
        let error = document(&output.stderr, args)["error"].clone();
        assert_eq!(error["code"], code, "ck {args:?}: {error}");
        for field in ["message", "field", "value"] {
            assert!(error.get(field).is_some(), "ck {args:?}: {error}");
        }
        let message = error["message"].as_str().expect("a message");
        let plain = self.call(args, b"");
        assert_eq!(
            plain.status.code(),
            Some(exit),
            "ck {args:?}: {}",
            said(&plain)
        );
        let plain = said(&plain);
        assert!(plain.starts_with("error: "), "ck {args:?}: {plain}");
        for part in parts {
            assert!(
                message.contains(part),
                "ck {args:?}: {part:?} is not in {message}"
            );
            assert!(
                plain.contains(part),
                "ck {args:?}: {part:?} is not in {plain}"
            );
        }
    }

    /// Fails unless every flag of the group's commands was run.
    #[track_caller]
    pub(super) fn assert_complete(&self) {
        let all = self.group.iter().flat_map(|command| {
            let flags = tree().get(*command);
            let flags = flags.unwrap_or_else(|| panic!("there is no command {command}"));
            flags.iter().map(|flag| (command.to_string(), flag.clone()))
        });
        let missing: Vec<String> = all
            .filter(|one| !self.ran.contains(one))
            .map(|(command, flag)| format!("{command} {flag}"))
            .collect();
        assert!(missing.is_empty(), "no call above runs {missing:#?}");
    }
}

#[track_caller]
fn document(bytes: &[u8], args: &[&str]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(bytes);
        panic!("ck {args:?} is no single document: {error}: {text}")
    })
}
