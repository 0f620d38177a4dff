//! What `ck serve` prints: a line when it listens, a line when it is ready.

use std::io;

use ck_node::Handle;
use serde::Serialize;

use super::settings::Settings;
use crate::exit::Done;
use crate::output::{Output, count};

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
pub(super) fn listening(settings: &Settings, http: &str, node: &Handle, output: Output) -> Done {
    let peer = node.peer_address();
    let data = settings.data.display().to_string();
    let event = Event::Listening {
        node: settings.id.as_str(),
        http,
        peer: &peer,
        data: data.clone(),
        pid: std::process::id(),
    };
    output.show(&event, |out| {
        writeln!(
            out,
            "{} listens: http {http}, peers {peer}, data {data}",
            settings.id
        )
    })
}

/// Says that the node serves.
pub(super) fn ready(node: &Handle, output: Output) -> Done {
    let nodes = node.nodes().len();
    let partitions = node.table().map_or(0, |table| table.partitions());
    let id = node.node_id().as_str();
    output.show(
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
pub(super) fn stopped(node: &Handle, clean: bool, output: Output) -> Done {
    let id = node.node_id().as_str();
    output.show(
        &Event::Stopped { node: id, clean },
        |out: &mut dyn io::Write| {
            let how = if clean {
                "stays a member"
            } else {
                "the cluster could not be told"
            };
            writeln!(out, "{id} has stopped; {how}")
        },
    )
}
