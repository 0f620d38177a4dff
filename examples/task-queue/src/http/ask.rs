//! Reading what is asked.

use std::ops::RangeInclusive;
use std::time::Duration;

use ck_http::{Bytes, Parts, Problem};
use ck_node::{Handle, NotOwner, PartitionId};

use super::act::Act;
use super::forward::{IDEMPOTENCY, Place, chosen};
use super::problems;
use super::query::{Query, decoded, refused};
use crate::lease::Want;
use crate::name::{IDEMPOTENCY_BYTES_MAX, NameError, QueueName, Receipt, TaskId};
use crate::shard::{Enqueue, Revive, Settle};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// Longest delay, in milliseconds: a week.
const DELAY_MS: RangeInclusive<u64> = 0..=7 * 86_400_000;

/// How often a task is leased before it is dead.
const ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
const ATTEMPTS_DEFAULT: u32 = 5;

/// Tasks of one lease.
const LEASED: RangeInclusive<usize> = 1..=64;

/// How long a lease lasts, in milliseconds: up to a day.
const VISIBILITY_MS: RangeInclusive<u64> = 100..=86_400_000;
const VISIBILITY_MS_DEFAULT: u64 = 30_000;

/// How long a worker may wait, in milliseconds: less than a request may take.
const WAIT_MS: RangeInclusive<u64> = 0..=20_000;

/// Dead tasks of one answer.
pub(super) const DEAD: RangeInclusive<usize> = 1..=1_000;
pub(super) const DEAD_DEFAULT: usize = 100;

/// What can be said of a task.
pub(super) const VERBS: [&str; 5] = ["ack", "nack", "extend", "retry", "discard"];

/// An enqueue without its payload.
#[derive(Debug)]
pub(super) struct Enqueuing {
    pub(super) place: Place,
    new: Enqueue,
}

impl Enqueuing {
    pub(super) fn read(node: &Handle, head: &Parts, queue: &str) -> Result<Self, Box<Problem>> {
        let query = Query::read(head.uri.query(), &["key", "delay_ms", "max_attempts"])?;
        let idempotency = idempotency(head)?;
        let queue = name(queue)?;
        let place = match (query.bytes("key"), chosen(&head.headers)?) {
            (Some(key), _) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
                let (text, bytes) = (String::from_utf8_lossy(key), key.len());
                let detail =
                    format!("a key of {bytes} bytes is out of range; use 1 to {KEY_BYTES_MAX}");
                return Err(refused("key", &text, detail));
            }
            (Some(key), _) => Place::At(partition(node, key)?),
            // A repetition has to find the partition where it was remembered.
            (None, _) if let Some(key) = &idempotency => Place::At(partition(node, key)?),
            (None, Some(chosen)) => Place::At(existing(node, PartitionId(chosen))?),
            (None, None) => Place::Anywhere,
        };
        let new = Enqueue {
            queue,
            payload: Bytes::new(),
            delay: Duration::from_millis(query.number("delay_ms", &DELAY_MS, 0)?),
            attempts_max: query.number("max_attempts", &ATTEMPTS, ATTEMPTS_DEFAULT)?,
            idempotency,
        };
        Ok(Self { place, new })
    }

    pub(super) fn with(self, payload: Bytes) -> Enqueue {
        Enqueue {
            payload,
            ..self.new
        }
    }
}

fn idempotency(head: &Parts) -> Result<Option<Bytes>, Box<Problem>> {
    let mut given = head.headers.get_all(IDEMPOTENCY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let bytes = key.as_bytes();
    let fits = (1..=IDEMPOTENCY_BYTES_MAX).contains(&bytes.len());
    if !fits || given.next().is_some() {
        let detail = format!(
            "an idempotency key is one value of 1 to {IDEMPOTENCY_BYTES_MAX} bytes; draw a UUID for each task"
        );
        let text = String::from_utf8_lossy(bytes);
        return Err(refused(IDEMPOTENCY.as_str(), &text, detail));
    }
    Ok(Some(Bytes::copy_from_slice(bytes)))
}

/// The queue that a part of a path names.
pub(super) fn name(text: &str) -> Result<QueueName, Box<Problem>> {
    let bytes = decoded("queue", text)?;
    QueueName::new(&bytes).map_err(|error| named("queue", text, &error))
}

fn named(field: &str, value: &str, error: &NameError) -> Box<Problem> {
    refused(field, value, error.to_string())
}

/// The partition of a key.
fn partition(node: &Handle, key: &[u8]) -> Result<PartitionId, Box<Problem>> {
    let published = node.published();
    let row = published.lookup(key);
    row.map(|row| row.partition())
        .ok_or_else(|| problems::no_partitions(node))
}

/// A partition, if there is such a one.
fn existing(node: &Handle, partition: PartitionId) -> Result<PartitionId, Box<Problem>> {
    let partitions = node.table().map_or(0, |table| table.partitions());
    if partition.0 < partitions {
        return Ok(partition);
    }
    if partitions == 0 {
        return Err(problems::no_partitions(node));
    }
    let unknown = NotOwner::Unknown {
        partition,
        partitions,
    };
    Err(ck_http::not_owner(node, &unknown, None))
}

/// The task that a part of a path names.
pub(super) fn task(node: &Handle, text: &str) -> Result<TaskId, Box<Problem>> {
    let task: TaskId = text.parse().map_err(|error| named("task", text, &error))?;
    existing(node, task.partition)?;
    Ok(task)
}

/// What is said of a task. `verb` is one of [`VERBS`].
pub(super) fn verb(task: TaskId, verb: &str, query: Option<&str>) -> Result<Act, Box<Problem>> {
    let known: &[&str] = match verb {
        "ack" => &["receipt"],
        "nack" => &["receipt", "delay_ms"],
        "extend" => &["receipt", "visibility_ms"],
        _ => &[],
    };
    let query = Query::read(query, known)?;
    match verb {
        "retry" => return Ok(Act::Revive(task, Revive::Retry)),
        "discard" => return Ok(Act::Revive(task, Revive::Discard)),
        _ => {}
    }
    let text = String::from_utf8_lossy(query.needed("receipt")?);
    let receipt: Receipt = text
        .parse()
        .map_err(|error| named("receipt", &text, &error))?;
    let what = match verb {
        "ack" => Settle::Ack,
        "nack" => Settle::Nack {
            delay: Duration::from_millis(query.number("delay_ms", &DELAY_MS, 0)?),
        },
        _ => Settle::Extend {
            visibility: visibility(&query)?,
        },
    };
    Ok(Act::Settle(task, receipt, what))
}

fn visibility(query: &Query) -> Result<Duration, Box<Problem>> {
    let ms = query.number("visibility_ms", &VISIBILITY_MS, VISIBILITY_MS_DEFAULT)?;
    Ok(Duration::from_millis(ms))
}

/// What a worker asks for.
pub(super) fn want(head: &Parts, queue: &str) -> Result<Want, Box<Problem>> {
    let query = Query::read(head.uri.query(), &["max", "visibility_ms", "wait_ms"])?;
    if let Some(fence) = ck_http::fence(&head.headers)? {
        let detail = "a lease is of all partitions, so no token of one of them fits; leave it out";
        return Err(refused("CK-Fence", &fence.to_string(), detail));
    }
    Ok(Want {
        queue: name(queue)?,
        most: query.number("max", &LEASED, 1)?,
        visibility: visibility(&query)?,
        wait: Duration::from_millis(query.number("wait_ms", &WAIT_MS, 0)?),
    })
}

/// What another node waits for.
pub(super) fn wait(head: &Parts) -> Result<(QueueName, Duration), Box<Problem>> {
    let query = Query::read(head.uri.query(), &["queue", "wait_ms"])?;
    let queue = query.needed("queue")?;
    let text = String::from_utf8_lossy(queue);
    let queue = QueueName::new(queue).map_err(|error| named("queue", &text, &error))?;
    let within = Duration::from_millis(query.number("wait_ms", &WAIT_MS, 0)?);
    Ok((queue, within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_task_has_its_parameters_and_no_others() {
        let task: TaskId = "1-2".parse().unwrap();
        let receipt = "00000000000000000000000000000007";
        let read = |name: &str, query: &str| verb(task, name, Some(query));
        let ack = read("ack", &format!("receipt={receipt}")).unwrap();
        assert!(matches!(ack, Act::Settle(_, Receipt(7), Settle::Ack)));
        let nack = read("nack", &format!("receipt={receipt}&delay_ms=5")).unwrap();
        let five = Duration::from_millis(5);
        assert!(matches!(nack, Act::Settle(_, _, Settle::Nack { delay }) if delay == five));
        assert!(matches!(
            read("retry", ""),
            Ok(Act::Revive(_, Revive::Retry))
        ));
        for (name, wrong) in [
            ("ack", ""),
            ("ack", "receipt=7"),
            ("ack", &format!("receipt={receipt}&delay_ms=5")),
            ("extend", &format!("receipt={receipt}&visibility_ms=1")),
            ("retry", &format!("receipt={receipt}")),
        ] {
            assert_eq!(read(name, wrong).unwrap_err().status, 400, "{name}?{wrong}");
        }
    }

    #[test]
    fn a_queue_in_a_path_is_decoded_and_checked() {
        assert_eq!(name("a%2Fb").unwrap().as_str(), "a/b");
        for wrong in ["", "%20", "a%", &"q".repeat(129)] {
            assert_eq!(name(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
