//! A node is announced.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_core::NodeId;
use ck_node::{JoinRequest, Operation, Outcome};
use hyper::StatusCode;

use crate::body;
use crate::handlers::nodes::domain;
use crate::handlers::{ACTOR, formed};
use crate::reply::{Refused, done};
use crate::route::{Answer, Order};
use crate::surface::Core;
use crate::view::View;

/// Longest name for people, in bytes; the cluster refuses longer ones too, but later.
const NAME_BYTES_MAX: usize = 128;

pub(super) async fn join(core: Arc<Core>, order: Order) -> Answer {
    let view = formed(&core)?;
    let request: api::JoinRequest = body::parse(&order.body)?;
    let wanted = checked(&view, request)?;
    let outcome = core
        .backend
        .execute(Operation::Join(wanted), ACTOR.to_owned())
        .await?;
    let Outcome::Joined(joined) = outcome else {
        return Err(Refused::new(
            Code::Internal,
            "joining came to something else; report this",
        ));
    };
    let answer = api::JoinAnswer {
        success: true,
        message: "Node joined successfully".to_owned(),
        data: api::JoinData {
            cluster_id: joined.cluster_name,
            node_count: joined.members,
            node_id: joined.node.to_string(),
            member: joined.member.0,
        },
    };
    Ok(done(StatusCode::OK, Some(core.view().version()), &answer))
}

/// Checks what can be checked before anybody is dialled.
fn checked(view: &View, request: api::JoinRequest) -> Result<JoinRequest, Refused> {
    let api::JoinRequest {
        node,
        raft_addr,
        peer_addr,
        cluster,
        weight,
        domain: path,
        generation,
    } = request;
    let id: NodeId = node.id.parse().map_err(|error: ck_core::IdError| {
        wrong(Code::InvalidBody, "node.id", &node.id, error.to_string())
    })?;
    if node.name.len() > NAME_BYTES_MAX {
        let detail = format!(
            "`node.name` has {} bytes; at most {NAME_BYTES_MAX}",
            node.name.len()
        );
        return Err(wrong(Code::InvalidBody, "node.name", &node.name, detail));
    }
    let peer_address = peer_addr.or(raft_addr).ok_or_else(|| {
        let detail = "`peer_addr` is missing; give the address that its peers reach it at";
        Refused::from(Problem::new(Code::InvalidBody, detail).with_field("peer_addr"))
    })?;
    address("peer_addr", &peer_address)?;
    let http_address = match node.port {
        0 => node.ip,
        port => format!("{}:{port}", node.ip),
    };
    address("node.ip", &http_address)?;
    if weight == Some(0) {
        let detail = "`weight` 0 is not allowed; use 1 or more".to_owned();
        return Err(wrong(Code::InvalidBody, "weight", "0", detail));
    }
    let addresses = (peer_address.as_str(), http_address.as_str());
    belongs(view, &id, addresses, generation, cluster.as_deref())?;
    Ok(JoinRequest {
        display_name: if node.name.is_empty() {
            id.to_string()
        } else {
            node.name
        },
        node: id,
        cluster_name: cluster,
        peer_address,
        http_address,
        weight,
        domain: path.map(|path| domain(&path)).transpose()?,
        services: node.services,
        labels: Default::default(),
        itself: None,
    })
}

/// Refuses an older start of a known node, a node id that is in use elsewhere, and a node of
/// another cluster.
fn belongs(
    view: &View,
    id: &NodeId,
    addresses: (&str, &str),
    generation: Option<u64>,
    cluster: Option<&str>,
) -> Result<(), Refused> {
    let state = view.state();
    if let Some((known, got)) = state.member_by_node(id.as_str()).zip(generation)
        && got < known.generation.0
    {
        let known = known.generation;
        let detail = format!("generation {got} of {id} is older than {known}, the newest known");
        return Err(wrong(
            Code::GenerationOld,
            "generation",
            &got.to_string(),
            detail,
        ));
    }
    if let Some(known) = state.member_by_node(id.as_str()) {
        // Announcing a member as it is does no harm; giving it other addresses would.
        let (peer, http) = addresses;
        let mut theirs = [
            ("peer_addr", peer, &known.peer_address),
            ("node.ip", http, &known.http_address),
        ]
        .into_iter();
        if let Some((field, got, known)) = theirs.find(|(_, got, known)| got != known) {
            let detail = format!(
                "node id {id} is in use at {known:?}, not at {got:?}; choose another id, or \
                 `ck remove {id}` first"
            );
            return Err(wrong(Code::NodeInUse, field, got, detail));
        }
    }
    if let Some((formed, wanted)) = state.formed().zip(cluster)
        && formed.name != wanted
    {
        let actual = &formed.name;
        let detail = format!(
            "{id} means to join cluster {wanted:?}, but this is {actual:?}; ask a node of that one"
        );
        return Err(wrong(Code::OtherCluster, "cluster", wanted, detail));
    }
    Ok(())
}

fn wrong(code: Code, field: &str, value: &str, detail: String) -> Refused {
    Problem::new(code, detail)
        .with_field(field)
        .with_value(value)
        .into()
}

/// `host:port` with a port a node can have.
fn address(field: &str, value: &str) -> Result<(), Refused> {
    let parts = value.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let printable = host.bytes().all(|byte| byte.is_ascii_graphic());
        let colons = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        !host.is_empty() && host.len() <= 253 && printable && colons && digits && port
    });
    if good {
        return Ok(());
    }
    let shown: String = value.chars().take(64).collect();
    let detail = format!("`{field}` {shown:?} is no address; write it as `10.0.0.1:8080`");
    Err(wrong(Code::InvalidBody, field, value, detail))
}
