//! Why a request was not carried out, or is not known to be.

use ck_kv::{EmbedError, KvError};
use ck_node::{NotOwner, PartitionId};

use crate::name::TaskId;
use crate::record::RecordError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// This node may not act on the partition now.
    #[error(transparent)]
    NotOwner(#[from] NotOwner),
    /// The records could not be read or written.
    #[error(transparent)]
    Kv(EmbedError),
    /// There is no such task.
    #[error("there is no task {task}; it was acknowledged or discarded, or never was")]
    Unknown {
        /// The task.
        task: TaskId,
    },
    /// The task was never leased.
    #[error("{task} is not leased, so there is nothing to acknowledge; lease it first")]
    NotLeased {
        /// The task.
        task: TaskId,
    },
    /// The receipt is not that of the newest lease.
    #[error(
        "the receipt of {task} was superseded: its lease ran out and another began, or it was given back; drop the work, whoever leased it since does it"
    )]
    Superseded {
        /// The task.
        task: TaskId,
    },
    /// The task is not dead.
    #[error("{task} is not dead; only dead tasks are retried or discarded")]
    NotDead {
        /// The task.
        task: TaskId,
    },
    /// Another request changes the task right now.
    #[error("{task} is being changed by another request; try again in a moment")]
    TaskBusy {
        /// The task.
        task: TaskId,
    },
    /// The same enqueue is on its way.
    #[error(
        "an enqueue under this idempotency key is on its way; try again in a moment to learn its task"
    )]
    UnderWay,
    /// The partition keeps as many tasks as it may.
    #[error(
        "{partition} keeps {have} tasks and may keep {most}; work some off, or spread them over more keys"
    )]
    Full {
        /// The partition.
        partition: PartitionId,
        /// Tasks it keeps.
        have: usize,
        /// Tasks it may keep.
        most: usize,
    },
    /// A record cannot be read.
    #[error("{partition} has a record that cannot be read: {source}")]
    Record {
        /// The partition.
        partition: PartitionId,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The task that carried the request out was stopped.
    #[error("{partition}: the request was stopped with the node; look before repeating it")]
    Stopped {
        /// The partition.
        partition: PartitionId,
    },
}

impl From<EmbedError> for QueueError {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Kv(KvError::NotOwner(refused)) => Self::NotOwner(refused),
            other => Self::Kv(other),
        }
    }
}

impl QueueError {
    /// Whether nothing was changed, and the partition's primary is to be looked for again.
    pub(crate) const fn is_moving(&self) -> bool {
        match self {
            Self::NotOwner(refused) => {
                refused.is_retryable()
                    || matches!(refused, NotOwner::Ended { .. } | NotOwner::Elsewhere { .. })
            }
            _ => false,
        }
    }
}
