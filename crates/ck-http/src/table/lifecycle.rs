//! What happened in the cluster, in a word and a sentence.

use std::collections::BTreeMap;

use ck_api::Lifecycle;
use ck_control::state::ChangeReason;
use ck_control::{Event, EventKind, State};
use ck_core::{NodeId, PartitionId};
use ck_node::Next;

/// Changes of partitions told one by one; of more, made at once for one reason, the number is told.
const PARTITIONS_MAX: usize = 8;

/// What happened, as it is told, in order.
pub(super) fn tell(state: &State, happened: &[Next]) -> Vec<Lifecycle> {
    let mut groups: BTreeMap<ChangeReason, Vec<&Event>> = BTreeMap::new();
    for next in happened {
        if let Next::Event(event) = next
            && let EventKind::PartitionChanged { reason, .. } = &event.kind
        {
            groups.entry(*reason).or_default().push(&**event);
        }
    }
    let told = happened.iter().filter_map(|next| match next {
        Next::Event(event) => match &event.kind {
            EventKind::PartitionChanged { reason, .. } => match groups.get(reason) {
                Some(group) if group.len() > PARTITIONS_MAX => many(event, *reason, group),
                _ => one(state, event),
            },
            _ => one(state, event),
        },
        Next::Missed { count } => {
            let text = format!("{count} events were missed here; the table has what they changed");
            Some(plain(state.version().0, "missed", text))
        }
        Next::Skipped { upto } => {
            let text = format!(
                "this node was behind and took over a snapshot; what happened up to position {upto} \
                 is not told, the table has what it changed"
            );
            Some(plain(state.version().0, "missed", text))
        }
    });
    told.collect()
}

fn plain(version: u64, kind: &str, text: String) -> Lifecycle {
    Lifecycle {
        version,
        kind: kind.to_owned(),
        node: None,
        partition: None,
        text,
    }
}

/// Many partitions at once, told with the last of them.
fn many(event: &Event, reason: ChangeReason, group: &[&Event]) -> Option<Lifecycle> {
    if !group.last().is_some_and(|last| std::ptr::eq(*last, event)) {
        return None;
    }
    let kind = word(reason)?;
    let text = format!("{} partitions changed: {reason}", group.len());
    Some(plain(event.version.0, kind, text))
}

/// A change of a partition in a word; none for what is told of all of them together.
const fn word(reason: ChangeReason) -> Option<&'static str> {
    match reason {
        ChangeReason::Created => None,
        ChangeReason::Failover | ChangeReason::Recovered | ChangeReason::Removed => {
            Some("failover")
        }
        _ => Some("transfer"),
    }
}

/// One event; none for what is of no use to whoever follows the table.
fn one(state: &State, event: &Event) -> Option<Lifecycle> {
    let version = event.version.0;
    let of_all = |kind: &str, text: String| Some(plain(version, kind, text));
    match &event.kind {
        EventKind::Formed { name } => of_all("formed", format!("cluster {name} was formed")),
        EventKind::PartitionsCreated { partitions } => of_all(
            "partitions-created",
            format!("{partitions} partitions exist from now on"),
        ),
        EventKind::PartitionChanged {
            partition,
            reason,
            old_primary,
            new_primary,
            copy_to,
            ..
        } => {
            let text = changed(*partition, *reason, [old_primary, new_primary], copy_to);
            Some(Lifecycle {
                node: new_primary.as_ref().map(ToString::to_string),
                partition: Some(partition.0),
                ..plain(version, word(*reason)?, text)
            })
        }
        EventKind::RebalanceStarted {
            trigger,
            partitions,
            ..
        } => {
            let text = format!("a plan of {partitions} partitions begins: {trigger}");
            of_all("plan", text)
        }
        EventKind::RebalanceCompleted {
            trigger,
            partitions,
            duration_ms,
            ..
        } => {
            let text =
                format!("the plan ended after {duration_ms} ms, {partitions} done: {trigger}");
            of_all("plan", text)
        }
        EventKind::ConfigChanged { fields } => {
            let text = format!("the configuration changed: {}", fields.join(", "));
            of_all("config", text)
        }
        other => {
            let (kind, node, text) = of_node(state, other)?;
            Some(Lifecycle {
                node: Some(node.to_string()),
                ..plain(version, kind, text)
            })
        }
    }
}

/// What happened to a node.
fn of_node<'e>(
    state: &'e State,
    kind: &'e EventKind,
) -> Option<(&'static str, &'e NodeId, String)> {
    Some(match kind {
        EventKind::OfficeTaken { member, .. } => {
            let node = &state.member(*member)?.node;
            ("leader", node, format!("{node} leads"))
        }
        EventKind::Joined {
            node, cluster_size, ..
        } => {
            let text = format!("{node} joined; the cluster has {cluster_size} nodes");
            ("node-joined", node, text)
        }
        EventKind::Left { node, .. } => ("node-left", node, format!("{node} left")),
        EventKind::HealthChanged {
            node,
            healthy: false,
            status,
        } => {
            let text = match status.as_str() {
                "expired" => format!("{node} is down: it was not heard for a lease"),
                "stopped" => format!("{node} is down: it was stopped"),
                other => format!("{node} is down: {other}"),
            };
            ("node-down", node, text)
        }
        EventKind::HealthChanged { node, .. } => ("node-up", node, format!("{node} is up")),
        EventKind::Rejoined {
            node, offline_ms, ..
        } => {
            let text = format!("{node} is back after {offline_ms} ms");
            ("node-rejoined", node, text)
        }
        EventKind::NodeChanged { node } => ("node-changed", node, format!("{node} was changed")),
        // Sessions are told as health, custom values are no part of the table.
        _ => return None,
    })
}

fn changed(
    partition: PartitionId,
    reason: ChangeReason,
    [old, new]: [&Option<NodeId>; 2],
    copy_to: &[NodeId],
) -> String {
    let name = |node: &Option<NodeId>| node.as_ref().map_or("nobody".into(), ToString::to_string);
    if old != new {
        return format!(
            "{partition}: {} acts, {} did: {reason}",
            name(new),
            name(old)
        );
    }
    let names: Vec<_> = copy_to.iter().map(NodeId::as_str).collect();
    match names.as_slice() {
        [] => format!("{partition} changed: {reason}"),
        names => format!("{partition}: {} has a copy: {reason}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ck_control::Position;
    use ck_core::{Epoch, Version};

    use super::*;

    fn change(partition: u32, reason: ChangeReason) -> Next {
        let node = |text: &str| Some(text.parse().unwrap());
        Next::Event(Arc::new(Event {
            version: Version(u64::from(partition)),
            at_ms: 0,
            position: Position(1),
            kind: EventKind::PartitionChanged {
                partition: PartitionId(partition),
                copy_from: Vec::new(),
                copy_to: Vec::new(),
                reason,
                old_primary: node("a"),
                new_primary: node("b"),
                epoch: Epoch(2),
            },
        }))
    }

    #[test]
    fn a_few_changes_are_told_each_and_many_as_one() {
        let state = State::default();
        let few: Vec<_> = (0..8).map(|n| change(n, ChangeReason::Failover)).collect();
        let told = tell(&state, &few);
        assert_eq!(told.len(), 8);
        assert_eq!(
            (told[3].partition, told[3].kind.as_str()),
            (Some(3), "failover")
        );
        assert_eq!(told[3].text, "partition-3: b acts, a did: failover");
        let mut many: Vec<_> = (0..4096)
            .map(|n| change(n, ChangeReason::Failover))
            .collect();
        many.push(change(1, ChangeReason::Drain));
        let told = tell(&state, &many);
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].partition, told[0].version), (None, 4095));
        assert!(
            told[0].text.starts_with("4096 partitions"),
            "{}",
            told[0].text
        );
        assert_eq!(told[1].kind, "transfer");
    }

    #[test]
    fn creation_is_told_once_and_a_gap_is_told() {
        let state = State::default();
        let created: Vec<_> = (0..3).map(|n| change(n, ChangeReason::Created)).collect();
        assert!(tell(&state, &created).is_empty());
        let told = tell(&state, &[Next::Missed { count: 7 }]);
        assert_eq!(told[0].kind, "missed");
        assert!(told[0].text.starts_with("7 events"));
    }
}
