use alloc::collections::BTreeMap;

use ck_core::NodeState;

use crate::MemberNumber;
use crate::state::invariants::{InvariantError, ahead};
use crate::state::{Member, Session, State};

impl State {
    pub(super) fn check_members(&self) -> Result<(), InvariantError> {
        let mut stores = BTreeMap::new();
        let mut peers = BTreeMap::new();
        let mut surfaces = BTreeMap::new();
        for member in self.members() {
            let number = member.number;
            let given = match number {
                MemberNumber(0) => false,
                MemberNumber(1) => self.founder_joined,
                _ => number <= self.newest_member,
            };
            if !given {
                let node = member.node.clone();
                return Err(InvariantError::NumberNotGiven {
                    node,
                    member: number,
                });
            }
            self.check_member(member)?;
            let shared = |other: Option<MemberNumber>, what: &str| match other {
                Some(other) => Err(InvariantError::Shared {
                    member: number,
                    other,
                    what: what.into(),
                }),
                None => Ok(()),
            };
            shared(stores.insert(member.store, number), "store")?;
            shared(peers.insert(&member.peer_address, number), "peer address")?;
            if !member.http_address.is_empty() {
                shared(
                    surfaces.insert(&member.http_address, number),
                    "http address",
                )?;
            }
        }
        Ok(())
    }

    fn check_member(&self, member: &Member) -> Result<(), InvariantError> {
        let number = member.number;
        let newest = member.last_session;
        let wrong = [
            ("weight", member.weight == 0),
            ("state", member.state == NodeState::Down),
            ("command_version", member.command_version == 0),
            ("last_session", newest.is_none()),
            (
                "session",
                member.session.is_some() && member.session != newest,
            ),
            (
                "stopped_cleanly",
                member.session.is_some() && member.stopped_cleanly,
            ),
        ];
        if let Some((field, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
            let field = (*field).into();
            return Err(InvariantError::MemberField {
                member: number,
                field,
            });
        }
        if self
            .member_by_node(member.node.as_str())
            .map(|found| found.number)
            != Some(number)
        {
            let other = self
                .members
                .number_of(member.node.as_str())
                .unwrap_or_default();
            return Err(InvariantError::Shared {
                member: number,
                other,
                what: "name".into(),
            });
        }
        ahead(
            "a member's session",
            newest.unwrap_or_default().0,
            self.applied.0,
        )?;
        match member.session {
            Some(session) if self.session(session).is_none_or(|one| one.member != number) => {
                let what = "whose it is".into();
                Err(InvariantError::SessionMember {
                    session,
                    member: number,
                    what,
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_sessions(&self) -> Result<(), InvariantError> {
        for (id, session) in self.sessions.iter() {
            let Session { member: number, .. } = *session;
            let disagree = |what: &str| InvariantError::SessionMember {
                session: *id,
                member: number,
                what: what.into(),
            };
            let member = self
                .member(number)
                .ok_or_else(|| disagree("whether it exists"))?;
            let wrong = [
                ("its id", session.id != *id),
                ("whose it is", member.session != Some(*id)),
                ("closing", member.closing != session.closing),
                ("the generation", member.generation != session.generation),
                ("the process", member.process != session.process),
                ("the floor", session.floor.0 < id.0),
            ];
            if let Some((what, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
                return Err(disagree(what));
            }
            ahead("a session's floor", session.floor.0, self.applied.0)?;
        }
        Ok(())
    }
}
