//! Two nodes in one process, of which one says more than is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ck_node::{
    BoxFuture, Config, ConfigChoices, Copying, FencingToken, Handle, Handler, HandlerContext,
    HandlerError, Node, OnFatal, PartitionId, Profile,
};
use ck_serve::Courier;
use serde_json::json;

use crate::config::SqlConfig;
use crate::file::Statement;
use crate::handler::Roles;
use crate::schema::SchemaChange;
use crate::store::Store;

/// Says that it has caught up, and has nothing.
#[derive(Default)]
struct Liar {
    caught_up: AtomicU64,
    served: AtomicU64,
}

impl Handler for Liar {
    fn catch_up<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        _: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.caught_up.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn become_primary<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        _: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.served.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }
}

async fn start(
    folder: &tempfile::TempDir,
    id: &str,
    join: &[String],
    roles: Arc<dyn Handler>,
) -> Handle {
    let mut config = Config::new(id.parse().unwrap(), folder.path().join(id));
    config.choices = ConfigChoices {
        partitions: Some(2),
        replication_factor: Some(1),
        profile: Some(Profile::Lan),
        auto_rebalance: Some(false),
        ..ConfigChoices::default()
    };
    config.join = join.to_vec();
    config.on_fatal = OnFatal::Report;
    config.handler = roles;
    Node::start(config).await.unwrap()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), waits).await;
    assert!(done.is_ok(), "not in time: {what}");
}

/// A copy that this process does not feed is taken out before anything is acknowledged without it,
/// and before the role is given up: else it would be promoted without the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_counted_on_and_not_fed_is_taken_out_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), SqlConfig::default(), Courier::default()).unwrap();
    let honest = start(&folder, "node-1", &[], Arc::new(Roles(Arc::clone(&store)))).await;
    store.starts(honest.clone());
    let all: Vec<_> = (0..2).map(PartitionId).collect();
    eventually("it serves", || all.iter().all(|one| honest.owns(*one))).await;
    let change = SchemaChange {
        sql: Some("CREATE TABLE t (id INTEGER PRIMARY KEY)".to_owned()),
        statements: Vec::new(),
        expected: None,
    };
    store.change_schema(change).await.unwrap();
    let liar = Arc::new(Liar::default());
    let join = [honest.peer_address()];
    let other = start(&folder, "node-2", &join, Arc::clone(&liar) as _).await;
    eventually("both are there", || honest.nodes().len() == 2).await;
    other.ready().await.unwrap();
    honest.rebalance(false).await.unwrap();
    let mut id = 0;
    let mut since = None;
    // Until it has claimed a copy, and for as long again as a move and its next try may take.
    while since.is_none_or(|at: tokio::time::Instant| at.elapsed() < Duration::from_secs(2)) {
        id += 1;
        for partition in &all {
            let statement = Statement {
                sql: "INSERT INTO t VALUES (?)".to_owned(),
                params: vec![json!(id)],
            };
            // Refused for the moment in which the role is given up and taken back.
            while let Err(problem) = store.write(*partition, None, vec![statement.clone()]).await {
                assert_eq!(problem.code, "moving", "{problem}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(id < 20_000, "it claims nothing");
        if since.is_none() && liar.caught_up.load(Ordering::SeqCst) > 0 {
            since = Some(tokio::time::Instant::now());
        }
    }
    assert_eq!(liar.served.load(Ordering::SeqCst), 0, "it was promoted");
    for partition in all {
        let statement = Statement {
            sql: "SELECT count(*) FROM t".to_owned(),
            params: Vec::new(),
        };
        eventually("it is served", || honest.owns(partition)).await;
        let answer = store.read(partition, None, statement).await.unwrap();
        assert_eq!(answer.rows, [[json!(id)]]);
    }
    other.stop().await;
    honest.stop().await;
}
