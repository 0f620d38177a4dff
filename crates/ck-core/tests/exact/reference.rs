//! Slow and plain answers to compare with: a textbook minimum-cost flow over the whole network.

use std::collections::{BTreeMap, VecDeque};

use ck_core::{Node, NodeState, Spec, Table, Topology};

/// A network with unit costs, solved by successive shortest paths (Bellman-Ford with a queue).
#[derive(Default)]
struct Network {
    to: Vec<usize>,
    room: Vec<i64>,
    cost: Vec<i64>,
    from: Vec<Vec<usize>>,
}

impl Network {
    fn vertex(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn arc(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        for (a, b, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.from[a].push(self.to.len());
            self.to.push(b);
            self.room.push(room);
            self.cost.push(cost);
        }
    }

    /// (flow, cost) of a maximum flow of least cost.
    fn solve(&mut self, source: usize, sink: usize) -> (i64, i64) {
        let (mut flow, mut cost) = (0, 0);
        loop {
            let mut distance = vec![i64::MAX; self.from.len()];
            let mut via = vec![usize::MAX; self.from.len()];
            let mut queued = vec![false; self.from.len()];
            distance[source] = 0;
            let mut queue = VecDeque::from([source]);
            while let Some(at) = queue.pop_front() {
                queued[at] = false;
                for arc in &self.from[at] {
                    let next = self.to[*arc];
                    let reach = distance[at] + self.cost[*arc];
                    if self.room[*arc] > 0 && reach < distance[next] {
                        distance[next] = reach;
                        via[next] = *arc;
                        if !queued[next] {
                            queued[next] = true;
                            queue.push_back(next);
                        }
                    }
                }
            }
            if distance[sink] == i64::MAX {
                return (flow, cost);
            }
            let mut at = sink;
            let mut room = i64::MAX;
            while at != source {
                room = room.min(self.room[via[at]]);
                at = self.to[via[at] ^ 1];
            }
            at = sink;
            while at != source {
                self.room[via[at]] -= room;
                self.room[via[at] ^ 1] += room;
                at = self.to[via[at] ^ 1];
            }
            flow += room;
            cost += room * distance[sink];
        }
    }
}

fn active(topology: &Topology) -> Vec<&Node> {
    topology
        .nodes()
        .iter()
        .filter(|node| node.state == NodeState::Active)
        .collect()
}

/// Domain of every node: the widest segment, or one of its own.
pub(crate) fn domains(nodes: &[&Node]) -> Vec<usize> {
    let mut names = BTreeMap::new();
    let mut next = 0;
    nodes
        .iter()
        .map(|node| {
            let mut fresh = || {
                next += 1;
                next - 1
            };
            match &node.domain {
                Some(domain) => *names
                    .entry(domain.widest().to_owned())
                    .or_insert_with(fresh),
                None => fresh(),
            }
        })
        .collect()
}

/// The fewest copies a plan moves whose every active node holds `boxes` (fewest, most) copies.
///
/// Only for topologies of active nodes that can hold full rows.
pub(crate) fn fewest_moves(
    topology: &Topology,
    spec: &Spec,
    previous: &Table,
    boxes: &[(u32, u32)],
) -> Option<u64> {
    let nodes = active(topology);
    let domain = domains(&nodes);
    let many = domain.iter().max().map_or(0, |most| most + 1);
    let copies = i64::from(spec.replication_factor()).min(nodes.len() as i64);
    let spread = i64::from(spec.spread()).min(many as i64).min(copies);
    let mut net = Network::default();
    let (source, sink) = (net.vertex(), net.vertex());
    let ends: Vec<usize> = nodes.iter().map(|_| net.vertex()).collect();
    // A unit below the lower end is worth more than any number of moves.
    let prize = i64::from(spec.partitions()) * copies + 1;
    let mut required = 0;
    for (end, (low, high)) in ends.iter().zip(boxes) {
        net.arc(*end, sink, i64::from(*low), -prize);
        net.arc(*end, sink, i64::from(*high - *low), 0);
        required += i64::from(*low);
    }
    for row in previous.rows() {
        let (start, spare) = (net.vertex(), net.vertex());
        net.arc(source, start, copies, 0);
        net.arc(start, spare, copies - spread, 0);
        let inside: Vec<usize> = (0..many).map(|_| net.vertex()).collect();
        for inside in &inside {
            net.arc(start, *inside, 1, 0);
            net.arc(spare, *inside, copies, 0);
        }
        for (at, node) in nodes.iter().enumerate() {
            let kept = row.contains(node.id.as_str());
            net.arc(inside[domain[at]], ends[at], 1, i64::from(!kept));
        }
    }
    let (flow, cost) = net.solve(source, sink);
    let full = flow == i64::from(spec.partitions()) * copies;
    let cost = cost + prize * required;
    (full && cost < prize).then(|| u64::try_from(cost).ok())?
}

/// Every way to fill a row: (copies moved, primary changed, members, primary first).
fn choices(
    domain: &[usize],
    kept: &[bool],
    primary: Option<Option<usize>>,
    copies: usize,
    spread: usize,
) -> Vec<(u64, u64, Vec<usize>)> {
    let mut found = Vec::new();
    for mask in 0_u32..1 << domain.len() {
        let members: Vec<usize> = (0..domain.len()).filter(|at| mask >> at & 1 == 1).collect();
        let touched: std::collections::BTreeSet<usize> =
            members.iter().map(|at| domain[*at]).collect();
        if members.len() != copies || touched.len() < spread {
            continue;
        }
        let moved = members.iter().filter(|at| !kept[**at]).count() as u64;
        for lead in 0..members.len() {
            let mut row = members.clone();
            row[..=lead].rotate_right(1);
            let changed = primary.is_some_and(|primary| primary != Some(row[0]));
            found.push((moved, u64::from(changed), row));
        }
    }
    found
}

/// The fewest moves, and among plans with those the fewest primary changes, by trying everything row
/// by row; only for a handful of nodes and rows.
pub(crate) fn fewest_changes(
    topology: &Topology,
    spec: &Spec,
    previous: &Table,
    boxes: &[(u32, u32)],
    lead_boxes: &[(u32, u32)],
) -> Option<(u64, u64)> {
    let nodes = active(topology);
    let domain = domains(&nodes);
    let many = domain.iter().max().map_or(0, |most| most + 1);
    let copies = usize::from(spec.replication_factor()).min(nodes.len());
    let spread = usize::from(spec.spread()).min(many).min(copies);
    // Counts of copies and primaries so far, with the least cost of getting there.
    let start = (vec![0_u32; nodes.len()], vec![0_u32; nodes.len()]);
    let mut reached = BTreeMap::from([(start, (0, 0))]);
    for row in previous.rows() {
        let kept: Vec<bool> = nodes
            .iter()
            .map(|node| row.contains(node.id.as_str()))
            .collect();
        let number = |id: &ck_core::NodeId| nodes.iter().position(|node| node.id == *id);
        let choices = choices(&domain, &kept, row.primary().map(number), copies, spread);
        let mut next = BTreeMap::new();
        for ((counts, leads), (moved, changed)) in &reached {
            for (more, change, members) in &choices {
                let (mut counts, mut leads) = (counts.clone(), leads.clone());
                members.iter().for_each(|at| counts[*at] += 1);
                leads[members[0]] += 1;
                let within = |counts: &[u32], boxes: &[(u32, u32)]| {
                    counts
                        .iter()
                        .zip(boxes)
                        .all(|(count, (_, high))| count <= high)
                };
                if within(&counts, boxes) && within(&leads, lead_boxes) {
                    let cost = (moved + more, changed + change);
                    let best = next.entry((counts, leads)).or_insert(cost);
                    *best = cost.min(*best);
                }
            }
        }
        reached = next;
    }
    let enough = |counts: &[u32], boxes: &[(u32, u32)]| {
        counts
            .iter()
            .zip(boxes)
            .all(|(count, (low, _))| count >= low)
    };
    let whole = reached
        .into_iter()
        .filter(|((counts, leads), _)| enough(counts, boxes) && enough(leads, lead_boxes));
    whole.map(|(_, cost)| cost).min()
}
