//! Genesis, offices, and the configuration.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use crate::state::apply::{Step, fields};
use crate::state::{EventKind, Genesis, Office, Rejection, State};
use crate::{ConfigChange, MemberNumber, Nonce, OfficeId};

impl State {
    pub(super) fn form(&mut self, step: &mut Step<'_>, genesis: &Genesis) -> Result<(), Rejection> {
        fields::text("name", &genesis.name, 1, 128)?;
        if genesis.incarnation.0 == 0 {
            let (field, got) = ("incarnation".to_string(), 0);
            return Err(Rejection::Range {
                field,
                got,
                min: 1,
                max: u64::MAX,
            });
        }
        genesis.config.check()?;
        self.genesis = Some(Arc::new(genesis.clone()));
        self.incarnation = genesis.incarnation;
        self.config = genesis.config.clone();
        self.newest_member = MemberNumber(1);
        step.replan();
        step.summary = format!("formed {} as {}", genesis.name, genesis.cluster);
        step.tell(EventKind::Formed {
            name: genesis.name.clone(),
        });
        Ok(())
    }

    pub(super) fn take_office(
        &mut self,
        step: &mut Step<'_>,
        member: MemberNumber,
        nonce: Nonce,
        term: u64,
    ) -> Result<(), Rejection> {
        let log = step.entry.term;
        if term != log {
            return Err(Rejection::OfficeTerm { got: term, log });
        }
        let founding = member == MemberNumber(1) && !self.founder_joined;
        if self.member(member).is_none() && !founding {
            return Err(self.absent(member));
        }
        let office = OfficeId::from(step.position());
        self.office = Some(Office {
            id: office,
            member,
            nonce,
            term,
            at_ms: step.at_ms(),
        });
        step.summary = format!("{} leads in term {term}", self.shown(member));
        step.tell(EventKind::OfficeTaken { office, member });
        Ok(())
    }

    /// The rejection for a number that no member has.
    pub(super) fn absent(&self, member: MemberNumber) -> Rejection {
        if self.is_removed(member) {
            Rejection::MemberRemoved { member }
        } else {
            Rejection::MemberUnknown { member }
        }
    }

    /// A decision counts only in the last office of the log.
    pub(super) fn check_office(&self, got: OfficeId) -> Result<(), Rejection> {
        let last = self.office.map(|office| office.id);
        if last == Some(got) {
            Ok(())
        } else {
            Err(Rejection::OfficePast { got, last })
        }
    }

    pub(super) fn configure(
        &mut self,
        step: &mut Step<'_>,
        change: &ConfigChange,
    ) -> Result<(), Rejection> {
        let (config, fields) = self.config.changed(change)?;
        if fields.is_empty() {
            return Ok(());
        }
        self.config = config;
        step.publish();
        if fields
            .iter()
            .any(|field| matches!(*field, "replication_factor" | "spread"))
        {
            step.reshape();
        }
        step.summary = fields.join(", ");
        let fields = fields.into_iter().map(ToString::to_string).collect();
        step.tell(EventKind::ConfigChanged { fields });
        Ok(())
    }
}
