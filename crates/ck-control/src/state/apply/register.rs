//! A node comes in, or comes back.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use ck_core::NodeState;

use crate::bugs::Bug;
use crate::state::apply::{Step, fields};
use crate::state::{
    ChangeReason, EndReason, EventKind, Holder, Member, Registration, Rejection, Session, State,
};
use crate::{Generation, Home, MemberNumber, SessionId};

impl State {
    pub(super) fn register(
        &mut self,
        step: &mut Step<'_>,
        registration: &Registration,
    ) -> Result<(), Rejection> {
        fields::registration(registration)?;
        let needed = self.commands_seen.max(1);
        if registration.command_version < needed {
            let (node, got) = (registration.node.clone(), registration.command_version);
            return Err(Rejection::NodeTooOld { node, got, needed });
        }
        let known = self.identify(registration)?.cloned();
        let number = known.as_ref().map(|member| member.number);
        self.check_addresses(
            number,
            &registration.peer_address,
            &registration.http_address,
        )?;
        match known {
            Some(member) => self.return_of(step, &member, registration),
            None => self.arrival_of(step, registration),
        }
    }

    /// The member a registration is of; `None` when it is a new one's.
    fn identify(&self, registration: &Registration) -> Result<Option<&Member>, Rejection> {
        let Registration {
            node,
            store,
            member: number,
            ..
        } = registration;
        if let Some(number) = *number {
            let member = self.member(number).ok_or_else(|| self.absent(number))?;
            if member.node != *node {
                return Err(Rejection::MemberIsOther {
                    member: number,
                    node: member.node.clone(),
                    got: node.clone(),
                });
            }
        }
        let founder = self.formed().map(|genesis| &genesis.founder);
        if let Some(member) = self.member_by_node(node.as_str()) {
            if member.store != *store {
                return Err(Rejection::NodeInUse {
                    node: node.clone(),
                    member: member.number,
                });
            }
            return Ok(Some(member));
        }
        if founder.is_some_and(|one| one.node == *node && one.store != *store)
            && !self.founder_joined
        {
            return Err(Rejection::NodeInUse {
                node: node.clone(),
                member: MemberNumber(1),
            });
        }
        match self.members().find(|member| member.store == *store) {
            Some(other) => Err(Rejection::StoreInUse {
                got: node.clone(),
                node: other.node.clone(),
            }),
            None => Ok(None),
        }
    }

    /// No member but `number` has one of these addresses.
    pub(super) fn check_addresses(
        &self,
        number: Option<MemberNumber>,
        peer: &str,
        http: &str,
    ) -> Result<(), Rejection> {
        for member in self
            .members()
            .filter(|member| Some(member.number) != number)
        {
            let taken = if member.peer_address == peer {
                peer
            } else if !http.is_empty() && member.http_address == http {
                http
            } else {
                continue;
            };
            return Err(Rejection::AddressInUse {
                address: taken.into(),
                node: member.node.clone(),
            });
        }
        Ok(())
    }

    fn arrival_of(
        &mut self,
        step: &mut Step<'_>,
        registration: &Registration,
    ) -> Result<(), Rejection> {
        if registration.previous.is_some() {
            return Err(Rejection::PreviousSession {
                node: registration.node.clone(),
                got: registration.previous,
                newest: None,
            });
        }
        let max = self.config.members_max;
        if self.members.len() >= max as usize {
            return Err(Rejection::MembersFull { max });
        }
        let founder = !self.founder_joined
            && self
                .formed()
                .is_some_and(|genesis| genesis.founder.node == registration.node);
        let number = if founder {
            self.founder_joined = true;
            MemberNumber(1)
        } else {
            self.newest_member = self.newest_member.next();
            self.newest_member
        };
        self.open(step, number, registration, None);
        step.replan();
        let node = registration.node.clone();
        step.summary = format!("{node} joined as member {number}");
        let cluster_size = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        step.tell(EventKind::Joined {
            node: node.clone(),
            member: number,
            cluster_size,
            founder,
        });
        let session = SessionId::from(step.position());
        step.tell(EventKind::SessionOpened {
            node,
            member: number,
            session,
            granted: 0,
        });
        Ok(())
    }

    fn return_of(
        &mut self,
        step: &mut Step<'_>,
        member: &Member,
        registration: &Registration,
    ) -> Result<(), Rejection> {
        self.check_return(member, registration)?;
        let number = member.number;
        if let Some(session) = member.session {
            self.end_sessions(step, &[session], EndReason::Replaced);
        }
        let at_ms = step.at_ms();
        let last_seen_ms = member.last_ended_at_ms.filter(|_| member.session.is_none());
        let partitions_before = self.copies_of(number);
        let clean = is_stopped(member, registration) || self.is_marked(member, registration);
        let proven = registration.durable || clean;
        if self.bugs.has(Bug::RejoinWithoutCatchUp) {
            self.count_in_sync(number);
        } else if !proven {
            self.fail_over(step, &BTreeSet::from([number]), ChangeReason::Failover);
            self.doubt(step, number);
        }
        self.end_orphaned_moves(step);
        self.open(step, number, registration, Some(member));
        if (member.weight, &member.domain) != (registration.weight, &registration.domain) {
            step.reshape();
        }
        let session = SessionId::from(step.position());
        let holder = Holder {
            member: number,
            session,
        };
        let granted = if proven {
            self.recover(step, holder)
        } else {
            0
        };
        let node = member.node.clone();
        step.summary = format!("{node} came back and was granted {granted} partitions");
        step.tell(EventKind::SessionOpened {
            node: node.clone(),
            member: number,
            session,
            granted,
        });
        step.tell(EventKind::Rejoined {
            node: node.clone(),
            member: number,
            offline_ms: last_seen_ms.map_or(0, |ended| at_ms.saturating_sub(ended)),
            last_seen_ms,
            partitions_before,
        });
        if last_seen_ms.is_some() {
            step.tell(EventKind::HealthChanged {
                node,
                healthy: true,
                status: "active".to_string(),
            });
        }
        Ok(())
    }

    /// Partitions a member holds a copy of.
    fn copies_of(&self, member: MemberNumber) -> u32 {
        let (Some(known), Some(table)) = (self.member(member), &self.table) else {
            return 0;
        };
        let rows = table.rows();
        let held = rows.filter(|row| row.contains(known.node.as_str())).count();
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// What a broken rule does: a member that comes back counts as having everything.
    fn count_in_sync(&mut self, member: MemberNumber) {
        for at in 0..self.partitions.len() {
            let partition = ck_core::PartitionId(u32::try_from(at).unwrap_or(u32::MAX));
            let in_row = self.row_members(partition).contains(&member);
            let control = self.control_mut(partition);
            if in_row && !control.last_known && !control.is_in_sync(member) {
                control.in_sync.push(member);
                control.in_sync.sort_unstable();
            }
        }
    }

    fn check_return(&self, member: &Member, registration: &Registration) -> Result<(), Rejection> {
        let node = || member.node.clone();
        if member.closing {
            return Err(Rejection::Closing { node: node() });
        }
        let (got, known) = (registration.generation, member.generation);
        if got < known {
            return Err(Rejection::Generation {
                node: node(),
                got,
                known,
            });
        }
        if registration.previous != member.last_session {
            return Err(Rejection::PreviousSession {
                node: node(),
                got: registration.previous,
                newest: member.last_session,
            });
        }
        // A start has one process. Another one of the same number began with a store that was put back
        // to before that start: the homes in it are right, what was written since is not there.
        let repeated = got == known && registration.process != member.process;
        let elsewhere = member.home.is_some_and(|home| {
            !registration.homes.is_empty() && !knows_start(&registration.homes, home, known)
        });
        if repeated || elsewhere {
            return Err(Rejection::StoreOld {
                node: node(),
                known,
            });
        }
        // The lock on a store proves an earlier process of the same home dead, never the one that
        // holds it, and never one with a copy of the store elsewhere.
        let same_home = member.home.is_some() && registration.home() == member.home;
        let dead = same_home && !registration.served && got > known;
        let proves = dead || self.is_marked(member, registration);
        match member.session {
            Some(session) if !proves => Err(Rejection::SessionOpen {
                node: node(),
                session,
            }),
            _ => Ok(()),
        }
    }

    /// Whether the store has the mark of a clean stop of the member's newest session: that ended its
    /// own lease before, and acknowledged nothing after.
    fn is_marked(&self, member: &Member, registration: &Registration) -> bool {
        let any = self.bugs.has(Bug::StaleStopMark);
        registration.stopped.is_some_and(|mark| {
            let newest = Some(mark.session) == member.last_session;
            any || (newest && mark.start.next() == registration.generation)
        })
    }

    /// Writes the member down and opens its session.
    fn open(
        &mut self,
        step: &mut Step<'_>,
        number: MemberNumber,
        registration: &Registration,
        known: Option<&Member>,
    ) {
        let id = SessionId::from(step.position());
        let at_ms = step.at_ms();
        let ended = self
            .member(number)
            .and_then(|member| member.last_ended_at_ms);
        Arc::make_mut(&mut self.members).put(Member {
            number,
            node: registration.node.clone(),
            display_name: registration.display_name.clone(),
            peer_address: registration.peer_address.clone(),
            http_address: registration.http_address.clone(),
            weight: registration.weight,
            domain: registration.domain.clone(),
            services: registration.services.clone(),
            labels: registration.labels.clone(),
            state: known.map_or(NodeState::Active, |member| member.state),
            closing: false,
            store: registration.store,
            home: registration.home(),
            generation: registration.generation,
            process: registration.process,
            session: Some(id),
            last_session: Some(id),
            stopped_cleanly: false,
            durable: registration.durable,
            command_version: registration.command_version,
            joined_at_ms: known.map_or(at_ms, |member| member.joined_at_ms),
            registered_at_ms: at_ms,
            last_ended_at_ms: ended,
        });
        let session = Session {
            id,
            member: number,
            generation: registration.generation,
            process: registration.process,
            floor: step.position(),
            closing: false,
            opened_at_ms: at_ms,
        };
        Arc::make_mut(&mut self.sessions).insert(id, session);
        step.publish();
    }
}

/// Whether a store has seen a start: it was in that home, at least up to then.
fn knows_start(homes: &[(Home, Generation)], home: Home, start: Generation) -> bool {
    homes.iter().any(|(at, last)| *at == home && *last >= start)
}

/// Whether the log has a clean stop of the start before this one. One between, which had no session,
/// may have followed writes that it has lost; a clean stop of that one is in the store's mark.
fn is_stopped(member: &Member, registration: &Registration) -> bool {
    let next = registration.generation == member.generation.next();
    member.session.is_none() && member.stopped_cleanly && next
}
