//! A partition with many tasks, and how much of it is read to serve it.

use std::sync::atomic::Ordering;

use ck_kv::KvConfig;
use ck_node::{Config, ConfigChoices, Handle, Node, OnFatal, Profile};
use tempfile::TempDir;

use super::*;
use crate::index::Counts;
use crate::service::TaskQueue;

/// The only partition.
const P: PartitionId = PartitionId(0);

const BOUND: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(3_600);

/// Tasks from before, of one queue and state.
const MANY: u64 = 300;

/// Far fewer than there are.
const FEW: u64 = 150;

struct Bench {
    queue: TaskQueue,
    node: Handle,
    _directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let queue = TaskQueue::open(directory.path(), KvConfig::default()).unwrap();
        let mut config = Config::new("node-1".parse().unwrap(), directory.path());
        config.handler = queue.handler();
        config.on_fatal = OnFatal::Report;
        config.choices = ConfigChoices {
            partitions: Some(1),
            replication_factor: Some(1),
            profile: Some(Profile::Wan),
            ..ConfigChoices::default()
        };
        let node = Node::start(config).await.unwrap();
        queue.attach(node.clone());
        tokio::time::timeout(BOUND, node.ready())
            .await
            .unwrap()
            .unwrap();
        Self {
            queue,
            node,
            _directory: directory,
        }
    }

    /// The shard as a new primary begins with it.
    async fn shard(&self) -> Shard {
        let token = tokio::time::timeout(BOUND, async {
            loop {
                match self.node.acquire(P) {
                    Ok(own) => return own.token(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Shard::open(&self.queue.core.kv, token.await.unwrap())
            .await
            .unwrap()
    }
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name.as_bytes()).unwrap()
}

async fn enqueue(shard: &Shard, name: &str, delay: Duration, keys: Option<&str>) {
    let each = (0..MANY).map(|number| {
        let key = keys.map(|keys| format!("{keys}-{number}"));
        shard.enqueue(Enqueue {
            queue: queue(name),
            payload: Bytes::from(vec![b'x'; 300]),
            delay,
            attempts_max: 1,
            idempotency: key.map(Bytes::from),
        })
    });
    for made in futures_util::future::join_all(each).await {
        made.unwrap();
    }
}

/// Leases all of a queue, and says so of each.
async fn settle_all(shard: &Shard, name: &str, what: Settle) {
    loop {
        let (leased, failed) = shard.lease(&queue(name), 64, usize::MAX, LONG).await;
        assert!(failed.is_none(), "{failed:?}");
        if leased.is_empty() {
            return;
        }
        let each = leased
            .iter()
            .map(|one| shard.settle(one.task.number, one.receipt, what));
        for done in futures_util::future::join_all(each).await {
            done.unwrap();
        }
    }
}

fn rows(shard: &Shard) -> u64 {
    shard.rows_read.swap(0, Ordering::Relaxed)
}

fn counts(shard: &Shard, name: &str) -> [u64; 4] {
    let Counts {
        ready,
        delayed,
        leased,
        dead,
    } = shard.counts(&queue(name));
    [ready, delayed, leased, dead]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_over_reads_what_is_due_and_not_what_there_is() {
    let bench = Bench::new().await;
    let before = bench.shard().await;
    enqueue(&before, "ready", Duration::ZERO, None).await;
    enqueue(&before, "late", LONG, None).await;
    enqueue(&before, "soon", Duration::from_millis(1), None).await;
    enqueue(&before, "dead", Duration::ZERO, None).await;
    settle_all(
        &before,
        "dead",
        Settle::Nack {
            delay: Duration::ZERO,
        },
    )
    .await;
    enqueue(&before, "done", Duration::ZERO, Some("key")).await;
    settle_all(&before, "done", Settle::Ack).await;
    let (leased, _) = before.lease(&queue("ready"), 1, usize::MAX, LONG).await;
    drop(before);

    let shard = bench.shard().await;
    assert!(rows(&shard) < 32, "a few for each queue");
    assert_eq!(counts(&shard, "ready"), [MANY - 1, 0, 1, 0]);
    assert_eq!(counts(&shard, "late"), [0, MANY, 0, 0]);
    assert_eq!(counts(&shard, "dead"), [0, 0, 0, MANY]);
    assert_eq!(shard.index.lock().len() as u64, 5 * MANY);
    // The next ones, oldest first, and with them what has come due.
    let oldest = leased[0].task.number;
    let (next, _) = shard.lease(&queue("ready"), 3, usize::MAX, LONG).await;
    let numbers =
        |tasks: &[Leased]| -> Vec<u64> { tasks.iter().map(|one| one.task.number).collect() };
    assert_eq!(numbers(&next), [oldest + 1, oldest + 2, oldest + 3]);
    let due = rows(&shard);
    assert!(due < MANY + FEW, "{due} rows for {MANY} that are due");
    assert_eq!(counts(&shard, "late"), [0, MANY, 0, 0]);
    // A receipt from before is good, and so is a key; a task is found by its number.
    shard
        .settle(oldest, leased[0].receipt, Settle::Ack)
        .await
        .unwrap();
    assert!(matches!(
        shard.look(oldest).await,
        Err(QueueError::Unknown { .. })
    ));
    let again = Enqueue {
        queue: queue("done"),
        payload: Bytes::new(),
        delay: Duration::ZERO,
        attempts_max: 1,
        idempotency: Some(Bytes::from_static(b"key-200")),
    };
    assert!(shard.enqueue(again).await.unwrap().repeated);
    let dead = shard.dead(&queue("dead"), 5).await.unwrap();
    assert!(dead.len() == 5 && dead.is_sorted_by_key(|one| one.0.number));
    shard
        .revive(dead[1].0.number, Revive::Discard)
        .await
        .unwrap();
    assert_eq!(counts(&shard, "dead"), [0, 0, 0, MANY - 1]);
    assert!(rows(&shard) < FEW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_from_before_is_given_once_and_none_comes_back() {
    let bench = Bench::new().await;
    let before = bench.shard().await;
    enqueue(&before, "mail", Duration::ZERO, None).await;
    enqueue(&before, "mail", Duration::from_millis(1), Some("key")).await;
    drop(before);

    let shard = bench.shard().await;
    // Beside those that are new.
    enqueue(&shard, "mail", Duration::ZERO, None).await;
    let mut seen = std::collections::BTreeSet::new();
    let all = 3 * usize::try_from(MANY).unwrap();
    let given = tokio::time::timeout(BOUND, async {
        while seen.len() < all {
            let (leased, failed) = shard.lease(&queue("mail"), 64, usize::MAX, LONG).await;
            assert!(failed.is_none(), "{failed:?}");
            for one in &leased {
                assert!(seen.insert(one.task.number), "{} is given twice", one.task);
                shard
                    .settle(one.task.number, one.receipt, Settle::Ack)
                    .await
                    .unwrap();
            }
            tokio::task::yield_now().await;
        }
    });
    given.await.unwrap();
    assert_eq!(counts(&shard, "mail"), [0, 0, 0, 0]);
    assert!(!shard.has_ready(&queue("mail")));
    shard.keep_up().await.unwrap();
    // Those with a key are remembered, the others gone.
    assert_eq!(shard.index.lock().len() as u64, MANY);
    let after = bench.shard().await;
    assert_eq!(after.index.lock().len() as u64, MANY);
    assert_eq!(counts(&after, "mail"), [0, 0, 0, 0]);
}
