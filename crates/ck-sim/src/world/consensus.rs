//! Elections, the log's way to the other places, and leadership confirmations.

use std::collections::BTreeSet;
use std::sync::Arc;

use ck_control::{
    Command, Founder, Genesis, Incarnation, LeaderInput, Proposal, Round, TransferCommand,
};

use crate::clock::MS;
use crate::invariants::Observation;
use crate::log::Append;
use crate::world::{Committed, Event, Message, World};

impl World {
    /// Looks after the leader, as an election timer does: who does not hear from one campaigns.
    pub(super) fn watch(&mut self, place: usize) {
        let again = self.random.between(150 * MS, 300 * MS);
        self.after(again, Event::Watch { place });
        if !self.places[place].runs() {
            return;
        }
        if let Some(term) = self.leading(place) {
            let now = self.clock(place);
            let process = self.places[place].process.as_mut();
            if let Some(leader) = process.and_then(|one| one.leader.as_mut()) {
                leader.handle(LeaderInput::Leads { term }, now);
            }
            self.pump(place);
            self.spread(place);
            return;
        }
        let term = self.places[place].log.term;
        let hears = |leader: usize| {
            let there = &self.places[leader];
            let leads = there.process.as_ref().and_then(|one| one.leading);
            there.runs()
                && leads.is_some_and(|led| led >= term)
                && self.network.is_up(leader, place)
        };
        let all = 0..self.places.len();
        let heard = all.filter(|leader| hears(*leader));
        let heard = heard.max_by_key(|leader| self.leading(*leader));
        match heard {
            Some(leader) => {
                let led = self.leading(leader).unwrap_or_default();
                self.see_term(place, led);
                if let Some(process) = &mut self.places[place].process {
                    process.knows = Some(leader);
                }
            }
            None => self.campaign(place),
        }
    }

    pub(super) fn leading(&self, place: usize) -> Option<u64> {
        let process = self.places[place].process.as_ref()?;
        process.leading
    }

    fn majority(&self) -> usize {
        self.setting.voters / 2 + 1
    }

    /// An election, folded into one instant.
    pub(super) fn campaign(&mut self, place: usize) {
        let here = &self.places[place];
        if !here.votes || here.member.is_none() || !here.runs() {
            return;
        }
        let term = here.log.term + 1;
        let mut granting = vec![place];
        let mut newest = here.log.term;
        for other in (0..self.places.len()).filter(|other| *other != place) {
            let there = &self.places[other];
            let reached = there.votes && there.runs() && self.network.both_up(place, other);
            if reached && there.log.term < term && here.log.covers(&there.log) {
                granting.push(other);
            }
            if reached {
                newest = newest.max(there.log.term);
            }
        }
        if granting.len() < self.majority() {
            // Who is refused learns of newer terms, and raises its own as often as not.
            let raised = self.random.permille(300);
            self.see_term(place, if raised { newest.max(term) } else { newest });
            return;
        }
        for voter in granting {
            self.see_term(voter, term);
        }
        self.places[place].log.won = true;
        self.lead(place);
    }

    /// Begins to lead in the present term.
    pub(super) fn lead(&mut self, place: usize) {
        let term = self.places[place].log.term;
        let now = self.clock(place);
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        process.leading = Some(term);
        process.knows = Some(place);
        process.round = None;
        process.matched.fill(process.commit);
        if let Some(leader) = &mut process.leader {
            leader.handle(LeaderInput::Leads { term }, now);
        }
        self.say(|| format!("node-{} leads in term {term}", place + 1));
        let process = self.places[place].process.as_ref();
        let formed = process.is_some_and(|one| one.agent.state().formed().is_some());
        if self.places[place].log.len() == 0 {
            self.form(place);
        } else if !formed {
            // An entry that changes nothing, which takes those before it with it.
            let (key, expected) = ("none".to_string(), None);
            let command = Command::DeleteCustom { key, expected };
            self.append(place, "leader".to_string(), command);
        }
        self.pump(place);
        self.spread(place);
    }

    /// Proposes the first entry.
    fn form(&mut self, place: usize) {
        let founder = Founder {
            node: self.places[place].node.clone(),
            store: self.places[place].store,
        };
        let genesis = Genesis {
            cluster: ck_control::ClusterId(1),
            name: "simulated".to_string(),
            incarnation: Incarnation(1),
            config: self.config.clone(),
            founder,
        };
        self.append(place, "form".to_string(), Command::Genesis(genesis));
    }

    /// Sees a term; a leader of an older one follows from then on.
    fn see_term(&mut self, place: usize, term: u64) {
        let here = &mut self.places[place];
        if term <= here.log.term {
            return;
        }
        here.log.see(term);
        let now = here.read(self.now);
        let Some(process) = &mut here.process else {
            return;
        };
        if process.leading.take().is_some() {
            self.trace.extend(self.setting.trace.then(|| {
                format!(
                    "{:>9} us  node-{} sees term {term} and follows",
                    self.now / 1_000,
                    place + 1
                )
            }));
            process.knows = None;
            if let Some(leader) = &mut process.leader {
                leader.handle(LeaderInput::Follows, now);
            }
            self.pump(place);
        }
    }

    /// Appends to the log of a leader.
    pub(super) fn append(&mut self, place: usize, actor: String, command: Command) {
        if self.leading(place).is_none() {
            return;
        }
        if let Command::Transfer {
            step: TransferCommand::Commit { transfer, .. },
            ..
        } = &command
        {
            self.commit_proposed(*transfer);
        }
        self.say(|| format!("node-{} proposes {}", place + 1, command.name()));
        let at_ms = self.now / MS;
        let proposal = Proposal::new(at_ms, actor, command);
        self.places[place].log.propose(proposal);
        self.spread(place);
    }

    /// Sends everybody what it lacks, and commits what a majority has.
    fn spread(&mut self, place: usize) {
        let here = &mut self.places[place];
        let len = here.log.len();
        let Some(process) = &mut here.process else {
            return;
        };
        process.matched[place] = len;
        let (commit, matched) = (process.commit, process.matched.clone());
        for (to, after) in matched.into_iter().enumerate() {
            if to != place && self.places[to].started {
                let append = self.places[place].log.from(after, commit);
                self.send(place, to, Message::Append(append));
            }
        }
        self.commit(place);
    }

    pub(super) fn appended(&mut self, to: usize, from: usize, append: &Append) {
        self.see_term(to, append.term);
        let here = &mut self.places[to];
        if append.term < here.log.term || here.process.is_none() {
            let term = here.log.term;
            let result = Err(0);
            self.send(to, from, Message::Appended { term, result });
            return;
        }
        let result = here.log.take(append);
        let term = append.term;
        if let Some(process) = &mut here.process {
            process.knows = Some(from);
            if let Ok(same) = result {
                process.commit = process.commit.max(append.commit.min(same));
            }
        }
        self.send(to, from, Message::Appended { term, result });
        self.catch_up(to);
    }

    pub(super) fn append_answered(
        &mut self,
        place: usize,
        from: usize,
        term: u64,
        result: Result<usize, usize>,
    ) {
        self.see_term(place, term);
        if self.leading(place) != Some(term) {
            return;
        }
        let here = &mut self.places[place];
        let len = here.log.len();
        let Some(process) = &mut here.process else {
            return;
        };
        match result {
            Ok(same) => process.matched[from] = process.matched[from].max(same),
            Err(hint) => process.matched[from] = hint,
        }
        let (after, commit) = (process.matched[from], process.commit);
        if result.is_err() || after < len {
            let append = self.places[place].log.from(after, commit);
            self.send(place, from, Message::Append(append));
        }
        self.commit(place);
    }

    /// Commits what a majority of the voters has, if the newest of it is of this term.
    fn commit(&mut self, place: usize) {
        let Some(term) = self.leading(place) else {
            return;
        };
        let here = &self.places[place];
        let Some(process) = &here.process else {
            return;
        };
        let voters = self.places.iter().enumerate().filter(|(_, one)| one.votes);
        let mut have: Vec<usize> = voters.map(|(at, _)| process.matched[at]).collect();
        have.sort_unstable_by(|a, b| b.cmp(a));
        let Some(agreed) = have.get(self.majority() - 1).copied() else {
            return;
        };
        if agreed <= process.commit || here.log.term_at(agreed) != term {
            return;
        }
        if let Some(process) = &mut self.places[place].process {
            process.commit = agreed;
        }
        self.publish(place, agreed);
        self.catch_up(place);
        self.spread(place);
    }

    /// Applies what was committed for the first time, and shows it to the invariants.
    fn publish(&mut self, place: usize, agreed: usize) {
        while self.committed.len() < agreed {
            let entry = Arc::clone(self.places[place].log.entry(self.committed.len()));
            let before = self.state().clone();
            let mut state = before.clone();
            let applied = state
                .apply(&entry)
                .expect("every entry is of this build and in order");
            self.say(|| {
                let name = entry.proposal.command.name();
                let verdict = applied.as_ref().err();
                let verdict = verdict.map_or_else(String::new, |why| format!(": refused, {why}"));
                format!(
                    "{} {name}{verdict} {:?}",
                    entry.position, entry.proposal.command
                )
            });
            self.see(&Observation::Committed {
                before: &before,
                after: &state,
                entry: &entry,
                accepted: applied.is_ok(),
            });
            self.committed.push(Committed { entry, state });
            if applied.is_ok() {
                self.stages_changed(&before);
            }
        }
        let last = &self.committed[agreed - 1].entry;
        let mine = self.places[place].log.entry(agreed - 1);
        assert!(Arc::ptr_eq(last, mine), "the log stand-in lost an entry");
    }

    /// Begins a confirmation.
    pub(super) fn confirm(&mut self, place: usize, round: Round, term: u64) {
        let life = self.places[place].life;
        if let Some(process) = &mut self.places[place].process {
            process.round = Some((round, BTreeSet::from([place])));
        }
        for to in 0..self.places.len() {
            if to != place && self.places[to].votes {
                self.send(place, to, Message::Confirm { term, round, life });
            }
        }
        self.confirmed(place, place, term, round, life);
    }

    pub(super) fn asked_to_confirm(
        &mut self,
        place: usize,
        from: usize,
        term: u64,
        round: Round,
        life: u64,
    ) {
        let here = &self.places[place];
        if here.process.is_none() || !here.votes {
            return;
        }
        self.see_term(place, term);
        let seen = self.places[place].log.term;
        let answer = Message::Confirmed {
            term: seen,
            round,
            life,
        };
        self.send(place, from, answer);
    }

    pub(super) fn confirmed(
        &mut self,
        place: usize,
        from: usize,
        term: u64,
        round: Round,
        life: u64,
    ) {
        self.see_term(place, term);
        if self.places[place].life != life || self.leading(place) != Some(term) {
            return;
        }
        let (majority, now) = (self.majority(), self.clock(place));
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        let Some((_, answered)) = process.round.as_mut().filter(|under| under.0 == round) else {
            return;
        };
        answered.insert(from);
        if answered.len() < majority {
            return;
        }
        process.round = None;
        if let Some(leader) = &mut process.leader {
            leader.handle(LeaderInput::Confirmed { round, term }, now);
        }
        self.pump(place);
    }
}
