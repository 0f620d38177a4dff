//! Carrying out operations: on the leader by proposing commands, elsewhere by asking the leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_control::{Command, MemberNumber, Position, Proposal, RebalanceCommand, Rejection, State};
use ck_core::{NodeId, Version};
use ck_transport::Address;

use crate::admission;
use crate::attempts::Attempts;
use crate::codec;
use crate::consensus::{Committed, ProposeError, Substrate};
use crate::operation::{Operation, OperationError, Outcome};
use crate::planning;
use crate::published::now_ms;
use crate::relay::{any_member, leader_address, relay};
use crate::removal;
use crate::shared::{OPERATIONS_MAX, Phase, Shared};
use crate::wire::{Forward, Forwarded};

/// Between attempts while there is no leader.
pub(crate) const RETRY_EVERY: Duration = Duration::from_millis(50);

/// Carries an operation out, wherever the leader is, within the configured time.
pub(crate) async fn execute(node: &Arc<Shared>, operation: Operation, actor: &str) -> Forwarded {
    let Ok(_permit) = node.operations.try_acquire() else {
        return Err(OperationError::Busy {
            limit: OPERATIONS_MAX as u64,
        });
    };
    let started = Instant::now();
    let mut attempts = Attempts::default();
    while started.elapsed() < node.config.operation_timeout {
        let failure = match attempt(node, &operation, actor).await {
            Ok(outcome) => return Ok(outcome),
            Err(failure) => failure,
        };
        if let Some(ended) = attempts.failed(&operation, failure, &node.config.node) {
            return ended;
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
    attempts.give_up(node.status().voters.len() as u64)
}

/// The answer when as many operations as may wait do.
pub(crate) fn busy() -> OperationError {
    OperationError::Busy {
        limit: OPERATIONS_MAX as u64,
    }
}

async fn attempt(node: &Arc<Shared>, operation: &Operation, actor: &str) -> Forwarded {
    match &*node.phase.borrow() {
        Phase::Waiting { waiting_for } => {
            return Err(OperationError::NotFormed {
                node: node.config.node.clone(),
                waiting_for: waiting_for.clone(),
            });
        }
        Phase::Ended { .. } => {
            return Err(OperationError::Stopping {
                node: node.config.node.clone(),
            });
        }
        Phase::Member | Phase::Stopping => {}
    }
    if node.status().leads() {
        return lead(node, operation.clone(), actor).await;
    }
    let leader = leader_address(node);
    // Who was started at another address than before hears of no leader until it has registered:
    // another member passes that on.
    let registers = matches!(operation, Operation::Register(_));
    let other = leader.is_none() && registers;
    let through = leader.or_else(|| other.then(|| any_member(node))?);
    let Some(through) = through else {
        return Err(not_leader(node, None));
    };
    let forward = Forward {
        operation: operation.clone(),
        actor: actor.to_owned(),
        relayed: !other,
    };
    relay(node, &through, forward).await
}

/// The answer of a node that does not lead.
pub(crate) fn not_leader(node: &Shared, leader: Option<&Address>) -> OperationError {
    let published = node.publisher.current();
    let leader = leader.and_then(|address| address.expected);
    let leader = leader.and_then(|number| published.state.member(ck_control::MemberNumber(number)));
    OperationError::NotLeader {
        node: node.config.node.clone(),
        leader: leader.map(|member| member.node.clone()),
    }
}

/// Carries an operation out on the leader.
pub(crate) async fn lead(node: &Arc<Shared>, operation: Operation, actor: &str) -> Forwarded {
    match operation {
        Operation::CreatePartitions => planning::create(node, actor).await,
        Operation::AdoptTable { table } => planning::adopt(node, table, actor).await,
        Operation::Rebalance { dry_run } => {
            planning::rebalance(node, ck_control::Trigger::Manual, dry_run, actor).await
        }
        Operation::Join(request) => admission::join(node, request, actor).await,
        Operation::Register(request) => admission::register(node, request, actor).await,
        Operation::Stop { member, session } => {
            propose(node, Command::Stop { member, session }, actor).await?;
            Ok(Outcome::Stopped)
        }
        Operation::Remove { node: name } => removal::remove(node, name, actor).await,
        Operation::SetCustom {
            key,
            value,
            expected,
        } => {
            let command = Command::SetCustom {
                key,
                value,
                expected,
            };
            let version = propose(node, command, actor).await?.1;
            Ok(Outcome::Custom { version })
        }
        Operation::DeleteCustom { key, expected } => {
            let command = Command::DeleteCustom { key, expected };
            let version = propose(node, command, actor).await?.1;
            Ok(Outcome::Custom { version })
        }
        other => {
            let command = command(node, other)?;
            let version = propose(node, command, actor).await?.1;
            node.wake.notify_one();
            Ok(Outcome::Changed { version })
        }
    }
}

/// The one command an operation comes to, where it comes to one.
fn command(node: &Shared, operation: Operation) -> Result<Command, OperationError> {
    Ok(match operation {
        Operation::Update { node, change } => Command::Update { node, change },
        Operation::Configure { change } => Command::Configure { change },
        Operation::BeginPlan {
            base,
            table,
            trigger,
        } => Command::Rebalance {
            step: RebalanceCommand::Begin {
                base,
                table,
                trigger,
                started_at_ms: now_ms(),
            },
        },
        Operation::PausePlan { paused } => Command::Rebalance {
            step: RebalanceCommand::Pause { paused },
        },
        Operation::AbortPlan => Command::Rebalance {
            step: RebalanceCommand::Abort,
        },
        Operation::ReleaseBrake => Command::Brake {
            office: None,
            lost: 0,
        },
        Operation::Promote {
            partition,
            node: name,
            accept_loss,
        } => Command::Promote {
            partition,
            member: member_number(node, &name)?,
            accept_loss,
        },
        Operation::InSync {
            partition,
            session,
            epoch,
            change,
        } => Command::InSync {
            partition,
            session,
            epoch,
            change,
        },
        Operation::SetMode { mode } => Command::SetMode { mode },
        Operation::SetLease { terms } => Command::SetLease { terms },
        Operation::CreatePartitions
        | Operation::AdoptTable { .. }
        | Operation::Rebalance { .. }
        | Operation::Join(_)
        | Operation::Register(_)
        | Operation::Stop { .. }
        | Operation::Remove { .. }
        | Operation::SetCustom { .. }
        | Operation::DeleteCustom { .. } => {
            unreachable!("an operation of more than one step is carried out by itself")
        }
    })
}

fn member_number(node: &Shared, name: &NodeId) -> Result<MemberNumber, OperationError> {
    let state = node.state();
    let member = state.member_by_node(name.as_str());
    let member = member.ok_or_else(|| Rejection::NodeUnknown { node: name.clone() })?;
    Ok(member.number)
}

/// Proposes a command, and tells where in the log it is and the version after it.
pub(crate) async fn propose(
    node: &Arc<Shared>,
    command: Command,
    actor: &str,
) -> Result<(Position, Version), OperationError> {
    let Some(consensus) = node.consensus.get() else {
        return Err(not_leader(node, None));
    };
    let proposal = Proposal::new(
        now_ms(),
        actor.chars().take(ACTOR_CHARS_MAX).collect(),
        command,
    )
    .for_members_of(&node.publisher.current().state);
    let bytes = codec::encode(&proposal).map_or(usize::MAX, |bytes| bytes.len());
    let limit = node.config.payload_bytes_max - ENVELOPE_BYTES;
    if bytes > limit {
        let (bytes, limit) = (bytes as u64, limit as u64);
        return Err(OperationError::TooLarge { bytes, limit });
    }
    let started = Instant::now();
    match consensus.propose(proposal).await {
        Ok(Committed {
            position,
            result: Ok(version),
        }) => Ok((Position(position), version)),
        Ok(Committed {
            result: Err(rejection),
            ..
        }) => Err(rejection.into()),
        Err(ProposeError::NotLeader { .. }) => Err(not_leader(node, leader_address(node).as_ref())),
        Err(ProposeError::Unknown { reason }) => {
            tracing::warn!(%reason, "the outcome of a proposal is not known");
            let after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Err(OperationError::Unknown { after_ms })
        }
        Err(ProposeError::Fatal { reason }) => {
            // What a stop does to proposals under way is no failure, and a failure is reported by
            // who watches the core.
            // The entry may be in the log of others already.
            tracing::debug!(%reason, "consensus takes no more proposals");
            let after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Err(OperationError::Unknown { after_ms })
        }
    }
}

/// Time a leader has to apply what is committed already.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// Room for what consensus puts around an entry.
const ENVELOPE_BYTES: usize = 64 << 10;

/// Characters of an actor's name that are kept.
const ACTOR_CHARS_MAX: usize = 64;

/// The state a leader decides on: everything committed before the call is applied in it.
pub(crate) async fn settled(node: &Arc<Shared>) -> Result<State, OperationError> {
    let Some(consensus) = node.consensus.get() else {
        return Err(not_leader(node, None));
    };
    let unconfirmed = |reason: String| OperationError::NoLeader {
        reason,
        voters: node.status().voters.len() as u64,
    };
    let confirmed = match consensus.confirm_leadership().await {
        Ok(confirmed) => confirmed,
        Err(ProposeError::NotLeader { .. }) => {
            return Err(not_leader(node, leader_address(node).as_ref()));
        }
        Err(source) => return Err(unconfirmed(source.to_string())),
    };
    let mut applied = node.publisher.applied();
    let caught_up = applied.wait_for(|now| *now >= confirmed.position);
    if tokio::time::timeout(APPLIED_WITHIN, caught_up)
        .await
        .is_err()
    {
        let (position, term) = (confirmed.position, confirmed.term);
        return Err(unconfirmed(format!(
            "entry {position} of term {term} is not applied within {APPLIED_WITHIN:?}"
        )));
    }
    let state = node.state();
    if state.formed().is_none() {
        return Err(Rejection::NotFormed.into());
    }
    Ok(state)
}
