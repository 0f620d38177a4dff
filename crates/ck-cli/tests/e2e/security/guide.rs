//! The cluster that the guide on security makes.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::EVERYTHING;
use crate::support::{BOUND, Process, ck, ports};

/// The guide, with ports and a lease of the test's.
pub(super) struct Guide {
    text: String,
    pub(super) ports: u16,
    directory: tempfile::TempDir,
}

impl Guide {
    pub(super) fn new() -> Self {
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security.md");
        Self {
            text: std::fs::read_to_string(text).unwrap(),
            ports: ports::block(3),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// What is in its blocks of a language, with the ports of the test.
    pub(super) fn blocks(&self, language: &str) -> String {
        let fence = format!("```{language}\n");
        let blocks = self.text.split(&fence).skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
        let mut all = blocks.collect::<String>();
        for at in 0..3 {
            all = all.replace(&(8080 + at).to_string(), &(self.ports + at).to_string());
        }
        all
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = ck();
        let words = line.split_whitespace().skip(1);
        command.args(words).current_dir(self.directory.path());
        command
    }

    pub(super) fn start(&self, line: &str) -> Process {
        let mut command = self.command(line);
        command.env(EVERYTHING[0], EVERYTHING[1]);
        Process::start(command)
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(super) fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    #[track_caller]
    pub(super) fn done(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the commands that end, and gives the nodes that were started.
    pub(super) fn follow(&self) -> Vec<Process> {
        let settings = format!("profile = \"fast\"\n{}", self.blocks("toml"));
        std::fs::write(self.file("cluster.toml"), settings).unwrap();
        std::fs::write(self.file("tokens"), self.blocks("text")).unwrap();
        let mut nodes = Vec::new();
        for line in self.blocks("sh").lines() {
            if line.starts_with("ck serve ") {
                nodes.push(self.start(line));
                continue;
            }
            if !line.starts_with("ck cert ") {
                for (node, name) in nodes.iter().zip(["node-1", "node-2", "node-3"]) {
                    node.wait_for_text(&format!("{name} is ready"), BOUND);
                }
            }
            self.done(line);
        }
        nodes
    }

    /// How all nodes but node-2 are reached.
    pub(super) fn reach(&self) -> String {
        let (one, three) = (self.ports, self.ports + 2);
        format!(
            "--server https://127.0.0.1:{one},https://127.0.0.1:{three} --ca certs/ca.pem \
             --token-file tokens"
        )
    }
}
