//! The brake: when much is lost at once, promotions go on and nothing is moved.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use crate::controller::intent::Intent;
use crate::controller::{Leader, Pace};
use crate::{Command, MemberNumber, State, Time};

/// Nodes lost within the time looked back on, as this office saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses(VecDeque<(Time, MemberNumber)>);

impl Losses {
    pub(super) fn applied(&mut self, before: &State, state: &State, now: Time, pace: &Pace) {
        if before.brake().is_some() && state.brake().is_none() {
            // Let go: what was lost until then is known, and pulls it no second time.
            self.0.clear();
        }
        for session in before.sessions() {
            let gone = state.session(session.id).is_none();
            let lost = state
                .member(session.member)
                .is_some_and(|member| member.session.is_none() && !member.stopped_cleanly);
            if gone && lost {
                self.0.push_back((now, session.member));
            }
        }
        self.0.retain(|(at, _)| now.since(*at) < pace.brake_window);
    }

    /// Nodes lost and not back, when they are too many: more than two and a fifth of all, or all
    /// of more than one domain.
    fn too_many(&self, state: &State, now: Time, window: Duration) -> Option<u32> {
        let away = |number: &MemberNumber| {
            state
                .member(*number)
                .is_some_and(|member| member.session.is_none())
        };
        let lost: alloc::collections::BTreeSet<MemberNumber> = self
            .0
            .iter()
            .filter(|(at, _)| now.since(*at) < window)
            .map(|(_, member)| *member)
            .filter(away)
            .collect();
        let count = u32::try_from(lost.len()).unwrap_or(u32::MAX);
        let fifth = u32::try_from(state.members().len() / 5).unwrap_or(u32::MAX);
        let mut domains: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for member in state.members() {
            if let Some(domain) = &member.domain {
                let (all, any) = domains.entry(domain.widest()).or_insert((true, false));
                *all &= member.session.is_none();
                *any |= lost.contains(&member.number);
            }
        }
        let whole = domains.values().filter(|(all, any)| *all && *any).count();
        (count > fifth.max(2) || whole > 1).then_some(count)
    }

    fn quiet_for(&self, now: Time) -> Option<Duration> {
        self.0.back().map(|(at, _)| now.since(*at))
    }
}

impl Leader {
    /// Pulls the brake, or lets go when it has been quiet for long enough.
    pub(super) fn brake(&mut self, now: Time) {
        let (hold, window) = (self.pace.brake_hold, self.pace.brake_window);
        let Some((office, state)) = self.in_office() else {
            return;
        };
        let id = office.id;
        let too_many = office.losses.too_many(state, now, window);
        let quiet = office
            .losses
            .quiet_for(now)
            .unwrap_or_else(|| now.since(office.desk.since()));
        let braked = state.brake().is_some();
        let lost = match too_many {
            Some(lost) if !braked => lost,
            None if braked && quiet >= hold => 0,
            _ => return,
        };
        let office = Some(id);
        self.propose(
            Intent::Brake(lost > 0),
            Command::Brake { office, lost },
            now,
        );
    }
}
