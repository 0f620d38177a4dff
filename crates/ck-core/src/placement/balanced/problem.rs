//! The instance in numbers: members, what rows need, what they held, how much each node takes.

use alloc::vec;
use alloc::vec::Vec;

use crate::Table;
use crate::placement::targets::{Boxes, Whole, targets};
use crate::placement::{Members, Needs};

/// No node: filler of short rows, and nodes that are gone.
pub(super) const NONE: u32 = u32::MAX;

/// The rows a plan starts from, in member numbers. Nodes that may hold nothing read as [`NONE`];
/// positions are kept, so that the first cell is still the primary's.
#[derive(Debug)]
pub(super) struct Old {
    width: usize,
    cells: Vec<u32>,
}

impl Old {
    fn new(members: &Members<'_>, table: &Table) -> Self {
        let number: Vec<u32> = table
            .nodes()
            .iter()
            .map(|id| members.index_of(id.as_str()).unwrap_or(NONE))
            .collect();
        let translate = |cell: &u32| number.get(*cell as usize).copied().unwrap_or(NONE);
        Self {
            width: usize::from(table.width()),
            cells: table.cells().iter().map(translate).collect(),
        }
    }

    /// Cells of a row, gone nodes as [`NONE`].
    #[inline]
    pub(super) fn row(&self, partition: usize) -> &[u32] {
        &self.cells[partition * self.width..][..self.width]
    }

    /// The surviving copies of a row, primary first if it survives.
    pub(super) fn survivors(&self, partition: usize) -> impl Iterator<Item = u32> + '_ {
        self.row(partition)
            .iter()
            .copied()
            .filter(|member| *member != NONE)
    }

    /// The primary, if it survives.
    #[inline]
    pub(super) fn primary(&self, partition: usize) -> u32 {
        self.cells[partition * self.width]
    }
}

/// Everything a plan is computed from.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub(super) members: Members<'a>,
    pub(super) needs: Needs,
    pub(super) old: Option<Old>,
    /// Copies of all rows together.
    pub(super) copies: u64,
    /// Copies each member may hold, and one choice among them.
    pub(super) boxes: Boxes,
    pub(super) targets: Vec<u32>,
    /// Primaries each member may hold, and one choice among them.
    pub(super) lead_boxes: Boxes,
    pub(super) lead_targets: Vec<u32>,
    /// Primaries each member had.
    pub(super) led_before: Vec<u32>,
    pub(super) domain: Vec<u32>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(mut members: Members<'a>, previous: Option<&Table>) -> Self {
        if previous.is_none() {
            // With nothing to keep, there is nothing a tolerance could save.
            members.spec = members.spec.without_tolerance();
        }
        let needs = Needs::new(&members, previous);
        let partitions = members.spec.partitions();
        let (copies, spare) = needs.totals(partitions);
        let shares = members.quotas(copies, spare);
        let owned = u64::from(needs.owned(partitions));
        let lead_shares = needs.lead_shares(&shares, partitions);
        let limit = Whole {
            total: copies,
            rows: u64::from(partitions),
            overflow: spare,
        };
        let boxes = members.boxes(&shares, limit);
        let lead_boxes = needs.lead_boxes(&members, &lead_shares, &boxes);
        let old = previous.map(|table| Old::new(&members, table));

        let mut led = vec![0_u32; members.list.len()];
        if let Some(old) = &old {
            for partition in 0..partitions as usize {
                if let Some(count) = led.get_mut(old.primary(partition) as usize) {
                    *count += 1;
                }
            }
        }
        let unlimited = Whole {
            total: owned,
            rows: u64::MAX,
            overflow: 0,
        };
        // Rounding up whoever is above already costs nothing; after that, whoever is not yet
        // rounded up here takes the fractions there, so that copies and primaries agree.
        let above = |at: usize| members.list[at].held > boxes.low[at];
        let lead_above = |at: usize| led[at] > lead_boxes.low[at];
        let lacks_lead = |at: usize| led[at] < lead_boxes.low[at];
        let held = |at: usize| members.list[at].held;
        let targets = targets(&members, &shares, &boxes, limit, held, |at| {
            (above(at), lacks_lead(at))
        });
        let up = |at: usize| targets[at] > boxes.low[at];
        let lead_targets = self::targets(
            &members,
            &lead_shares,
            &lead_boxes,
            unlimited,
            |at| led[at],
            |at| (lead_above(at), lacks_lead(at), up(at)),
        );
        let domain = members.list.iter().map(|member| member.domain).collect();
        Self {
            members,
            needs,
            old,
            copies,
            boxes,
            targets,
            lead_boxes,
            lead_targets,
            led_before: led,
            domain,
        }
    }

    pub(super) fn partitions(&self) -> usize {
        self.members.spec.partitions() as usize
    }

    pub(super) fn nodes(&self) -> usize {
        self.members.list.len()
    }

    /// Whether a member may hold a copy it did not hold before.
    #[inline]
    pub(super) fn open(&self, member: u32) -> bool {
        self.members.list[member as usize].open
    }

    /// The surviving copies of a row; none without a previous table.
    pub(super) fn survivors(&self, partition: usize) -> impl Iterator<Item = u32> + use<'_, 'a> {
        let old = self.old.as_ref();
        old.into_iter()
            .flat_map(move |old| old.survivors(partition))
    }

    /// Whether a member already had the partition's data.
    #[inline]
    pub(super) fn had(&self, partition: usize, member: u32) -> bool {
        self.old
            .as_ref()
            .is_some_and(|old| old.row(partition).contains(&member))
    }

    /// Whether `members` touch at least `need` failure domains.
    #[inline]
    pub(super) fn reaches(&self, members: &[u32], need: usize) -> bool {
        let twins = |at: usize| {
            let domain = self.domain[members[at] as usize];
            members[..at]
                .iter()
                .any(|other| self.domain[*other as usize] == domain)
        };
        need <= 1 || (0..members.len()).filter(|at| !twins(*at)).count() >= need
    }

    /// Failure domains that `members` touch.
    #[inline]
    pub(super) fn spans(&self, mut members: impl Iterator<Item = u32> + Clone) -> usize {
        let mut count = 0;
        // Each domain is counted at its last member.
        while let Some(member) = members.next() {
            let domain = self.domain[member as usize];
            count += usize::from(!members.clone().any(|m| self.domain[m as usize] == domain));
        }
        count
    }
}
