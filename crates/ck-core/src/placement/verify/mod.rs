//! An independent check of a plan: it recomputes the quota, the figures and the bound from the
//! arguments alone, and shares no function with the strategies.
//!
//! The bound behind a [`Certificate::Prices`] is weak duality. Let each copy on a node cost the
//! node's price, and one more where the node did not hold the partition before. Whatever plan is
//! chosen, its rows cost at least the sum of the cheapest valid rows, and the prices it pays are at
//! most what counts within quota can cost; the difference is a number of moves that no plan within
//! quota can do without.

mod bound;
mod error;
mod limits;
mod quota;

pub use error::VerifyError;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::placement::{Certificate, Plan};
use crate::{Evenness, Fraction, Node, NodeState, Row, Spec, Table, Topology};

/// A node that may hold copies.
struct Holder<'a> {
    node: &'a Node,
    domain: usize,
    /// Copies before, and now.
    before: u32,
    copies: u32,
    primaries: u32,
}

/// The arguments of a plan, read anew.
struct Case<'a> {
    plan: &'a Plan,
    spec: &'a Spec,
    topology: &'a Topology,
    previous: Option<&'a Table>,
    holders: Vec<Holder<'a>>,
    /// Most copies and domains of any row.
    limit: (usize, usize),
    /// For every row how many copies it should have, in how many domains.
    due: Vec<(usize, usize)>,
}

impl Plan {
    /// Checks everything the plan says about itself against the arguments it was made for.
    ///
    /// Takes a few passes over the rows. Independent of the strategies: it recomputes quota, figures
    /// and bound by other means.
    ///
    /// # Errors
    /// [`VerifyError`] names the first claim that does not hold.
    ///
    /// ```
    /// use ck_core::{Balanced, Node, NodeId, Placement, Spec, Topology};
    /// let nodes = ["a", "b", "c"].map(|name| NodeId::new(name).map(Node::new));
    /// let topology = Topology::new(nodes.into_iter().collect::<Result<Vec<_>, _>>()?)?;
    /// let spec = Spec::new(16, 2, 1)?;
    /// let mut plan = Balanced::new().place(&topology, &spec, None)?;
    /// plan.verify(&topology, &spec, None)?;
    /// plan.copies_moved -= 1;
    /// assert!(plan.verify(&topology, &spec, None).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<(), VerifyError> {
        for table in [Some(&self.table), previous].into_iter().flatten() {
            let (got, expected) = (table.partitions(), spec.partitions());
            if got != expected {
                return Err(VerifyError::Partitions { got, expected });
            }
        }
        let mut case = Case::new(self, topology, spec, previous);
        case.rows()?;
        case.figures()?;
        case.claims()
    }
}

impl<'a> Case<'a> {
    fn new(
        plan: &'a Plan,
        topology: &'a Topology,
        spec: &'a Spec,
        previous: Option<&'a Table>,
    ) -> Self {
        let mut before: BTreeMap<&str, u32> = BTreeMap::new();
        for id in previous
            .into_iter()
            .flat_map(Table::rows)
            .flat_map(|row| row.nodes())
        {
            *before.entry(id.as_str()).or_default() += 1;
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut holders = Vec::new();
        for node in topology.nodes() {
            let before = before.get(node.id.as_str()).copied().unwrap_or(0);
            let usable = match node.state {
                NodeState::Active => true,
                NodeState::Cordoned => before > 0,
                NodeState::Draining | NodeState::Down => false,
            };
            if usable {
                // Ids cannot name a domain: they are kept apart by the empty path.
                let own = holders.len() + topology.nodes().len();
                let next = names.len();
                let domain = match &node.domain {
                    Some(domain) => *names.entry(domain.widest()).or_insert(next),
                    None => own,
                };
                holders.push(Holder {
                    node,
                    domain,
                    before,
                    copies: 0,
                    primaries: 0,
                });
            }
        }
        Self {
            plan,
            spec,
            topology,
            previous,
            limit: limits::limit(&holders, spec),
            holders,
            due: Vec::new(),
        }
    }

    fn holder(&self, id: &str) -> Option<usize> {
        self.holders
            .binary_search_by(|holder| holder.node.id.as_str().cmp(id))
            .ok()
    }

    fn row_before(&self, row: Row<'_>) -> Option<Row<'a>> {
        self.previous.and_then(|table| table.row(row.partition()))
    }

    /// What a row may hold at most: copies and domains of the nodes that may have it.
    fn most(&self, before: Option<Row<'_>>) -> (usize, usize) {
        let held =
            |holder: &Holder<'_>| before.is_some_and(|row| row.contains(holder.node.id.as_str()));
        let may = |h: &&Holder<'_>| h.node.state == NodeState::Active || held(h);
        let copies = self.holders.iter().filter(may).count();
        let copies = copies.min(self.limit.0);
        let mut domains: Vec<usize> = self.holders.iter().filter(may).map(|h| h.domain).collect();
        domains.sort_unstable();
        domains.dedup();
        (copies, domains.len().min(self.limit.1).min(copies))
    }

    fn rows(&mut self) -> Result<(), VerifyError> {
        let closed = self
            .holders
            .iter()
            .any(|holder| holder.node.state != NodeState::Active);
        let common = self.most(None);
        for row in self.plan.table.rows() {
            let before = self.row_before(row);
            let due = if closed && common != self.limit {
                self.most(before)
            } else {
                common
            };
            self.row(row, before, due)?;
            self.due.push(due);
        }
        Ok(())
    }

    fn row(
        &mut self,
        row: Row<'_>,
        before: Option<Row<'_>>,
        (copies, spread): (usize, usize),
    ) -> Result<(), VerifyError> {
        let partition = row.partition();
        let mut domains = Vec::with_capacity(copies);
        for (place, id) in row.nodes().enumerate() {
            let Some(node) = self.topology.node(id.as_str()) else {
                return Err(VerifyError::UnknownNode {
                    partition,
                    id: id.clone(),
                });
            };
            let held = before.is_some_and(|row| row.contains(id.as_str()));
            let holder = self.holder(id.as_str());
            let Some(at) = holder.filter(|_| node.state == NodeState::Active || held) else {
                return Err(VerifyError::State {
                    partition,
                    id: id.clone(),
                    state: node.state,
                });
            };
            let holder = &mut self.holders[at];
            holder.copies += 1;
            holder.primaries += u32::from(place == 0);
            domains.push(holder.domain);
        }
        domains.sort_unstable();
        domains.dedup();
        let got = row.nodes().len();
        if got != copies {
            return Err(VerifyError::Copies {
                partition,
                got,
                expected: copies,
            });
        }
        if domains.len() < spread {
            return Err(VerifyError::Spread {
                partition,
                got: domains.len(),
                expected: spread,
            });
        }
        Ok(())
    }

    fn figures(&self) -> Result<(), VerifyError> {
        let (mut moved, mut changed, mut short) = (0, 0, false);
        for row in self.plan.table.rows() {
            let before = self.row_before(row);
            let kept = |id: &crate::NodeId| before.is_some_and(|row| row.contains(id.as_str()));
            moved += row.nodes().filter(|id| !kept(id)).count() as u64;
            let primary = before.and_then(|row| row.primary());
            changed += u64::from(primary.is_some() && primary != row.primary());
            let (copies, domains) = self.due[row.partition().index()];
            short |= copies < usize::from(self.spec.replication_factor());
            short |= domains < usize::from(self.spec.spread()) && self.narrow(row);
        }
        let figures = [
            ("copies_moved", self.plan.copies_moved, moved),
            ("primaries_changed", self.plan.primaries_changed, changed),
            ("degraded", u64::from(self.plan.degraded), u64::from(short)),
        ];
        for (figure, got, expected) in figures {
            if got != expected {
                return Err(VerifyError::Figure {
                    figure,
                    got,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Whether a row touches fewer domains than the spec asks for.
    fn narrow(&self, row: Row<'_>) -> bool {
        let domain =
            |id: &crate::NodeId| self.holder(id.as_str()).map(|at| self.holders[at].domain);
        let mut domains: Vec<_> = row.nodes().filter_map(domain).collect();
        domains.sort_unstable();
        domains.dedup();
        domains.len() < usize::from(self.spec.spread())
    }

    fn claims(&self) -> Result<(), VerifyError> {
        let plan = self.plan;
        let copies: u64 = self.due.iter().map(|due| due.0 as u64).sum();
        let shares = self.shares(copies);
        let boxes = self.boxes(&shares, copies);
        if plan.optimal {
            self.within(&shares, &boxes, copies)?;
        }
        let lower_bound = match self.previous {
            None => copies,
            Some(previous) => self.bound_by_counts(previous, &boxes, copies),
        };
        let mut proved = lower_bound;
        if let (Certificate::Prices(prices), Some(_)) = (&plan.certificate, self.previous) {
            let expected = plan.table.nodes().len();
            if prices.len() != expected {
                return Err(VerifyError::Prices {
                    got: prices.len(),
                    expected,
                });
            }
            proved = proved.max(self.bound_by_prices(prices, &boxes));
        }
        if plan.lower_bound != lower_bound {
            let (got, expected) = (plan.lower_bound, lower_bound);
            return Err(VerifyError::Figure {
                figure: "lower_bound",
                got,
                expected,
            });
        }
        if plan.optimal && plan.copies_moved > proved {
            return Err(VerifyError::Unproved {
                moved: plan.copies_moved,
                proved,
            });
        }
        let (got, expected) = (plan.gap, plan.copies_moved.saturating_sub(proved));
        if got != expected {
            return Err(VerifyError::Figure {
                figure: "gap",
                got,
                expected,
            });
        }
        Ok(())
    }

    /// Whether every node has its share of copies and of primaries, rounded down or up.
    fn within(
        &self,
        shares: &[Fraction],
        boxes: &[(u128, u128)],
        copies: u64,
    ) -> Result<(), VerifyError> {
        let rows = self.due.iter().filter(|due| due.0 > 0).count() as u128;
        let same = self.due.iter().all(|due| *due == self.due[0]);
        for ((holder, share), (low, high)) in self.holders.iter().zip(shares).zip(boxes) {
            let (low, high) = (*low, *high);
            let (id, got) = (&holder.node.id, holder.copies);
            if u128::from(got) < low || u128::from(got) > high {
                return Err(VerifyError::Quota {
                    id: id.clone(),
                    got,
                    low,
                    high,
                });
            }
            // Rows of different lengths do not always admit an even spread of primaries.
            let over = u128::from(copies.max(1));
            let part = |count: u128| Fraction::new(count * rows, over);
            let primaries = Fraction::new(share.numerator() * rows, share.denominator() * over);
            let (low, high) = match self.spec.evenness() {
                Evenness::Quota | Evenness::Strict => (primaries.floor(), primaries.ceil()),
                _ => (part(low).floor(), part(high).ceil()),
            };
            let got = holder.primaries;
            if same && (u128::from(got) < low || u128::from(got) > high) {
                return Err(VerifyError::PrimaryQuota {
                    id: id.clone(),
                    got,
                    low,
                    high,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

/// A vector of zeros, one for each of `count`.
fn zeros(count: usize) -> Vec<u64> {
    vec![0; count]
}
