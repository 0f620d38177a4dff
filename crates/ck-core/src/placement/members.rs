//! The nodes of a topology that a placement may use, numbered, with their shares.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::placement::room::limit;
use crate::placement::share::{Amount, Sharer, quotas};
use crate::placement::targets::{Boxes, Whole};
use crate::{Evenness, Fraction, Node, NodeState, Spec, Table, Topology};

/// A node of the topology that may hold copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) node: &'a Node,
    /// Index of the failure domain; nodes that name none have one of their own.
    pub(crate) domain: u32,
    /// Whether it may take new copies; a cordoned one only keeps what it has.
    pub(crate) open: bool,
    /// Copies it held before.
    pub(crate) held: u32,
    /// Most copies it may hold.
    pub(crate) cap: u32,
}

/// What a row has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) copies: u8,
    pub(crate) domains: u8,
}

/// Every node that may hold copies, in order of id.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a> {
    pub(crate) list: Vec<Member<'a>>,
    pub(crate) domains: u32,
    /// What a row has to hold when it relies on open nodes alone.
    pub(crate) need: Need,
    /// What any row may have to hold: what the spec asks for, as far as caps leave room.
    pub(crate) limit: Need,
    pub(crate) spec: Spec,
}

impl<'a> Members<'a> {
    pub(crate) fn new(topology: &'a Topology, spec: &Spec, previous: Option<&Table>) -> Self {
        let held = previous.map(held).unwrap_or_default();
        let held_by = |node: &Node| {
            let index = previous.and_then(|table| table.index_of(node.id.as_str()));
            index.map_or(0, |index| held[index as usize])
        };
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        let mut domains = 0;
        let mut list = Vec::new();
        for node in topology.nodes() {
            let held = held_by(node);
            let open = node.state == NodeState::Active;
            if !open && (node.state != NodeState::Cordoned || held == 0) {
                continue;
            }
            let mut fresh = || {
                domains += 1;
                domains - 1
            };
            let domain = match &node.domain {
                Some(domain) => *names.entry(domain.widest()).or_insert_with(fresh),
                None => fresh(),
            };
            let cap = if open { spec.partitions() } else { held };
            list.push(Member {
                node,
                domain,
                open,
                held,
                cap: node.max_copies.map_or(cap, |most| most.min(cap)),
            });
        }
        let limit = limit(&list, domains, spec);
        let mut members = Self {
            list,
            domains,
            need: limit,
            limit,
            spec: *spec,
        };
        members.need = members.need_with(core::iter::empty());
        members
    }

    /// What a row has to hold that may also keep copies on the `closed` members given.
    pub(crate) fn need_with(&self, closed: impl Iterator<Item = u32>) -> Need {
        let limit = usize::from(self.limit.copies);
        let mut copies = 0;
        let mut seen: Vec<u32> = Vec::with_capacity(limit);
        let closed = closed.map(|index| &self.list[index as usize]);
        let open = self.list.iter().filter(|member| member.open);
        // Members of a domain that is already counted still count as copies.
        for member in closed.chain(open) {
            copies += 1;
            if seen.len() < limit && !seen.contains(&member.domain) {
                seen.push(member.domain);
            }
            if copies >= limit && seen.len() >= limit {
                break;
            }
        }
        let copies = copies.min(limit) as u8;
        Need {
            copies,
            domains: (seen.len() as u8).min(self.limit.domains).min(copies),
        }
    }

    /// The counts every member may have, as even as the spec asks for.
    pub(crate) fn boxes(&self, shares: &[Fraction], limit: Whole) -> Boxes {
        match self.spec.evenness() {
            Evenness::Quota => Boxes::around(shares),
            Evenness::Strict => Boxes::around(shares).strict(self, shares, limit),
            Evenness::Tolerance { permille } => Boxes::beside(self, shares, permille),
            Evenness::LeastMaximum => Boxes::least_maximum(self, limit),
        }
    }

    /// Number of the member with that id.
    pub(crate) fn index_of(&self, id: &str) -> Option<u32> {
        let at = self
            .list
            .binary_search_by(|member| member.node.id.as_str().cmp(id))
            .ok()?;
        Some(at as u32)
    }

    /// Whether open nodes alone can make every row as long and as spread as there is room for.
    pub(crate) fn suffice(&self) -> bool {
        self.need == self.limit
    }

    /// The exact share of copies of every member when `copies` are handed out in all.
    pub(crate) fn quotas(&self, copies: u64, overflow: u64) -> Vec<Fraction> {
        let partitions = self.spec.partitions();
        let sharers: Vec<Sharer> = self
            .list
            .iter()
            .map(|member| Sharer {
                weight: member.node.weight,
                cap: member.cap,
                domain: member.domain,
            })
            .collect();
        quotas(
            &sharers,
            Amount {
                partitions,
                copies,
                overflow,
            },
        )
    }
}

/// Copies of every node of a table.
pub(crate) fn held(table: &Table) -> Vec<u32> {
    let mut held = alloc::vec![0; table.nodes().len()];
    for cell in table.cells() {
        if let Some(count) = held.get_mut(*cell as usize) {
            *count += 1;
        }
    }
    held
}

/// What every row has to hold.
#[derive(Debug, Clone)]
pub(crate) enum Needs {
    /// The same everywhere, the usual case.
    Same(Need),
    /// Too few open nodes: a row that cordoned nodes hold can be longer than one they do not.
    Each(Vec<Need>),
}

impl Needs {
    /// What the rows of a plan have to hold, given the table it starts from.
    pub(crate) fn new(members: &Members<'_>, previous: Option<&Table>) -> Self {
        let closed = members.list.iter().any(|member| !member.open);
        let (Some(table), true, false) = (previous, closed, members.suffice()) else {
            return Self::Same(members.need);
        };
        let number: Vec<Option<u32>> = table
            .nodes()
            .iter()
            .map(|id| {
                members
                    .index_of(id.as_str())
                    .filter(|at| !members.list[*at as usize].open)
            })
            .collect();
        let need = |row: crate::Row<'_>| {
            members.need_with(
                row.indexes()
                    .iter()
                    .filter_map(|index| number[*index as usize]),
            )
        };
        let needs: Vec<Need> = table.rows().map(need).collect();
        if needs.iter().all(|need| *need == needs[0]) {
            return Self::Same(needs[0]);
        }
        Self::Each(needs)
    }

    #[inline]
    pub(crate) fn of(&self, partition: usize) -> Need {
        match self {
            Self::Same(need) => *need,
            Self::Each(needs) => needs[partition],
        }
    }

    /// Whether rows differ in what they have to hold.
    pub(crate) fn are_uneven(&self) -> bool {
        matches!(self, Self::Each(_))
    }

    /// The exact shares of primaries: those of copies, scaled to one a row.
    pub(crate) fn lead_shares(&self, shares: &[Fraction], partitions: u32) -> Vec<Fraction> {
        let rows = Fraction::from(u64::from(self.owned(partitions)));
        let copies = Fraction::from(self.totals(partitions).0.max(1));
        shares
            .iter()
            .map(|share| share.scaled(rows, copies))
            .collect()
    }

    /// The primaries every member may have: with a quota its share of them, rounded down or up;
    /// where counts may differ by more, its part of what it may hold.
    pub(crate) fn lead_boxes(
        &self,
        members: &Members<'_>,
        lead_shares: &[Fraction],
        boxes: &Boxes,
    ) -> Boxes {
        let partitions = members.spec.partitions();
        let rows = u64::from(self.owned(partitions));
        let copies = self.totals(partitions).0.max(1);
        match members.spec.evenness() {
            Evenness::Quota | Evenness::Strict => Boxes::around(lead_shares),
            Evenness::Tolerance { .. } | Evenness::LeastMaximum => boxes.part(rows, copies),
        }
    }

    /// Rows that hold at least one copy.
    pub(crate) fn owned(&self, partitions: u32) -> u32 {
        match self {
            Self::Same(need) => {
                if need.copies > 0 {
                    partitions
                } else {
                    0
                }
            }
            Self::Each(needs) => needs.iter().filter(|need| need.copies > 0).count() as u32,
        }
    }

    /// Copies of all rows, and how many of them may share a row with one of their domain.
    pub(crate) fn totals(&self, partitions: u32) -> (u64, u64) {
        let amount = |need: &Need| {
            (
                u64::from(need.copies),
                u64::from(need.copies - need.domains),
            )
        };
        match self {
            Self::Same(need) => {
                let (copies, spare) = amount(need);
                (
                    copies * u64::from(partitions),
                    spare * u64::from(partitions),
                )
            }
            Self::Each(needs) => needs
                .iter()
                .map(amount)
                .fold((0, 0), |sum, (c, s)| (sum.0 + c, sum.1 + s)),
        }
    }
}
