use crate::MemberNumber;
use crate::state::State;
use crate::state::invariants::InvariantError;

fn grows(what: &str, before: u64, after: u64) -> Result<(), InvariantError> {
    if before <= after {
        return Ok(());
    }
    Err(InvariantError::Fell {
        what: what.into(),
        before,
        after,
    })
}

fn stays<T: PartialEq>(what: &str, before: &T, after: &T) -> Result<(), InvariantError> {
    if before == after {
        Ok(())
    } else {
        Err(InvariantError::Changed { what: what.into() })
    }
}

impl State {
    /// Checks what is true of every step, however many entries lie between `before` and this.
    ///
    /// # Errors
    /// [`InvariantError`] names the first rule that is broken, and where.
    pub fn check_step(&self, before: &Self) -> Result<(), InvariantError> {
        grows("the applied position", before.applied.0, self.applied.0)?;
        grows("the version", before.version.0, self.version.0)?;
        grows(
            "the placement version",
            before.planned_on.0,
            self.planned_on.0,
        )?;
        grows("the incarnation", before.incarnation.0, self.incarnation.0)?;
        grows(
            "the newest member number",
            before.newest_member.0,
            self.newest_member.0,
        )?;
        grows(
            "the newest command version",
            before.commands_seen.into(),
            self.commands_seen.into(),
        )?;
        let office = |state: &Self| state.office.map_or(0, |office| office.id.0);
        grows("the office", office(before), office(self))?;
        if before.genesis.is_some() {
            stays("genesis", &before.genesis, &self.genesis)?;
            stays(
                "the partition count",
                &before.config.partitions,
                &self.config.partitions,
            )?;
            stays("the key hash", &before.config.hash, &self.config.hash)?;
        }
        if before.table.is_some() && self.table.is_none() {
            return Err(InvariantError::Changed {
                what: "that the partitions exist".into(),
            });
        }
        self.check_grants(before)?;
        self.check_births(before)?;
        self.check_versioned(before)
    }

    fn check_grants(&self, before: &Self) -> Result<(), InvariantError> {
        for ((partition, old), (_, new)) in before.partitions().zip(self.partitions()) {
            grows("an epoch", old.epoch.0, new.epoch.0)?;
            let anew = new.holder.is_some() && new.holder != old.holder;
            if anew && new.epoch == old.epoch {
                return Err(InvariantError::GrantedTwice {
                    partition,
                    epoch: new.epoch,
                });
            }
        }
        Ok(())
    }

    fn check_births(&self, before: &Self) -> Result<(), InvariantError> {
        let used = |number: MemberNumber| match number {
            MemberNumber(1) => before.founder_joined,
            number => number <= before.newest_member,
        };
        for member in self.members() {
            let number = member.number;
            match before.member(number) {
                None if used(number) => {
                    return Err(InvariantError::Reborn {
                        what: "member".into(),
                        number: number.0,
                    });
                }
                None => {}
                Some(old) => {
                    stays("a member's name", &old.node, &member.node)?;
                    stays("a member's store", &old.store, &member.store)?;
                    grows("a generation", old.generation.0, member.generation.0)?;
                    let newest = |one: Option<crate::SessionId>| one.unwrap_or_default().0;
                    grows(
                        "a session",
                        newest(old.last_session),
                        newest(member.last_session),
                    )?;
                }
            }
        }
        for session in self.sessions() {
            match before.session(session.id) {
                None if session.id.0 <= before.applied.0 => {
                    let number = session.id.0;
                    return Err(InvariantError::Reborn {
                        what: "session".into(),
                        number,
                    });
                }
                None => {}
                Some(old) => grows("a floor", old.floor.0, session.floor.0)?,
            }
        }
        Ok(())
    }

    fn check_versioned(&self, before: &Self) -> Result<(), InvariantError> {
        let changed = [
            ("a member", self.members != before.members),
            ("a session", self.sessions != before.sessions),
            ("the table", self.table != before.table),
            ("a partition", self.partitions != before.partitions),
            ("a transfer", self.transfers != before.transfers),
            (
                "a rebalance",
                self.rebalance != before.rebalance || self.brake != before.brake,
            ),
            (
                "the terms",
                self.raise != before.raise || self.past_lease != before.past_lease,
            ),
            ("a custom value", self.customs != before.customs),
            ("the configuration", self.config != before.config),
        ];
        if self.version > before.version {
            return Ok(());
        }
        match changed.iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(InvariantError::Unversioned {
                what: (*what).into(),
            }),
            None => Ok(()),
        }
    }
}
