//! Operations, carried out at once; a plan is only begun, as by a node.

use ck_control::{
    Command, FencingToken, MemberNumber, OfficeId, RebalanceCommand, Registration, Rejection,
    State, Trigger,
};
use ck_core::{NodeId, Table};
use ck_node::{JoinRequest, Joined, Operation, OperationError, Outcome, Owned, PlanOutcome};

use super::backend::registration;
use super::{AT_MS, Fake, unpoisoned};

impl Fake {
    /// Carries an operation out at once.
    ///
    /// # Errors
    /// [`OperationError`], as a node gives it.
    pub fn operate(&self, operation: Operation) -> Result<Outcome, OperationError> {
        let state = self.state.load_full();
        match operation {
            Operation::CreatePartitions => self.create(&state),
            Operation::AdoptTable { table } => {
                let version = self.apply(Command::CreatePartitions {
                    table,
                    strategy: None,
                })?;
                Ok(Outcome::Partitions {
                    created: true,
                    version,
                })
            }
            Operation::Rebalance { dry_run } => self.rebalance(&state, dry_run),
            Operation::Join(request) | Operation::Register(request) => self.join(request),
            Operation::Stop { member, session } => {
                self.apply(Command::Stop { member, session })?;
                Ok(Outcome::Stopped)
            }
            Operation::Remove { node } => {
                self.apply(Command::Close { node: node.clone() })?;
                let office = state.office().map(|office| OfficeId(office.id.0));
                self.apply(Command::Remove { node, office })?;
                Ok(Outcome::Removed)
            }
            Operation::SetCustom {
                key,
                value,
                expected,
            } => {
                let version = self.apply(Command::SetCustom {
                    key,
                    value,
                    expected,
                })?;
                Ok(Outcome::Custom { version })
            }
            Operation::DeleteCustom { key, expected } => {
                let version = self.apply(Command::DeleteCustom { key, expected })?;
                Ok(Outcome::Custom { version })
            }
            other => {
                let version = self.apply(command(&state, other)?)?;
                Ok(Outcome::Changed { version })
            }
        }
    }

    /// What the node that is asked holds by the table, under a lease of that much.
    pub(super) fn owned_now(&self) -> Owned {
        let state = self.state.load_full();
        let node = unpoisoned(&self.status).node.clone();
        let lease = *unpoisoned(&self.lease);
        let session = state
            .open_session_of(node.as_str())
            .map(|session| session.id);
        let held = state.partitions().filter(|(_, control)| {
            let holder = control.holder.map(|holder| holder.session);
            session.is_some() && holder == session && !lease.is_zero()
        });
        Owned {
            incarnation: state.incarnation(),
            version: state.version(),
            session,
            lease_remaining: lease,
            tokens: held
                .map(|(partition, control)| FencingToken {
                    incarnation: state.incarnation(),
                    partition,
                    epoch: control.epoch,
                })
                .collect(),
        }
    }

    fn place(
        &self,
        state: &State,
        previous: Option<&Table>,
    ) -> Result<ck_core::Plan, OperationError> {
        self.placement
            .place(&state.topology(), &state.spec(), previous)
            .map_err(|error| OperationError::Placement {
                reason: error.to_string(),
            })
    }

    fn create(&self, state: &State) -> Result<Outcome, OperationError> {
        if state.table().is_some() {
            return Ok(Outcome::Partitions {
                created: false,
                version: state.version(),
            });
        }
        let have = u32::try_from(state.members().len()).unwrap_or(u32::MAX);
        let need = u32::from(state.config().replication_factor);
        if have < need {
            return Err(Rejection::TooFewNodes { have, need }.into());
        }
        let table = self.place(state, None)?.table;
        let version = self.apply(Command::CreatePartitions {
            table,
            strategy: None,
        })?;
        Ok(Outcome::Partitions {
            created: true,
            version,
        })
    }

    fn rebalance(&self, state: &State, dry_run: bool) -> Result<Outcome, OperationError> {
        let table = state.table().ok_or(OperationError::NoPartitions)?;
        let plan = self.place(state, Some(table))?;
        let changed = table.diff(&plan.table).map_or(0, |diff| diff.rows.len());
        let mut outcome = PlanOutcome {
            applied: false,
            base: state.version(),
            version: state.version(),
            partitions_changed: changed as u64,
            copies_moved: plan.copies_moved,
            primaries_changed: plan.primaries_changed,
            lower_bound: plan.lower_bound,
            optimal: plan.optimal,
            degraded: plan.degraded,
            table: plan.table.clone(),
        };
        if !dry_run && changed > 0 {
            let step = RebalanceCommand::Begin {
                base: state.version(),
                table: plan.table,
                trigger: Trigger::Manual,
                started_at_ms: AT_MS,
            };
            outcome.version = self.apply(Command::Rebalance { step })?;
            outcome.applied = true;
        }
        Ok(Outcome::Plan(outcome))
    }

    fn join(&self, request: JoinRequest) -> Result<Outcome, OperationError> {
        let (node, address) = (request.node.clone(), request.peer_address.clone());
        let answering = unpoisoned(&self.answering).get(&address).cloned();
        match answering {
            None => {
                let reason = "connection refused".to_owned();
                return Err(OperationError::Unreachable {
                    node,
                    address,
                    reason,
                });
            }
            Some(got) if got != node => {
                return Err(OperationError::WrongNode { node, address, got });
            }
            Some(_) => {}
        }
        let number = self.state.load().members().len() + 1000;
        self.apply(Command::Register(Registration {
            node: node.clone(),
            display_name: request.display_name,
            peer_address: address,
            http_address: request.http_address,
            weight: request.weight.unwrap_or(1),
            domain: request.domain,
            services: request.services,
            labels: request.labels,
            ..registration(number)
        }))?;
        let state = self.state.load();
        let member = state
            .member_by_node(node.as_str())
            .ok_or(Rejection::NotFormed)?;
        let formed = state.formed().ok_or(Rejection::NotFormed)?;
        Ok(Outcome::Joined(Joined {
            cluster: formed.cluster,
            cluster_name: formed.name.clone(),
            incarnation: formed.incarnation,
            node,
            member: member.number,
            session: member.session,
            members: state.members().len() as u64,
        }))
    }
}

/// The one command that any other operation comes to.
fn command(state: &State, operation: Operation) -> Result<Command, OperationError> {
    let number = |node: &NodeId| -> Result<MemberNumber, OperationError> {
        let member = state.member_by_node(node.as_str());
        let member = member.ok_or_else(|| Rejection::NodeUnknown { node: node.clone() })?;
        Ok(member.number)
    };
    let step = |step| Ok(Command::Rebalance { step });
    match operation {
        Operation::Update { node, change } => Ok(Command::Update { node, change }),
        Operation::Configure { change } => Ok(Command::Configure { change }),
        Operation::BeginPlan {
            base,
            table,
            trigger,
        } => step(RebalanceCommand::Begin {
            base,
            table,
            trigger,
            started_at_ms: AT_MS,
        }),
        Operation::PausePlan { paused } => step(RebalanceCommand::Pause { paused }),
        Operation::AbortPlan => step(RebalanceCommand::Abort),
        Operation::ReleaseBrake => Ok(Command::Brake {
            office: None,
            lost: 0,
        }),
        Operation::Promote {
            partition,
            node,
            accept_loss,
        } => Ok(Command::Promote {
            partition,
            member: number(&node)?,
            accept_loss,
        }),
        Operation::InSync {
            partition,
            session,
            epoch,
            change,
        } => Ok(Command::InSync {
            partition,
            session,
            epoch,
            change,
        }),
        Operation::SetMode { mode } => Ok(Command::SetMode { mode }),
        Operation::SetLease { terms } => Ok(Command::SetLease { terms }),
        _ => unreachable!("an operation of more than one step is carried out by itself"),
    }
}
