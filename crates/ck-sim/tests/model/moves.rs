//! What can happen next.

use crate::state::{Entry, LEASE, Lead, NODES, OWNER, Round, World, older};

/// How much of everything the search takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) terms: u8,
    pub(crate) restarts: u8,
    pub(crate) expiries: usize,
    pub(crate) switches: usize,
    pub(crate) writes: bool,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    GrantBeforeExpiry,
    LeaseFromReceipt,
    ConfirmationBegunBefore,
    LeaderSkipsWait,
    ResumedWithoutOffice,
    AckNotBound,
    SourceNeverStops,
    ResourceDoesNotCheck,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    pub(crate) broken: Broken,
}

/// One thing that happens; the number is a node's, or a term's less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Renew(usize),
    Begin(usize),
    Give(usize),
    Complete(usize),
    Receive,
    Expire(usize),
    Propose(usize, Entry),
    Commit(usize),
    Apply(usize),
    Elect(usize, bool),
    Restart,
    Acknowledge(usize),
    Write(usize),
    Land,
}

impl Protocol {
    pub(crate) fn possible(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for node in 0..NODES {
            actions.extend([
                Action::Apply(node),
                Action::Acknowledge(node),
                Action::Write(node),
                Action::Elect(node, false),
                Action::Elect(node, true),
            ]);
        }
        actions.extend([Action::Receive, Action::Land, Action::Restart]);
        for at in 0..2 {
            let Some(lead) = &world.leads[at] else {
                continue;
            };
            actions.extend([
                Action::Renew(at),
                Action::Expire(at),
                Action::Begin(at),
                Action::Give(at),
                Action::Complete(at),
                Action::Commit(at),
            ]);
            let process = lead.process;
            actions.push(Action::Propose(at, Entry::Office { process }));
            if let Some(office) = lead.office {
                let switches = [Entry::Switch { office, target: 2 }];
                let grants = world.acknowledged.iter().map(|acknowledged| Entry::Grant {
                    office,
                    acknowledged: *acknowledged,
                });
                let aborts = [Entry::Abort { office }];
                let proposals = switches.into_iter().chain(grants).chain(aborts);
                actions.extend(proposals.map(|entry| Action::Propose(at, entry)));
            }
        }
    }

    /// Does it; false when it cannot happen, or changes nothing.
    pub(crate) fn take(&self, world: &mut World, action: Action) -> bool {
        match action {
            Action::Tick => return tick(world),
            Action::Renew(at) => {
                let open = world.seen_by(OWNER).open[OWNER];
                let free = |lead: &&mut Lead| {
                    lead.office.is_some() && !lead.condemned && lead.queued != Some(0)
                };
                let Some(lead) = world.leads[at].as_mut().filter(free).filter(|_| open) else {
                    return false;
                };
                lead.queued = Some(0);
            }
            Action::Begin(at) => {
                let Some(lead) = &mut world.leads[at] else {
                    return false;
                };
                if lead.round != Round::None || lead.queued.is_none() {
                    return false;
                }
                lead.round = Round::Begun;
                lead.covered = std::mem::take(&mut lead.queued);
            }
            Action::Give(at) => {
                let term = world.term;
                let begun = |lead: &&mut Lead| lead.round == Round::Begun && lead.term == term;
                let Some(lead) = world.leads[at].as_mut().filter(begun) else {
                    return false;
                };
                lead.round = Round::Given;
            }
            Action::Complete(at) => return self.complete(world, at),
            Action::Receive => {
                let Some(sent) = world.answer.take() else {
                    return false;
                };
                let receipt = self.broken == Broken::LeaseFromReceipt;
                let sent = if receipt { 0 } else { sent };
                world.lease = world.lease.max(LEASE - sent);
            }
            Action::Expire(at) => return self.expire(world, at),
            Action::Propose(at, entry) => return self.propose(world, at, entry),
            Action::Commit(at) => return self.commit(world, at),
            Action::Apply(node) => return self.apply(world, node),
            Action::Elect(node, inherits) => return self.elect(world, node, inherits),
            Action::Restart => return self.restart(world),
            Action::Acknowledge(node) => return acknowledge(world, node),
            Action::Write(node) => {
                let stops = self.broken != Broken::SourceNeverStops;
                let Some(epoch) = world.owns(node, stops).filter(|_| self.bounds.writes) else {
                    return false;
                };
                match world.write {
                    None => world.write = Some(epoch),
                    // One is late; the others reach the resource at once.
                    Some(_) => return self.accepts(world, epoch),
                }
            }
            Action::Land => {
                let Some(late) = world.write.take() else {
                    return false;
                };
                self.accepts(world, late);
            }
        }
        true
    }

    /// Answers what the confirmation covers.
    fn complete(&self, world: &mut World, at: usize) -> bool {
        let Some(lead) = world.leads[at]
            .as_mut()
            .filter(|one| one.round == Round::Given)
        else {
            return false;
        };
        lead.round = Round::None;
        let covered = std::mem::take(&mut lead.covered);
        let applied = usize::from(lead.node);
        let table = world.seen_by(applied);
        let Some(lead) = &mut world.leads[at] else {
            return false;
        };
        let later = lead
            .queued
            .take_if(|_| self.broken == Broken::ConfirmationBegunBefore);
        if let Some(sent) = later.or(covered)
            && !lead.condemned
            && table.open[OWNER]
            && lead.office.is_some()
        {
            lead.waits = lead.waits.max(LEASE - sent);
            world.answer = Some(sent);
        }
        true
    }

    /// Decides that the first owner's lease has run out; nothing of it is answered from then on.
    fn expire(&self, world: &mut World, at: usize) -> bool {
        let expiries = world
            .log
            .iter()
            .filter(|one| matches!(one, Entry::Expire { .. }));
        if expiries.count() >= self.bounds.expiries {
            return false;
        }
        let Some(lead) = &mut world.leads[at] else {
            return false;
        };
        let left = u8::from(self.broken == Broken::GrantBeforeExpiry);
        let (Some(office), false) = (lead.office, lead.condemned) else {
            return false;
        };
        if lead.waits > left || !lead.tail.is_empty() {
            return false;
        }
        lead.condemned = true;
        lead.queued = None;
        let node = u8::try_from(OWNER).unwrap();
        lead.tail.push(Entry::Expire { office, node });
        true
    }

    fn propose(&self, world: &mut World, at: usize, entry: Entry) -> bool {
        let switches = world
            .log
            .iter()
            .filter(|one| matches!(one, Entry::Switch { .. }));
        let switches = switches.count();
        let Some(lead) = &world.leads[at] else {
            return false;
        };
        let table = world.seen_by(usize::from(lead.node));
        let fits = match entry {
            Entry::Office { .. } => {
                // Once a process: proposing it again and again has no end.
                let asked = lead.tail.contains(&entry) || world.log.contains(&entry);
                lead.office.is_none() && !asked && lead.term == world.term
            }
            Entry::Switch { target, .. } => {
                lead.tail.is_empty() && switches < self.bounds.switches && table.holder != target
            }
            Entry::Grant { .. } | Entry::Abort { .. } => {
                lead.tail.is_empty() && table.switch.is_some()
            }
            Entry::Expire { .. } => false,
        };
        if let Some(lead) = world.leads[at].as_mut().filter(|_| fits) {
            lead.tail.push(entry);
        }
        fits
    }

    /// The oldest entry of the present leader's tail is committed, or refused by everybody.
    fn commit(&self, world: &mut World, at: usize) -> bool {
        let term = world.term;
        let Some(lead) = world.leads[at].as_mut().filter(|one| one.term == term) else {
            return false;
        };
        if lead.tail.is_empty() {
            return false;
        }
        let entry = lead.tail.remove(0);
        let position = u8::try_from(world.log.len()).unwrap() + 1;
        let bound = self.broken != Broken::AckNotBound;
        let mut table = world.committed();
        let open = table.switch;
        if table.apply(position, entry, bound) {
            // What counts is written down as what it counted for.
            world.log.push(match (entry, open) {
                (Entry::Grant { office, .. }, Some((acknowledged, _))) => Entry::Grant {
                    office,
                    acknowledged,
                },
                _ => entry,
            });
        }
        true
    }

    fn apply(&self, world: &mut World, node: usize) -> bool {
        let at = usize::from(world.applied[node]);
        let Some(entry) = world.log.get(at).copied() else {
            return false;
        };
        world.applied[node] += 1;
        let position = world.applied[node];
        let Entry::Office { process } = entry else {
            return true;
        };
        for lead in world.leads.iter_mut().flatten() {
            if usize::from(lead.node) != node {
                continue;
            }
            let mine = lead.process == process;
            lead.office = mine.then_some(position);
            if mine {
                let skips = self.broken == Broken::LeaderSkipsWait;
                lead.waits = if skips { 0 } else { LEASE };
            }
        }
        true
    }

    /// A majority votes for another, with or without the tail of the leader before.
    fn elect(&self, world: &mut World, node: usize, inherits: bool) -> bool {
        if world.term >= self.bounds.terms || node != 2 {
            return false;
        }
        let before = world.leads[0].as_ref();
        let tail = before.map(|one| one.tail.clone()).unwrap_or_default();
        if inherits && tail.is_empty() {
            return false;
        }
        world.term += 1;
        if before.is_some_and(|one| usize::from(one.node) == node) {
            world.leads[0] = None;
        }
        let number = u8::try_from(node).unwrap();
        let mut lead = Lead::new(number, 2, 10 + number);
        if inherits {
            lead.tail = tail;
        }
        world.leads[1] = Some(lead);
        true
    }

    /// The first leader's process starts again, and goes on in its term.
    fn restart(&self, world: &mut World) -> bool {
        if world.restarts >= self.bounds.restarts || world.term != 1 {
            return false;
        }
        let Some(before) = world.leads[0].take() else {
            return false;
        };
        world.restarts += 1;
        let mut lead = Lead::new(before.node, 1, before.process + 1);
        lead.tail = before.tail;
        if self.broken == Broken::ResumedWithoutOffice {
            lead.office = before.office;
        }
        world.leads[0] = Some(lead);
        true
    }

    /// The resource takes a write, unless it has seen a newer epoch. True when that changes it.
    fn accepts(&self, world: &mut World, epoch: u8) -> bool {
        let before = world.resource;
        if epoch >= before.0 {
            world.resource.0 = epoch;
        } else if self.broken == Broken::ResourceDoesNotCheck {
            world.resource.1 = true;
        }
        world.resource != before
    }
}

fn tick(world: &mut World) -> bool {
    let before = world.clone();
    world.lease = world.lease.saturating_sub(1);
    world.answer = older(world.answer);
    world.leads.iter_mut().flatten().for_each(Lead::tick);
    *world != before
}

fn acknowledge(world: &mut World, node: usize) -> bool {
    let table = world.seen_by(node);
    let Some((switch, _)) = table.switch else {
        return false;
    };
    let mine = usize::from(table.holder) == node && table.open[node];
    if !mine || world.acknowledged.contains(&switch) {
        return false;
    }
    world.acknowledged.push(switch);
    world.acknowledged.sort_unstable();
    true
}
