//! What a member sends by itself: renewals, its registration, the end of its session.

use alloc::vec::Vec;
use core::time::Duration;

use crate::agent::{Agent, AgentOutput};
use crate::session::REPORTS_MAX;
use crate::{MemberNumber, Renewal, Report, SessionId, Time};

impl Agent {
    pub(super) fn send(&mut self, now: Time) {
        if now < self.send_at {
            return;
        }
        self.send_at = now.after(self.state.config().lease.renews_every());
        let Some(lease) = self.lease else {
            if !self.stopping
                && self.state.formed().is_some()
                && self
                    .member()
                    .map_or(self.number.is_none(), |member| !member.closing)
            {
                let previous = self.member().and_then(|member| member.last_session);
                let stopped = self.identity.stopped;
                let register = AgentOutput::Register { previous, stopped };
                self.outputs.push_back(register);
            }
            return;
        };
        if self.marked().is_some() && !self.stopping {
            // Until that is done it renews its session, and acts on nothing.
            self.outputs.push_back(AgentOutput::ForgetStop);
        }
        let (session, unanswered) = (lease.session(), self.clock(now).since(lease.heard()));
        let Some(member) = self.member().map(|member| member.number) else {
            return;
        };
        self.outputs.push_back(if self.stopping {
            AgentOutput::StopSession { member, session }
        } else {
            AgentOutput::Renew(self.renewal(member, session, unanswered, now))
        });
    }

    fn renewal(
        &self,
        member: MemberNumber,
        session: SessionId,
        unanswered: Duration,
        now: Time,
    ) -> Renewal {
        let reports = self.moving.iter().filter_map(|partition| {
            let part = self.parts.get(partition)?;
            self.report(*partition, part, session)
        });
        Renewal {
            member,
            session,
            process: self.identity.process,
            sent: self.clock(now),
            applied: self.state.applied(),
            unanswered,
            leaving: self.leaving.is_some(),
            reports: reports.take(REPORTS_MAX).collect::<Vec<Report>>(),
        }
    }
}
