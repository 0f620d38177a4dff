//! Consensus, as this node sees it.

use ck_api as api;

use crate::reply::done;
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::time;
use hyper::StatusCode;

pub(super) fn leader(core: &Core, _: &Ask<'_>) -> Answer {
    let view = core.view();
    let status = core.backend.status();
    let name = status.leader.as_ref();
    let member = name.and_then(|name| view.state().member_by_node(name.as_str()));
    let shown = member
        .map(|member| crate::render::node(member, None))
        .unwrap_or_default();
    let answer = api::ConsensusLeader {
        leader_id: name.map(ToString::to_string).unwrap_or_default(),
        leader_name: shown.name,
        leader_ip: shown.ip,
        term: status.term,
        elected_at: time::rfc3339(status.elected_at_ms.filter(|_| name.is_some())),
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

pub(super) fn stats(core: &Core, _: &Ask<'_>) -> Answer {
    let status = core.backend.status();
    let answer = api::ConsensusStats {
        state: status.role.name().to_owned(),
        term: status.term,
        last_log_index: status.last_log_index,
        last_log_term: status.last_log_term,
        commit_index: status.commit_index,
        applied_index: status.applied_index,
        num_peers: status.peers,
        leader: status
            .leader
            .map(|leader| leader.to_string())
            .unwrap_or_default(),
    };
    Ok(done(StatusCode::OK, None, &answer))
}
