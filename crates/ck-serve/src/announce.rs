//! What a service prints: a line when it listens, a line when it is ready, why it ended.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use ck_node::Handle;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::json;

use crate::error::ServeError;
use crate::settings::Settings;

/// The form of what is printed: results on standard output, errors on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Announce {
    /// A line for people each.
    #[default]
    Text,
    /// A JSON document on a line each.
    Json,
}

impl Announce {
    /// JSON when asked for.
    #[must_use]
    pub const fn json(asked_for: bool) -> Self {
        if asked_for { Self::Json } else { Self::Text }
    }

    /// Writes `value` as JSON, or what `text` writes.
    fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), ServeError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = match self {
            Self::Json => serde_json::to_writer(&mut out, value)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n")),
            Self::Text => text(&mut out),
        };
        written
            .and_then(|()| out.flush())
            .map_err(ServeError::Print)
    }
}

/// Says on standard error why a service ended, and gives the exit code of its process:
/// [`ServeError::exit_code`], or 0 when it was told to end.
pub fn report(done: Result<(), ServeError>, announce: Announce) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    let message = told(&error);
    let text = match announce {
        Announce::Text => format!("{} {message}", "error:".red().bold()),
        Announce::Json => json!({ "error": {
            "code": name(&error), "message": message, "field": null, "value": null,
        } })
        .to_string(),
    };
    // Nothing is left to be done when standard error is closed as well.
    let _ = writeln!(anstream::stderr(), "{text}");
    ExitCode::from(error.exit_code())
}

const fn name(error: &ServeError) -> &'static str {
    match error.exit_code() {
        2 => "usage",
        4 => "refused",
        _ => "failed",
    }
}

/// The error and its causes in one line, without causes that their effect has told already.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        at = cause.source();
    }
    text
}

/// `1 node`, `2 nodes`.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    /// Both sockets are open and the data is locked.
    Listening {
        node: &'a str,
        http: &'a str,
        peer: &'a str,
        data: String,
        pid: u32,
    },
    /// It takes part in the cluster, and the partitions exist.
    Ready {
        node: &'a str,
        nodes: usize,
        partitions: u32,
    },
    /// It was told to stop, and has.
    Stopped { node: &'a str, clean: bool },
}

/// Says that the sockets are open.
pub(crate) fn listening(
    settings: &Settings,
    http: &str,
    node: &Handle,
    announce: Announce,
) -> Result<(), ServeError> {
    let peer = node.peer_address();
    let data = settings.data.display().to_string();
    let event = Event::Listening {
        node: settings.id.as_str(),
        http,
        peer: &peer,
        data: data.clone(),
        pid: std::process::id(),
    };
    let protection = &settings.protection;
    let scheme = protection.server.as_ref().map_or("http", |_| "https");
    let proved = protection.peers.as_ref().map_or("", |_| " by certificate");
    announce.show(&event, |out| {
        writeln!(
            out,
            "{} listens: {scheme} {http}, peers {peer}{proved}, data {data}",
            settings.id
        )
    })
}

/// Says that the node serves.
pub(crate) fn ready(node: &Handle, announce: Announce) -> Result<(), ServeError> {
    let nodes = node.nodes().len();
    let partitions = node.table().map_or(0, |table| table.partitions());
    let id = node.node_id().as_str();
    announce.show(
        &Event::Ready {
            node: id,
            nodes,
            partitions,
        },
        |out| {
            let nodes = count(nodes as u64, "node", "nodes");
            let partitions = count(partitions.into(), "partition", "partitions");
            writeln!(out, "{id} is ready: {nodes}, {partitions}")
        },
    )
}

/// Says that the node has stopped.
pub(crate) fn stopped(node: &Handle, clean: bool, announce: Announce) -> Result<(), ServeError> {
    let id = node.node_id().as_str();
    announce.show(
        &Event::Stopped { node: id, clean },
        |out: &mut dyn Write| {
            let how = if clean {
                "stays a member"
            } else {
                "the cluster could not be told"
            };
            writeln!(out, "{id} has stopped; {how}")
        },
    )
}
